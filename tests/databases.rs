//! `sql` on real servers: `PostgreSQL`, `MariaDB`, Spark SQL by `spark-sql`, and Spark's Hive server by `beeline`.
//!
//! `install/test.sh databases` starts the servers and says where they are; without them these tests are ignored.

#![allow(clippy::unwrap_used)] // a test may fail

mod common;

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::{Home, until};
use regex::Regex;

/// What is hard to quote for anybody.
const EVIL: &str = r#"x'); DROP TABLE kept; -- " \ `:ds` $1 ? ${HOME} é😀"#;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Postgres,
    Mariadb,
}

/// A server that the stage has started, and its own client.
struct Server {
    kind: Kind,
    folder: PathBuf,
}

impl Server {
    fn get(kind: Kind) -> Server {
        let variable = if kind == Kind::Postgres { "CRONDAG_TEST_POSTGRES" } else { "CRONDAG_TEST_MARIADB" };
        let folder = std::env::var(variable)
            .unwrap_or_else(|_| panic!("{variable} names the folder of a server: run `./install/test.sh databases`"));
        Server { kind, folder: folder.into() }
    }

    fn setting(&self, name: &str) -> String {
        let file = if self.kind == Kind::Postgres { "service.conf" } else { "client.cnf" };
        let text = fs::read_to_string(self.folder.join(file)).unwrap();
        text.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).unwrap().to_owned()
    }

    /// What the server's own client says: rows of values with tabs between.
    fn client(&self, sql: &str) -> String {
        let mut command = match self.kind {
            Kind::Postgres => {
                let mut psql = Command::new("psql");
                psql.env("PGSERVICEFILE", self.folder.join("service.conf"));
                psql.args(["-XAtq", "-F", "\t", "-v", "ON_ERROR_STOP=1", "service=warehouse", "-c", sql]);
                psql
            }
            Kind::Mariadb => {
                let mut mariadb = Command::new("mariadb");
                mariadb.arg(format!("--defaults-file={}", self.folder.join("client.cnf").display()));
                mariadb.args(["-NB", "-e", sql]);
                mariadb
            }
        };
        let output = command.output().unwrap();
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// A home with the connection `w`; `more` lines replace those of the same key.
    fn home(&self, more: &[(&str, &str)]) -> Home {
        let home = Home::new();
        home.write("password", format!("{}\n", self.setting("password")));
        let port = self.setting("port");
        let database = self.setting(if self.kind == Kind::Postgres { "dbname" } else { "database" });
        let kind = if self.kind == Kind::Postgres { "postgres" } else { "mysql" };
        let mut keys = vec![
            ("type", kind),
            ("host", "127.0.0.1"),
            ("port", &port),
            ("database", &database),
            ("username", "etl"),
            ("password_file", "password"),
        ];
        keys.retain(|(key, _)| !more.iter().any(|(other, _)| other == key));
        let mut text = "timezone = 'UTC'\nkill_grace = '20s'\n[connections.w]\n".to_owned();
        for (key, value) in keys.iter().chain(more).filter(|(_, value)| !value.is_empty()) {
            let is_number = *key == "port";
            writeln!(text, "{key} = {}", if is_number { (*value).to_owned() } else { format!("'{value}'") }).unwrap();
        }
        home.write("crondag.toml", &text);
        home
    }
}

/// How a task ended, and what it said, without what changes from run to run.
struct Ended {
    is_good: bool,
    log: String,
}

impl Home {
    /// `crondag test` of one task with these statements; `keys` are further lines of `[tasks.t]` and `[tasks.t.sql]`.
    fn test(&self, statements: &str, keys: &[&str], sql_keys: &[&str]) -> Command {
        let (keys, sql_keys) = (keys.join("\n"), sql_keys.join("\n"));
        self.write("statements.sql", statements);
        let dag = format!(
            "schedule = '@daily'\nstart_date = 2018-07-01\n[tasks.t]\n{keys}\n\
             [tasks.t.sql]\nconnection = 'w'\nfile = 'statements.sql'\n{sql_keys}\n"
        );
        self.write("dags/d.toml", &dag);
        self.command("test d t 20180701")
    }

    fn run_with(&self, statements: &str, keys: &[&str], sql_keys: &[&str]) -> Ended {
        let output = self.test(statements, keys, sql_keys).output().unwrap();
        let log = String::from_utf8(output.stdout).unwrap();
        let log = log.replace(&self.path().display().to_string(), "HOME");
        let log = Regex::new(r" in [0-9.]+[a-zµ]+[0-9.]*s?\b").unwrap().replace_all(&log, " in T").into_owned();
        Ended { is_good: output.status.success(), log }
    }

    fn sql(&self, statements: &str) -> Ended {
        self.run_with(statements, &[], &[])
    }

    /// The CSV file that one statement makes.
    fn csv(&self, statement: &str) -> String {
        let ended = self.run_with(statement, &[], &["to = 'out.csv'"]);
        assert!(ended.is_good, "{}", ended.log);
        self.read("out.csv")
    }

    /// The file that rows are in until they are whole, and the process that writes it.
    fn unfinished(&self) -> Option<(PathBuf, u32)> {
        let mut entries = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().path());
        let path = entries.find(|path| path.file_name().unwrap().to_string_lossy().starts_with(".out.csv."))?;
        let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap());
        let mut numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let pid = numbers.find(|pid: &u32| {
            let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            files.into_iter().any(|file| fs::read_link(file.path()).is_ok_and(|open| open == path))
        })?;
        Some((path, pid))
    }
}

fn toml_text(text: &str) -> String {
    format!("'''{text}'''")
}

fn both(case: impl Fn(&Server)) {
    for kind in [Kind::Postgres, Kind::Mariadb] {
        case(&Server::get(kind));
    }
}

#[test]
#[ignore = "needs the servers of `./install/test.sh databases`"]
fn a_failing_third_statement_leaves_nothing_and_good_ones_stay() {
    both(|server| {
        server.client("CREATE TABLE orders (id int primary key)");
        let home = server.home(&[]);
        let bad = home.sql(
            "INSERT INTO orders VALUES (1);\nINSERT INTO orders VALUES (2), (3);\n\nINSERT INTO\n  nope\nVALUES (4);\n",
        );
        let (place, error, next) = match server.kind {
            Kind::Postgres => (":5:3", "relation \"nope\" does not exist (SQLSTATE 42P01)", ""),
            Kind::Mariadb => (":4:1", "Table 'warehouse.nope' doesn't exist (error 1146, SQLSTATE 42S02)", ""),
        };
        let expected = format!(
            "statements.sql:1: 1 row changed in T\nstatements.sql:2: 2 rows changed in T\n\
             error: statements.sql{place}: {error}\n  in: INSERT INTO nope VALUES (4)\n  everything was rolled back\n  \
             next: create the table first, or check its name, its schema and the connection{next}\n"
        );
        assert_eq!((bad.log, bad.is_good), (expected, false));
        assert_eq!(server.client("SELECT count(*) FROM orders"), "0");

        let good = home.sql("INSERT INTO orders VALUES (1);\nSELECT id FROM orders;\n");
        let expected = "statements.sql:1: 1 row changed in T\nstatements.sql:2: 1 row in T\n| id |\n|----|\n| 1  |\n";
        assert_eq!((good.log.as_str(), good.is_good), (expected, true));
        assert_eq!(server.client("SELECT count(*) FROM orders"), "1");
    });
}

#[test]
#[ignore = "needs the servers of `./install/test.sh databases`"]
fn parameters_are_bound_whatever_is_in_them() {
    both(|server| {
        server.client("CREATE TABLE kept (id int, name varchar(200), day date)");
        let home = server.home(&[]);
        let params = format!("params = {{ evil = {}, number = '7' }}", toml_text(EVIL));
        let statements = "INSERT INTO kept VALUES (:number, :evil, :ds);\n\
                          -- :nothing; here\nSELECT id, name, day, ':evil' AS text FROM kept WHERE name = :evil AND day = :ds";
        let ended = home.run_with(statements, &[], &[&params, "to = 'out.csv'"]);
        assert!(ended.is_good, "{}", ended.log);
        let expected = format!("id,name,day,text\n7,\"{}\",2018-07-01,:evil\n", EVIL.replace('"', "\"\""));
        assert_eq!(home.read("out.csv"), expected);
        assert_eq!(server.client("SELECT count(*) FROM kept"), "1");

        let ended = home.sql("SELECT :nope");
        assert!(!ended.is_good);
        assert!(
            ended.log.contains("statements.sql:1:1: `:nope` is not defined; known are data_interval_end"),
            "{}",
            ended.log
        );
    });
}

#[test]
#[ignore = "needs the servers of `./install/test.sh databases`"]
fn values_of_all_types_reach_the_csv_file() {
    let postgres = Server::get(Kind::Postgres).home(&[]);
    let found = postgres.csv(
        "SELECT NULL::int AS nothing, '' AS empty, true AS t, 1.50::numeric(10,2) AS num, -0.0001::numeric AS small, \
         12345678901234567890.5::numeric AS large, 'NaN'::numeric AS nan, 0.1::float8 AS d, 0.1::float4 AS f, \
         9223372036854775807 AS big, date '2018-07-01' AS day, date '1899-12-31' AS old, \
         timestamp '2018-07-01 10:00:00.5' AS ts, timestamptz '2018-07-01 10:00:00+02' AS tz, time '10:00:00.25' AS hour, \
         '{\"a\": [1, null]}'::jsonb AS j, '\\x00ff'::bytea AS b, 'é😀' AS txt, E'a,\"b\"\\nc' AS quoted, \
         'd3b07384-d9a0-4c9b-8f5e-000000000001'::uuid AS u",
    );
    let expected = "nothing,empty,t,num,small,large,nan,d,f,big,day,old,ts,tz,hour,j,b,txt,quoted,u\n\
        ,\"\",true,1.50,-0.0001,12345678901234567890.5,NaN,0.1,0.1,9223372036854775807,2018-07-01,1899-12-31,\
        2018-07-01 10:00:00.5,2018-07-01 08:00:00+00,10:00:00.25,\"{\"\"a\"\": [1, null]}\",\\x00ff,é😀,\"a,\"\"b\"\"\nc\",\
        d3b07384-d9a0-4c9b-8f5e-000000000001\n";
    assert_eq!(found, expected);
    let unknown = postgres.sql("SELECT interval '1 day' AS gap");
    assert!(
        unknown.log.contains("column gap: the type interval cannot be read: cast the column with ::text"),
        "{}",
        unknown.log
    );

    let mariadb = Server::get(Kind::Mariadb).home(&[]);
    let found = mariadb.csv(
        "SELECT NULL AS nothing, '' AS empty, true AS t, CAST(1.50 AS DECIMAL(10,2)) AS num, 0.1e0 AS d, \
         18446744073709551615 AS big, DATE '2018-07-01' AS day, TIMESTAMP '2018-07-01 10:00:00.5' AS ts, \
         TIME '-26:00:00' AS hours, JSON_OBJECT('a', NULL) AS j, X'00ff' AS b, 'é😀' AS txt, 'a,\"b\"\\nc' AS quoted",
    );
    let expected = "nothing,empty,t,num,d,big,day,ts,hours,j,b,txt,quoted\n\
        ,\"\",1,1.50,0.1,18446744073709551615,2018-07-01,2018-07-01 10:00:00.500000,-26:00:00,\
        \"{\"\"a\"\": null}\",\\x00ff,é😀,\"a,\"\"b\"\"\nc\"\n";
    assert_eq!(found, expected);
}

#[test]
#[ignore = "needs the servers of `./install/test.sh databases`"]
fn a_csv_file_is_the_old_one_or_the_new_one() {
    both(|server| {
        let home = server.home(&[]);
        home.write("out.csv", "old\n");
        // Killed in the middle, nothing can be tidied; the file that has the name is whole all the same.
        let mut task =
            home.test(&endless(server.kind), &[], &["to = 'out.csv'"]).stdout(Stdio::null()).spawn().unwrap();
        until("rows are written", || {
            home.unfinished().is_some_and(|(path, _)| fs::metadata(path).is_ok_and(|file| file.len() > 0))
        });
        let (path, pid) = home.unfinished().unwrap();
        assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
        assert!(!task.wait().unwrap().success());
        assert_eq!(home.read("out.csv"), "old\n");
        fs::remove_file(path).unwrap();

        let failed = home.run_with("SELECT 1 AS a;\nSELECT * FROM nope", &[], &["to = 'out.csv'"]);
        assert!(!failed.is_good);
        assert_eq!((home.read("out.csv").as_str(), home.unfinished()), ("old\n", None));

        let nothing = home.run_with("SELECT 1 AS a WHERE 1 = 0", &[], &["to = 'out.csv'"]);
        assert!(nothing.is_good, "{}", nothing.log);
        assert_eq!((home.read("out.csv").as_str(), home.unfinished()), ("a\n", None));
    });
}

/// More rows than anybody waits for.
fn endless(kind: Kind) -> String {
    match kind {
        Kind::Postgres => "SELECT generate_series(1, 1000000000) AS n, repeat('x', 100) AS x".to_owned(),
        Kind::Mariadb => "SELECT seq, REPEAT('x', 100) AS x FROM seq_1_to_1000000000".to_owned(),
    }
}

#[test]
#[ignore = "needs the servers of `./install/test.sh databases`"]
fn what_keeps_a_connection_from_opening_is_named() {
    both(|server| {
        let is_postgres = server.kind == Kind::Postgres;
        let home = server.home(&[]);
        home.write("password", "wrong-password-77\n");
        let (user, database) = if is_postgres {
            (
                "password authentication failed for user \"etl\" (SQLSTATE 28P01)",
                "database \"nowhere\" does not exist (SQLSTATE 3D000)",
            )
        } else {
            (
                "Access denied for user 'etl'@'localhost' (using password: YES) (error 1045, SQLSTATE 28000)",
                "Access denied for user 'etl'@'localhost' to database 'nowhere' (error 1044, SQLSTATE 42000)",
            )
        };
        let ended = home.sql("SELECT 1");
        let expected = format!(
            "error: connection w: {user}\n  next: check username and the password of [connections.w] in crondag.toml\n"
        );
        assert_eq!((ended.log, ended.is_good), (expected, false));

        let ended = server.home(&[("database", "nowhere")]).sql("SELECT 1");
        let next = if is_postgres {
            "create it, or correct database of [connections.w]"
        } else {
            "check username and the password of [connections.w] in crondag.toml"
        };
        assert_eq!(ended.log, format!("error: connection w: {database}\n  next: {next}\n"));

        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let ended = server.home(&[("port", &port)]).sql("SELECT 1");
        let expected = format!("error: connection w: nothing answers at 127.0.0.1:{port}: ");
        assert!(ended.log.starts_with(&expected), "{}", ended.log);
        let next = "  next: is the server up, and is the address in [connections.w] right?\n";
        assert!(ended.log.ends_with(next), "{}", ended.log);

        let home = server.home(&[("password_file", "nowhere")]);
        let said = String::from_utf8(home.test("SELECT 1", &[], &[]).output().unwrap().stderr).unwrap();
        let expected = "the password of connection w is not to be had: ";
        assert!(said.contains(expected) && said.contains("nowhere"), "{said}");
    });
}

#[test]
#[ignore = "needs the servers of `./install/test.sh databases`"]
fn a_timeout_cancels_the_statement_on_the_server() {
    both(|server| {
        let (slow, running) = match server.kind {
            Kind::Postgres => (
                "SELECT pg_sleep(600) AS crondag_slow",
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%crondag_slow' AND pid <> pg_backend_pid()",
            ),
            Kind::Mariadb => (
                "SELECT SLEEP(600) AS crondag_slow",
                "SELECT count(*) FROM information_schema.processlist WHERE info LIKE '%crondag_slow' AND id <> connection_id()",
            ),
        };
        let home = server.home(&[]);
        let task = home.test(slow, &["timeout = '20s'"], &["to = 'out.csv'"]).stdout(Stdio::piped()).spawn().unwrap();
        until("the server works", || server.client(running) == "1");
        let output = task.wait_with_output().unwrap();
        let log = String::from_utf8(output.stdout).unwrap();
        assert!(!output.status.success());
        assert!(log.starts_with("stopped: cancelling the statement\nerror: statements.sql:1:1: "), "{log}");
        assert!(
            log.ends_with("  in: SELECT SLEEP(600) AS crondag_slow\n  everything was rolled back\n")
                || server.kind == Kind::Postgres,
            "{log}"
        );
        // Not even for a moment longer than the task.
        assert_eq!(server.client(running), "0");
        assert_eq!(home.unfinished(), None);
    });
}

#[test]
#[ignore = "needs the servers of `./install/test.sh databases`"]
fn a_million_rows_take_no_more_memory_than_a_thousand() {
    both(|server| {
        let measure = "import resource, subprocess, sys\n\
                       status = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)\n\
                       print(status, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
        let home = server.home(&[]).run_by(&["python3", "-c", measure]);
        let rows = match server.kind {
            Kind::Postgres => "SELECT n, repeat('x', 100) AS x FROM generate_series(1, 1000000) AS n",
            Kind::Mariadb => "SELECT seq AS n, REPEAT('x', 100) AS x FROM seq_1_to_1000000",
        };
        let output = home.test(rows, &[], &["to = 'out.csv'"]).output();
        let output = String::from_utf8(output.unwrap().stdout).unwrap();
        let (status, kilobytes) = output.trim().split_once(' ').unwrap();
        eprintln!("peak memory for 1,000,000 rows: {kilobytes} KB");
        assert_eq!(status, "0");
        let csv = home.read("out.csv");
        assert_eq!((csv.len(), csv.lines().count()), (4 + 102 * 1_000_000 + 5_888_896, 1_000_001));
        assert_eq!(csv.lines().last().unwrap(), format!("1000000,{}", "x".repeat(100)));
        // The rows are 108 MB.
        assert!(kilobytes.parse::<u32>().unwrap() < 64 << 10, "{kilobytes} KB");
    });
}

#[test]
#[ignore = "needs the servers of `./install/test.sh databases`"]
fn postgres_is_reached_by_tls_only_if_its_certificate_is_good() {
    let server = Server::get(Kind::Postgres);
    let ca = server.folder.join("ca.pem").display().to_string();
    let query = "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(server.home(&[("tls_ca", &ca)]).csv(query), "ssl,version\ntrue,TLSv1.3\n");
    assert_eq!(server.home(&[]).csv(query), "ssl,version\nfalse,\n");
    let other = server.folder.join("other.pem").display().to_string();
    let ended = server.home(&[("tls_ca", &other)]).sql(query);
    assert!(!ended.is_good);
    assert!(ended.log.contains("invalid peer certificate: UnknownIssuer"), "{}", ended.log);
}

#[test]
#[ignore = "needs the servers of `./install/test.sh databases`"]
fn passwords_are_never_shown() {
    both(|server| {
        let password = server.setting("password");
        for home in [server.home(&[]), server.home(&[("password_file", ""), ("password_command", "cat password")])] {
            let ended = home.sql(&format!("SELECT '{password}' AS shown, nope"));
            assert!(!ended.is_good);
            assert!(ended.log.contains("SELECT '***' AS shown, nope"), "{}", ended.log);
            let ended = home.sql(&format!("SELECT '{password}' AS shown"));
            assert!(ended.is_good && ended.log.contains("| ***") && !ended.log.contains(&password), "{}", ended.log);
        }
    });
}

#[test]
#[ignore = "needs the servers of `./install/test.sh databases`"]
fn mariadb_says_that_definitions_commit_at_once() {
    let server = Server::get(Kind::Mariadb);
    let home = server.home(&[]);
    let ended = home.sql("CREATE TABLE early (id int);\nINSERT INTO early VALUES (1);\nSELECT * FROM nope");
    let expected = "warning: CREATE, ALTER, DROP and their like commit at once here: what ran before them stays after an error\n\
        statements.sql:1: 0 rows changed in T\nstatements.sql:2: 1 row changed in T\n\
        error: statements.sql:3:1: Table 'warehouse.nope' doesn't exist (error 1146, SQLSTATE 42S02)\n  \
        in: SELECT * FROM nope\n  what ran since the last implicit commit was rolled back\n  \
        next: create the table first, or check its name, its schema and the connection\n";
    assert_eq!((ended.log.as_str(), ended.is_good), (expected, false));
    assert_eq!(server.client("SELECT count(*) FROM early"), "0");
}

/// A home whose connection `w` is to Spark: by `spark-sql`, or by `beeline` to its Hive server.
fn spark_home(by_beeline: bool) -> Home {
    let spark_home = std::env::var("CRONDAG_TEST_SPARK_HOME").unwrap();
    let home = Home::new();
    let connection = if by_beeline {
        let port = std::env::var("CRONDAG_TEST_HIVE_PORT").unwrap();
        home.write("password", "hive-password-77\n");
        format!(
            "type = 'hive'\nurl = 'jdbc:hive2://127.0.0.1:{port}/default'\nprogram = '{spark_home}/bin/beeline'\n\
             username = 'etl'\npassword_file = 'password'\n"
        )
    } else {
        // The derby database and the warehouse go below the home.
        let folder = home.path().display();
        format!(
            "type = 'spark_sql'\n[connections.w.spark]\nmaster = 'local[1]'\n[connections.w.spark.conf]\n\
             'spark.driver.extraJavaOptions' = '-Dderby.system.home={folder}/derby'\n\
             'spark.sql.warehouse.dir' = '{folder}/warehouse'\n"
        )
    };
    let text = format!(
        "timezone = 'UTC'\nkill_grace = '60s'\n[spark]\nspark_home = '{spark_home}'\ndeploy_mode = 'cluster'\n\
         conf = {{ 'spark.ui.enabled' = 'false' }}\n[connections.w]\n{connection}"
    );
    home.write("crondag.toml", &text);
    home
}

/// The log without what the program itself wrote there.
fn own_lines(ended: &Ended) -> String {
    let own = [
        "statements.sql:",
        "warning: ",
        "error: ",
        "wrote ",
        "  in: ",
        "  what ran",
        "  next: ",
        "| ",
        "|-",
        "stopped",
    ];
    let lines = ended.log.lines().filter(|line| own.iter().any(|start| line.starts_with(start)));
    lines.flat_map(|line| [line, "\n"]).collect()
}

const SPARK_STATEMENTS: &str = "CREATE OR REPLACE TEMPORARY VIEW v AS SELECT 1 AS a, :evil AS b; -- it's; :nothing\n\
    SELECT a, b, NULL AS n, true AS t, 1.50BD AS d, 'a,\"c\" :x' AS quoted, '' AS empty, DATE :ds AS day\n\
    FROM v WHERE b = :evil;\n";

fn spark_writes_a_result_set(by_beeline: bool) {
    let home = spark_home(by_beeline);
    let params = format!("params = {{ evil = {} }}", toml_text(EVIL));
    let ended = home.run_with(SPARK_STATEMENTS, &[], &[&params, "to = 'out.csv'"]);
    assert!(ended.is_good, "{}", ended.log);
    let expected = format!(
        "a,b,n,t,d,quoted,empty,day\n1,\"{}\",,true,1.50,\"a,\"\"c\"\" :x\",\"\",2018-07-01\n",
        EVIL.replace('"', "\"\"")
    );
    assert_eq!(home.read("out.csv"), expected);
    let log = own_lines(&ended);
    let expected = "warning: there are no transactions here: what ran before an error stays\n\
                    statements.sql:1: done in T\nstatements.sql:2: 1 row in T\nwrote 1 row to HOME/out.csv\n";
    assert!(log.starts_with(expected), "{log}");
}

fn spark_names_the_place_of_an_error(by_beeline: bool) {
    let home = spark_home(by_beeline);
    home.write("out.csv", "old\n");
    let ended = home.run_with("SELECT 1 AS a;\nSELECT :ds,\n   x\nFROM nope;\nSELECT 2 AS b", &[], &["to = 'out.csv'"]);
    let (program, status) = if by_beeline { ("beeline", 2) } else { ("spark-sql", 1) };
    let expected = format!(
        "warning: there are no transactions here: what ran before an error stays\nstatements.sql:1: 1 row in T\n\
         error: statements.sql:4:6: {program}: [TABLE_OR_VIEW_NOT_FOUND] The table or view `nope` cannot be found. Verify the \
         spelling and correctness of the schema and catalog. (exit status: {status})\n  in: SELECT :ds, x FROM nope\n  \
         what ran before it stays\n  next: create the table first, or check its name, its schema and the connection\n"
    );
    assert_eq!((own_lines(&ended), ended.is_good), (expected, false));
    assert_eq!((home.read("out.csv").as_str(), home.unfinished()), ("old\n", None));
}

#[test]
#[ignore = "needs the servers of `./install/test.sh databases`"]
fn spark_sql_writes_a_result_set_and_names_the_place_of_an_error() {
    spark_writes_a_result_set(false);
    spark_names_the_place_of_an_error(false);
}

#[test]
#[ignore = "needs the servers of `./install/test.sh databases`"]
fn beeline_writes_a_result_set_and_names_the_place_of_an_error() {
    spark_writes_a_result_set(true);
    spark_names_the_place_of_an_error(true);
}

#[test]
#[ignore = "needs the servers of `./install/test.sh databases`"]
fn a_program_is_ended_with_its_task_and_no_secret_is_in_its_title() {
    let home = spark_home(true);
    // A cross join that counts for hours.
    let slow = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.id + b.id = :secret";
    let mut task = home.test(slow, &[], &["params = { secret = 'param-88' }"]);
    let task = task.stdout(Stdio::piped()).spawn().unwrap();
    let beelines = || {
        let url = format!("jdbc:hive2://127.0.0.1:{}/default", std::env::var("CRONDAG_TEST_HIVE_PORT").unwrap());
        let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let title = fs::read(entry.ok()?.path().join("cmdline")).ok()?;
            Some(String::from_utf8_lossy(&title).into_owned())
        });
        processes.filter(|title| title.contains(&url) && title.contains("/proc/")).collect::<Vec<_>>()
    };
    until("beeline runs", || !beelines().is_empty());
    let titles = beelines().join("\n");
    assert!(!titles.contains("hive-password-77") && !titles.contains("param-88"), "{titles}");
    assert!(Command::new("kill").arg(task.id().to_string()).status().unwrap().success());
    let output = task.wait_with_output().unwrap();
    assert!(!output.status.success());
    assert_eq!(beelines(), Vec::<String>::new());
}

#[test]
#[ignore = "needs the servers of `./install/test.sh databases`"]
fn a_program_that_is_missing_or_lies_is_an_error() {
    let home = Home::new();
    home.write(
        "crondag.toml",
        "timezone = 'UTC'\n[connections.w]\ntype = 'hive'\nurl = 'u'\nprogram = 'no-such-beeline'\n",
    );
    let ended = home.sql("SELECT 1 AS a");
    let expected = "error: there is no program `no-such-beeline`: set `program` of the connection in crondag.toml\n";
    assert_eq!((ended.log.as_str(), ended.is_good), (expected, false));

    let program = home.path().join("beeline");
    fs::write(&program, "#!/bin/sh\necho a\necho 1\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let text =
        format!("timezone = 'UTC'\n[connections.w]\ntype = 'hive'\nurl = 'u'\nprogram = '{}'\n", program.display());
    home.write("crondag.toml", &text);
    let ended = home.sql("SELECT 1 AS a");
    let expected = "error: statements.sql:1:1: beeline gave no result and no reason (exit status: 0)\n  in: SELECT 1 AS a\n  \
                    what ran before it stays\n";
    assert_eq!((ended.log.as_str(), ended.is_good), (expected, false));
}

#[test]
#[ignore = "needs the servers of `./install/test.sh databases`"]
fn a_server_on_this_machine_is_reached_by_its_socket() {
    let mariadb = Server::get(Kind::Mariadb);
    let socket = mariadb.folder.join("socket");
    let csv = mariadb.home(&[("host", ""), ("port", ""), ("socket", socket.to_str().unwrap())]).csv("SELECT 1 AS one");
    assert_eq!(csv, "one\n1\n");
    let postgres = Server::get(Kind::Postgres);
    let (folder, port) = (postgres.folder.join("server"), postgres.setting("port"));
    let file = folder.join(format!(".s.PGSQL.{port}"));
    for (socket, port) in [(&folder, port.as_str()), (&file, "")] {
        let keys = [
            ("host", ""),
            ("port", port),
            ("socket", socket.to_str().unwrap()),
            ("username", "postgres"),
            ("password_file", ""),
        ];
        assert_eq!(postgres.home(&keys).csv("SELECT 1 AS one"), "one\n1\n", "{}", socket.display());
    }
    let nowhere = mariadb.home(&[("host", ""), ("port", ""), ("socket", "no/such/socket")]);
    let ended = nowhere.sql("SELECT 1");
    assert!(!ended.is_good && ended.log.contains("no/such/socket"), "{}", ended.log);
}
