"""Builds all mutants that cargo-mutants lists into one test binary and runs its tests once for each.

Called by mutants.sh in the crate that it makes, with the list as a file and SHARD/SHARDS. Each function becomes a `match` over
$MUTANT with one copy of its body for each mutant, so that a mutant costs a run of the tests and no build. What does not
compile is left out, as cargo-mutants does. Writes outcome.json; mutants that an earlier outcome.json calls caught are not run
again unless --anew is given.
"""

import collections
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import time

# A minute each: too slow to run a thousand times.
SLOW = ["test_fuzz_files", "every_local_day_of_every_zone", "any_restart"]
SWITCH = """
#[doc(hidden)]
pub fn mutant() -> u32 {
    static CHOSEN: std::sync::LazyLock<u32> = std::sync::LazyLock::new(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| { told(panic); std::process::exit(101) }));
        std::env::var("MUTANT").unwrap().parse().unwrap()
    });
    *CHOSEN
}
"""


def place(lines, point):
    """The offset of a line and column."""
    return sum(len(line) for line in lines[: point["line"] - 1]) + point["column"] - 1


class Function:
    """A function with its mutants: the body between its braces."""

    def __init__(self, text, lines, mutant):
        function = mutant["function"]
        start, self.end = (place(lines, function["span"][side]) for side in ("start", "end"))
        name = re.split(r"::|\s", function["function_name"])[-1]
        at = start + re.search(rf"\bfn\s+{name}\b", text[start:]).end()
        depth = 0
        while text[at] != "{" or depth:
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(text[at], 0)
            at += 1
        self.head, self.start, self.end = text[start:at], at + 1, self.end - 1
        self.mutants = []


def functions_of(text, mutants):
    lines = text.splitlines(keepends=True)
    functions = {}
    for mutant in mutants:
        key = json.dumps(mutant["function"]["span"])
        function = functions.setdefault(key, Function(text, lines, mutant))
        start, end = (place(lines, mutant["span"][side]) for side in ("start", "end"))
        function.mutants.append((mutant, start, end))
    return sorted(functions.values(), key=lambda function: function.start)


def written(text, functions, left_out):
    """The file with all mutants, and where each stands in it."""
    out, places = [], []
    length = 0

    def put(piece):
        nonlocal length
        out.append(piece)
        length += len(piece.encode())

    def region(start, end, inner):
        for function in inner:
            if function.start < start:
                continue
            put(text[start : function.start])
            chosen = [one for one in function.mutants if one[0]["id"] not in left_out]
            begin = length
            if chosen:
                put(" match crate::mutant() {")
            for mutant, from_, to in chosen:
                arm = length
                put(f" {mutant['id']} => {{")
                put(text[function.start : from_] + mutant["replacement"] + " " + text[to : function.end] + "\n}")
                places.append((arm, length, [mutant["id"]]))
            if chosen:
                put(" _ => {")
            within = [other for other in inner if function.start < other.start and other.end < function.end]
            region(function.start, function.end, within)
            if chosen:
                put("\n} }")
                places.append((begin, length, [one[0]["id"] for one in chosen]))
            start = function.end
        put(text[start:end])

    region(0, len(text), functions)
    return "".join(out), places


def compiled():
    command = ["cargo", "test", "--lib", "--no-run", "--message-format=json"]
    told = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    messages = [json.loads(line) for line in told.stdout.decode().splitlines() if line.startswith("{")]
    binaries = [message["executable"] for message in messages if message.get("executable")]
    return told.returncode == 0, messages, binaries[-1] if binaries else None


def build(sources, functions, left_out):
    """Builds until all that is left compiles; the binary and what does not compile."""
    broken = set()
    while True:
        places = {}
        for name, text in sources.items():
            new, places[name] = written(text, functions[name], left_out | broken)
            pathlib.Path(name).write_text(new)
        fits, messages, binary = compiled()
        wrong = set()
        for message in messages:
            if message["reason"] != "compiler-message" or message["message"]["level"] != "error":
                continue
            for span in message["message"]["spans"]:
                while span.get("expansion"):
                    span = dict(span["expansion"]["span"], is_primary=span["is_primary"])
                fitting = [p for p in places.get(span["file_name"], []) if p[0] <= span["byte_start"] < p[1]]
                if span["is_primary"] and fitting:
                    wrong.update(min(fitting, key=lambda p: p[1] - p[0])[2])
        if not wrong:
            if not fits:
                sys.exit("\n".join(m["message"]["rendered"] for m in messages if m["reason"] == "compiler-message")[:5000])
            return binary, broken
        broken |= wrong
        print(f"{len(broken)} do not compile", flush=True)


def test(binary, number, options, seconds):
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))

    env = dict(os.environ, MUTANT=str(number), RUST_BACKTRACE="0")
    try:
        told = subprocess.run([binary, "-q", *options], env=env, timeout=seconds, preexec_fn=limit, capture_output=True, check=False)
    except subprocess.TimeoutExpired:
        return "timeout", ""
    return ("missed" if told.returncode == 0 else "caught"), told.stdout.decode(errors="replace")[-2000:] + told.stderr.decode(errors="replace")[-600:]


def main():
    (listed, shard), anew = sys.argv[1:3], "--anew" in sys.argv
    part, parts = map(int, shard.split("/"))
    mutants = json.loads(pathlib.Path(listed).read_text())
    for number, mutant in enumerate(mutants, 1):
        mutant["id"] = number
    outcome_file = pathlib.Path("outcome.json")
    outcome = json.loads(outcome_file.read_text()) if outcome_file.exists() and not anew else {}
    outcome = {m["name"]: outcome[m["name"]] for m in mutants if m["name"] in outcome}
    # A constant cannot ask which mutant is meant, and an arm that gives an `impl Trait` is of another type than the others.
    alone = [m for m in mutants if not m.get("function") or "impl " in m["function"]["return_type"]]
    together = [m for m in mutants if m not in alone]
    sources, functions = {}, {}
    for name in {m["file"] for m in mutants}:
        sources[name] = pathlib.Path(name).read_text()
        functions[name] = functions_of(sources[name], [m for m in together if m["file"] == name])
    root = pathlib.Path("src/lib.rs")
    root.write_text("#![allow(warnings)]\n" + root.read_text() + SWITCH)
    known = {m["id"] for m in mutants if outcome.get(m["name"]) in ("caught", "unviable")}
    other_shards = {m["id"] for m in mutants if m["id"] % parts != part}
    binary, broken = build(sources, functions, known | other_shards)
    outcome.update({m["name"]: "unviable" for m in mutants if m["id"] in broken})
    options = [x for name in SLOW for x in ("--skip", name)]
    begin = time.monotonic()
    found, said = test(binary, 0, options, 600)
    if found != "missed":
        sys.exit("the tests fail without a mutant:\n" + said)
    seconds = time.monotonic() - begin
    chosen = [m for m in together if m["id"] not in known | other_shards | broken]
    print(f"{len(chosen)} mutants, {seconds:.1f} s without one", flush=True)
    for done, mutant in enumerate(chosen, 1):
        outcome[mutant["name"]], _ = test(binary, mutant["id"], options, 30 + 10 * seconds)
        if done % 50 == 0 or done == len(chosen):
            outcome_file.write_text(json.dumps(outcome, indent=1))
            print(done, dict(collections.Counter(outcome.values())), flush=True)
    for name, text in sources.items():
        pathlib.Path(name).write_text(text)
    for mutant in alone:
        if mutant["id"] not in known | other_shards:
            text = sources[mutant["file"]]
            start, end = (place(text.splitlines(keepends=True), mutant["span"][side]) for side in ("start", "end"))
            pathlib.Path(mutant["file"]).write_text(text[:start] + mutant["replacement"] + " " + text[end:])
            fits, _, binary = compiled()
            outcome[mutant["name"]] = test(binary, 0, options, 30 + 10 * seconds)[0] if fits else "unviable"
            pathlib.Path(mutant["file"]).write_text(text)
    outcome_file.write_text(json.dumps(outcome, indent=1))
    for name, found in outcome.items():
        if found not in ("caught", "unviable"):
            print(f"{found}: {name}")
    print(dict(collections.Counter(outcome.values())))


main()
