//! Ending attempts: whatever asks for it, and however the processes hide, none is left. Where this machine lets control
//! groups be made, each test runs with them and, if it can (as root), without.

#![allow(clippy::unwrap_used)] // a test may fail

mod common;

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use common::{Home, processes, signal, until};
use serde_json::Value;

/// Whether the driver of a test may make control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Groups {
    AsTheHostAllows,
    Hidden,
}

impl Home {
    fn in_groups(groups: Groups, config: &str, dag: &str) -> Home {
        let home = Home::new().config(config).dag("d", dag);
        match groups {
            Groups::AsTheHostAllows => home,
            Groups::Hidden => {
                home.run_by(&["unshare", "--mount", "sh", "-c", "umount -a -t cgroup2; exec \"$@\"", "sh"])
            }
        }
    }

    fn backfill(&self) -> Child {
        self.start("backfill -s 2024-01-01 -e 2024-01-01 d")
    }

    /// What the first attempt file says of its shim.
    fn holder(&self) -> Value {
        let text = self.read(".crondag/attempts/0");
        serde_json::from_str(text.lines().next().unwrap()).unwrap()
    }

    fn shim(&self) -> u32 {
        self.holder()["pid"].as_u64().unwrap().try_into().unwrap()
    }

    /// The control group of the first attempt.
    fn group(&self, groups: Groups) -> Option<PathBuf> {
        let group = self.holder()["cgroup"].as_str().map(PathBuf::from);
        group.inspect(|group| assert!(group.is_dir() && groups == Groups::AsTheHostAllows, "{}", group.display()))
    }
}

/// Runs a test in each way that this machine allows.
fn each_way(test: impl Fn(Groups)) {
    test(Groups::AsTheHostAllows);
    let can_hide = Command::new("unshare").args(["--mount", "true"]).stderr(Stdio::null()).status();
    if can_hide.is_ok_and(|status| status.success()) {
        test(Groups::Hidden);
    }
}

/// `stubborn rock MARK FILE` makes the file and stays, whatever TERM says. `comet` in place of `rock` forks and ends again and again,
/// under a new number each time; `loner` is a comet that begins a session of its own each time.
const STUBBORN: &str = r#"
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
int main(int count, char **words) {
    int is_rock = count == 4 && !strcmp(words[1], "rock"), is_loner = count == 4 && !strcmp(words[1], "loner");
    signal(SIGTERM, SIG_IGN);
    for (;;) {
        if (!is_rock && fork()) _exit(0);
        if (is_loner) setsid();
        close(open(words[3], O_WRONLY | O_CREAT | O_TRUNC, 0666));
        while (is_rock) pause();
        usleep(500);
    }
}
"#;

/// A home whose task `a` hides its processes in many ways, and the text that all their command lines hold.
fn stubborn(name: &str, groups: Groups, more: &str) -> (Home, String) {
    let mark = format!("{name}.{}.{groups:?}", std::process::id());
    let dag = format!(
        "[tasks.a]\n{more}shell = '''\n\
         trap '' TERM\n\
         ./stubborn rock {mark} same_group &\n\
         ./stubborn comet {mark} comet &\n\
         setsid ./stubborn rock {mark} own_session &\n\
         (setsid bash -c '(setsid ./stubborn rock {mark} double_fork & env -i setsid ./stubborn rock {mark} cleared &)' &)\n\
         for file in same_group comet own_session double_fork cleared; do until [ -e $file ]; do sleep 0.02; done; done\n\
         exec ./stubborn rock {mark} begun\n'''\n"
    );
    let home = Home::in_groups(groups, "kill_grace = '300ms'\n", &dag);
    home.write("stubborn.c", STUBBORN);
    let compiler = Command::new("cc").args(["-o", "stubborn", "stubborn.c"]).current_dir(home.path()).status().unwrap();
    assert!(compiler.success(), "cc cannot compile the program of this test");
    (home, mark)
}

/// Nothing of the attempt is left: no process, and once the driver has gone no control group.
fn is_gone(mark: &str, group: Option<&PathBuf>) {
    assert_eq!(processes(mark), Vec::new());
    until("the control group is removed", || group.is_none_or(|group| !group.exists()));
}

/// Groups are used again and again; some kernels kill at birth what is to begin in one that was ended once.
#[test]
fn attempts_after_one_that_was_killed_run_as_ever() {
    each_way(|groups| {
        let dag = "max_active_tasks = 1\n\
            [tasks.deaf]\ntimeout = '500ms'\nshell = \"trap '' TERM; while true; do sleep 0.1; done\"\n\
            [tasks.killed]\nafter = 'deaf'\ntrigger_rule = 'all_done'\nshell = 'kill -9 $$'\n\
            [tasks.ended]\nafter = 'killed'\ntrigger_rule = 'all_done'\nshell = '''\n\
            group=$(sed -n 's/^0:://p' /proc/self/cgroup)\n\
            case $group in */crondag-attempt-*)\n\
            for root in /sys/fs/cgroup /sys/fs/cgroup/unified; do echo 1 > $root$group/cgroup.kill; done;;\n\
            esac\nkill -9 $$\n'''\n\
            [tasks.next]\nafter = 'ended'\ntrigger_rule = 'all_done'\nshell = 'true'\n\
            [tasks.last]\nafter = 'next'\nshell = 'true'\n";
        let home = Home::in_groups(groups, "kill_grace = '10ms'\n", dag);
        home.backfill().wait().unwrap();
        for ran in ["next", "last"] {
            assert_eq!(home.state("d", ran).0, "success", "{}", home.log_of(ran));
        }
        assert!(home.state("d", "deaf").1.starts_with("timed out"), "{:?}", home.state("d", "deaf"));
        for killed in ["killed", "ended"] {
            let (_, reason) = home.state("d", killed);
            assert!(reason.starts_with("killed by signal 9"), "{killed}: {reason}");
        }
    });
}

#[test]
fn a_timeout_ends_the_whole_tree() {
    each_way(|groups| {
        let (home, mark) = stubborn("timeout", groups, "timeout = '12s'\n");
        let mut backfill = home.backfill();
        until("the task runs", || home.has("begun"));
        let group = home.group(groups);
        assert_eq!(backfill.wait().unwrap().code(), Some(1));
        let (state, reason) = home.state("d", "a");
        assert!(state == "failed" && reason.starts_with("timed out after "), "{state}: {reason}");
        is_gone(&mark, group.as_ref());
    });
}

/// `for_at_most` bounds an evaluation that hangs, with all its processes and without any retry.
#[test]
fn a_condition_that_hangs_ends_with_its_wait() {
    each_way(|groups| {
        let mark = format!("6{}", std::process::id());
        let dag = format!(
            "[tasks.a]\nretries = 3\nretry_delay = '0s'\n[tasks.a.wait]\nevery = '1s'\nfor_at_most = '2s'\n\
             command = 'setsid sleep {mark} & sleep {mark}'\n"
        );
        let home = Home::in_groups(groups, "kill_grace = '300ms'\n", &dag);
        assert_eq!(home.backfill().wait().unwrap().code(), Some(1));
        let (state, reason) = home.state("d", "a");
        let command = format!("the command setsid sleep {mark} & sleep {mark}");
        assert_eq!((state.as_str(), reason), ("failed", format!("waited 2s in vain for {command}")));
        let log = home.log_of("a");
        assert!(log.contains("[crondag] timed out: the time of the wait (`for_at_most`) is over"), "{log}");
        is_gone(&mark, None);
    });
}

#[test]
fn stop_ends_the_whole_tree() {
    each_way(|groups| {
        let (home, mark) = stubborn("stop", groups, "");
        let mut backfill = home.backfill();
        until("the task runs", || home.has("begun"));
        let group = home.group(groups);
        assert!(home.run(&["stop", "d", "-y"]).status.success());
        assert_eq!(backfill.wait().unwrap().code(), Some(1));
        until("the end is recorded", || home.log_of("a").contains("[crondag] stopped\n"));
        is_gone(&mark, group.as_ref());
        let (state, reason) = home.state("d", "a");
        assert!(state == "failed" && reason.starts_with("stopped by "), "{state}: {reason}");
    });
}

#[test]
fn ctrl_c_twice_on_a_backfill_ends_the_whole_tree() {
    each_way(|groups| {
        let (home, mark) = stubborn("backfill", groups, "");
        let mut backfill = home.backfill();
        until("the task runs", || home.has("begun"));
        let group = home.group(groups);
        // Again until it is taken in: two at once melt into one.
        until("the backfill has ended", || {
            let _ = Command::new("kill").args(["-INT", &backfill.id().to_string()]).status();
            backfill.try_wait().unwrap().is_some()
        });
        until("the end is recorded", || home.log_of("a").contains("[crondag] stopped\n"));
        is_gone(&mark, group.as_ref());
    });
}

#[test]
fn ctrl_c_on_a_test_ends_the_whole_tree() {
    each_way(|groups| {
        let (home, mark) = stubborn("test", groups, "");
        let test = home.command(&["test", "d", "a", "20240101"]).stderr(Stdio::piped()).spawn().unwrap();
        until("the task runs", || home.has("begun"));
        signal(test.id(), "-INT");
        let output = test.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("error: the task failed in ") && said.contains(": stopped\n"), "{said}");
        is_gone(&mark, None);
    });
}

#[test]
fn what_a_task_leaves_behind_is_ended() {
    each_way(|groups| {
        let (home, mark) = stubborn("leaves", groups, "");
        let dag = home.read("dags/d.toml").replace(&format!("exec ./stubborn rock {mark} begun"), "exit 0");
        home.write("dags/d.toml", dag);
        assert_eq!(home.backfill().wait().unwrap().code(), Some(0));
        is_gone(&mark, None);
        let log = home.log_of("a");
        assert!(log.contains("[crondag] exit status 0\n[crondag] ended "), "{log}");
        assert!(!log.contains("not all processes took the KILL"), "{log}");
    });
}

/// Without a control group such a one cannot be caught.
#[test]
fn what_forks_into_new_sessions_without_end_is_ended_where_there_are_control_groups() {
    let (home, mark) = stubborn("loner", Groups::AsTheHostAllows, "");
    // Not before it is known to have a group, or it would outlive the test.
    let dag =
        home.read("dags/d.toml").replace("trap '' TERM\n", "until [ -e go ]; do sleep 0.02; done\ntrap '' TERM\n");
    let dag = dag.replace(&format!("./stubborn comet {mark}"), &format!("./stubborn loner {mark}"));
    home.write("dags/d.toml", dag);
    let mut backfill = home.backfill();
    until("the shim has said who it is", || {
        home.has(".crondag/attempts/0") && home.read(".crondag/attempts/0").contains("\"token\"")
    });
    let group = home.holder()["cgroup"].as_str().map(PathBuf::from);
    if group.is_none() {
        eprintln!("NOT TESTED: this machine lets no control groups be made");
        home.run(&["stop", "d", "-y"]);
        backfill.wait().unwrap();
        return;
    }
    home.write("go", "");
    until("the task runs", || home.has("begun"));
    assert!(home.run(&["stop", "d", "-y"]).status.success());
    assert_eq!(backfill.wait().unwrap().code(), Some(1));
    until("the end is recorded", || home.log_of("a").contains("[crondag] stopped\n"));
    is_gone(&mark, group.as_ref());
}

/// The shim and the driver are killed: the next driver ends what is left. What cleared its environment and left its session
/// is found by its control group, where there are any.
#[test]
fn the_next_driver_ends_what_a_killed_shim_has_left() {
    each_way(|groups| {
        let (home, mark) = stubborn("shim", groups, "");
        let mut backfill = home.backfill();
        until("the task runs", || home.has("begun"));
        let group = home.group(groups);
        if group.is_none() {
            // These are beyond reach then; the test ends them itself.
            for (pid, _) in processes(&format!("stubborn rock {mark} cleared")) {
                signal(pid, "-9");
            }
        }
        signal(home.driver_pid().unwrap(), "-9");
        signal(home.shim(), "-9");
        backfill.kill().unwrap();
        backfill.wait().unwrap();
        // Its lock is free when it is really gone; a tick that comes too early leaves the work to the next tick.
        let lock = File::open(home.file(".crondag/driver.lock")).unwrap();
        until("the driver is dead", || lock.try_lock_shared().is_ok());
        drop(lock);
        assert!(home.run(&["tick"]).status.success());
        until("the end is recorded", || home.state("d", "a").0 == "failed");
        is_gone(&mark, group.as_ref());
        let (_, reason) = home.state("d", "a");
        assert!(reason.starts_with("crondag's shim was killed; ") && reason.ends_with(" and were ended"), "{reason}");
    });
}

/// A driver that a task has started is not part of the task.
#[test]
fn a_driver_started_by_a_task_outlives_it() {
    each_way(|groups| {
        let wait = "[tasks.a]\nshell = 'echo > begun; until [ -e go ]; do sleep 0.02; done; echo > done'\n";
        let other = Home::in_groups(groups, "", wait);
        let binary = env!("CARGO_BIN_EXE_crondag");
        let path = other.path().display();
        let dag = format!(
            "[tasks.a]\nshell = '{binary} --home {path} trigger d --date 2024-01-01; \
             until [ -e {path}/begun ]; do sleep 0.02; done'\n"
        );
        let home = Home::in_groups(groups, "kill_grace = '300ms'\n", &dag);
        assert_eq!(home.backfill().wait().unwrap().code(), Some(0), "{}", home.log_of("a"));
        other.write("go", "");
        until("the other home's task ends by itself", || other.has("done"));
        until("its run is a success", || other.state("d", "a").0 == "success");
    });
}

#[test]
fn what_a_task_sends_to_its_own_process_group_does_not_hit_the_shim() {
    each_way(|groups| {
        let home = Home::in_groups(groups, "", "[tasks.a]\nshell = \"trap 'exit 5' TERM; kill 0; exit 6\"\n");
        assert_eq!(home.backfill().wait().unwrap().code(), Some(1));
        assert_eq!(home.state("d", "a"), ("failed".to_owned(), "exit status 5".to_owned()));
    });
}

/// TERM first, so that a task can put its things away.
#[test]
fn a_task_has_the_grace_to_put_its_things_away() {
    each_way(|groups| {
        let dag = "[defaults]\nkill_grace = '30s'\n[tasks.a]\nshell = \"trap 'sleep 0.5; echo > put_away; exit 0' TERM; echo > begun; \
                   while true; do sleep 0.05; done\"\n";
        let home = Home::in_groups(groups, "kill_grace = '10ms'\n", dag);
        let mut backfill = home.backfill();
        until("the task runs", || home.has("begun"));
        assert!(home.run(&["stop", "d", "-y"]).status.success());
        assert_eq!(backfill.wait().unwrap().code(), Some(1));
        until("it has put its things away", || home.has("put_away"));
    });
}
