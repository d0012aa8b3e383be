# Java programs that run out of something.
J=$JOB/java
mkdir -p "$J"
cat >"$J/Heap.java" <<'S'
import java.util.*;
public class Heap { public static void main(String[] a) { List<byte[]> l = new ArrayList<>(); while (true) l.add(new byte[1 << 20]); } }
S
cat >"$J/Gc.java" <<'S'
import java.util.*;
public class Gc { public static void main(String[] a) { Map<Object, Object> m = new HashMap<>(); for (long i = 0; ; i++) m.put(i, "tag " + i); } }
S
cat >"$J/Meta.java" <<'S'
import java.lang.reflect.*;
import java.net.*;
public class Meta { public interface Tag { } public static void main(String[] a) throws Exception { java.util.List<Object> keep = new java.util.ArrayList<>(); while (true) { URLClassLoader l = new URLClassLoader(new URL[0], Meta.class.getClassLoader()); keep.add(java.lang.reflect.Proxy.newProxyInstance(l, new Class<?>[] { Tag.class }, (p, m, x) -> null)); } } }
S
cat >"$J/Stack.java" <<'S'
public class Stack { static int f(int n) { return f(n + 1) + 1; } public static void main(String[] a) { f(0); } }
S
cat >"$J/Refused.java" <<'S'
public class Refused { public static void main(String[] a) throws Exception { new java.net.Socket("127.0.0.1", 9083); } }
S
cat >"$J/Missing.java" <<'S'
public class Missing { public static void main(String[] a) throws Exception { Class.forName("com.mysql.cj.jdbc.Driver"); } }
S
cat >"$J/NullPointer.java" <<'S'
public class NullPointer { public static void main(String[] a) { String tag = System.getenv("NO_SUCH_TAG"); System.out.println(tag.length()); } }
S
(cd "$J" && javac -encoding UTF-8 ./*.java)
java_job() { local name=$1 cause=$2 h=(); shift 2; if [ "$1" = holdout ]; then h=(holdout); shift; fi; fails "$name" "$cause" "${h[@]}" -- java "$@"; }
java_job 120-java-heap java-heap -Xmx32m -cp "$J" Heap
java_job 121-java-gc java-heap holdout -Xmx24m -XX:+UseParallelGC -cp "$J" Gc
java_job 122-java-metaspace java-metaspace -XX:MaxMetaspaceSize=12m -cp "$J" Meta
java_job 123-java-stack java-stack -XX:MaxJavaStackTraceDepth=40 -cp "$J" Stack
java_job 124-java-refused connection-refused holdout -cp "$J" Refused
java_job 125-java-missing-class missing-class -cp "$J" Missing
java_job 126-java-no-main missing-class holdout -cp "$J" com.example.Export
java_job 127-java-bad-jar bad-jar holdout -jar "$JOB/scripts/job.sh"
java_job 128-java-memory-option memory-setting -Xmx8gb -cp "$J" Heap
java_job 129-java-null script-bug -cp "$J" NullPointer
