//! Whether the jobs of a crontab name a user. The path does not tell (many a file called `etc/crontab` has no such column), so the
//! content does.

/// What stands behind the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Columns {
    /// The command: the crontab of one user.
    Command,
    /// A user, then the command: /etc/crontab and /etc/cron.d.
    UserAndCommand,
}

/// Judges by all jobs together. `is_user` knows the users of the machine; `is_program` knows what is on the PATH.
pub(super) fn judge<'a>(
    rests: impl Iterator<Item = &'a str>,
    legend: Option<&str>,
    is_user: impl Fn(&str) -> bool,
    is_program: impl Fn(&str) -> bool,
) -> Columns {
    let (mut users, mut commands) = (0_i32, 0_i32);
    let mut weigh = |rest: &str| {
        let mut words = rest.split_ascii_whitespace();
        let (Some(first), second) = (words.next(), words.next()) else { return };
        let Some(second) = second.filter(|_| is_name(first)) else {
            // A path, a variable, a lone word: no user stands here.
            commands += 3;
            return;
        };
        let begins_command = second.starts_with(['/', '.', '~', '[', '(', '$']) || is_program(second);
        match (is_user(first) || is_usual_user(first), is_program(first)) {
            (true, false) => users += if begins_command { 3 } else { 1 },
            (true, true) => users += i32::from(begins_command),
            (false, true) => commands += 2,
            // A user of the machine that the file comes from.
            (false, false) => {
                if begins_command {
                    users += 2;
                } else {
                    commands += 1;
                }
            }
        }
    };
    rests.for_each(&mut weigh);
    // The legend that Debian's /etc/crontab has: `m h dom mon dow user command`.
    if legend.is_some_and(|legend| legend.split_ascii_whitespace().any(|word| word.starts_with("user"))) {
        users += 2;
    }
    if users > commands { Columns::UserAndCommand } else { Columns::Command }
}

/// A name as useradd accepts it.
fn is_name(word: &str) -> bool {
    word.len() <= 32
        && word.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'))
}

/// Users that packages make, which the machine of the import need not have.
fn is_usual_user(word: &str) -> bool {
    matches!(
        word,
        "root"
            | "www-data"
            | "nobody"
            | "postgres"
            | "mysql"
            | "hdfs"
            | "hive"
            | "spark"
            | "yarn"
            | "hadoop"
            | "airflow"
            | "nginx"
            | "apache"
            | "backup"
            | "munin"
            | "logcheck"
            | "ubuntu"
            | "etl"
            | "www"
            | "git"
            | "deploy"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(jobs: &[&str]) -> Columns {
        let programs = ["python3", "bash", "cd", "test", "find", "curl", "git", "run-parts", "backup", "mysql"];
        judge(jobs.iter().copied(), None, |user| user == "alice", |program| programs.contains(&program))
    }

    #[test]
    fn a_user_is_found_by_content() {
        for jobs in [
            &["root cd / && run-parts --report /etc/cron.hourly"][..],
            &["alice /opt/a.sh", "root test -x /usr/sbin/anacron || true"],
            &["www /x.sh"],
            &["etl_prod /srv/etl/run.sh --day"],
            &["backup /usr/local/bin/backup.sh"],
        ] {
            assert_eq!(judged(jobs), Columns::UserAndCommand, "{jobs:?}");
        }
        for jobs in [
            &["/opt/a.sh"][..],
            &["python3 /opt/a.py", "/x.sh"],
            &["cd /srv && ./x"],
            &["mysql -e 'call nightly()'"],
            &["backup --all"],
            &["myjob"],
            &["$HOME/bin/x y"],
            &["curl -fsS https://example.org/x > /dev/null"],
        ] {
            assert_eq!(judged(jobs), Columns::Command, "{jobs:?}");
        }
    }

    #[test]
    fn the_other_lines_decide_where_one_could_be_either() {
        assert_eq!(judged(&["git /x.sh"]), Columns::UserAndCommand);
        assert_eq!(judged(&["git /x.sh", "/opt/b.sh"]), Columns::Command);
    }
}
