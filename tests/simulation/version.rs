//! DAG files made at random, and what they say, known without reading them.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, civil};

use super::calendar::Calendar;
use super::random::Random;

/// Pools of the simulated home, with their slots.
pub const POOLS: [(&str, u32); 2] = [("narrow", 1), ("wide", 3)];

/// What one text of a DAG file says.
#[derive(Clone)]
pub struct Version {
    pub dag: String,
    /// Unique in the world; stands in every command of the file.
    pub mark: u32,
    pub calendar: Option<Calendar>,
    pub zone: &'static str,
    pub start_date: Option<civil::Date>,
    pub end_date: Option<civil::Date>,
    pub catchup: bool,
    pub max_active_runs: u32,
    /// What becomes of a scheduled run that is due while another is going on.
    pub overlap: &'static str,
    pub max_active_tasks: u32,
    pub run_timeout: Option<i64>,
    pub tasks: Vec<Task>,
    pub text: String,
    /// The instant at which `start_date` begins.
    pub first: Option<Timestamp>,
    /// Data intervals within `start_date` and `end_date`, oldest first.
    intervals: Vec<(Timestamp, Timestamp)>,
}

#[derive(Debug, Clone)]
pub struct Task {
    pub id: String,
    pub upstream: Vec<String>,
    pub rule: &'static str,
    pub retries: u32,
    pub retry_delay: i64,
    pub retry_backoff: u32,
    pub retry_max_delay: i64,
    pub timeout: Option<i64>,
    pub depends_on_past: bool,
    pub pool: Option<(&'static str, u32)>,
    pub priority: i64,
    pub has_email: bool,
    pub mail_on_failure: bool,
    pub mail_on_retry: bool,
    pub mail_on_success: bool,
    /// It waits instead of working.
    pub wait: Option<Wait>,
}

/// What a task waits for, how often that is evaluated, and for how long; in seconds.
#[derive(Debug, Clone)]
pub struct Wait {
    pub condition: Condition,
    pub every: i64,
    pub for_at_most: i64,
    pub soft_fail: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Something that the driver has its host poll.
    File,
    /// Something that a process evaluates.
    Command,
    /// The run of another DAG, in the database.
    Dag(String),
}

const RULES: [&str; 12] = [
    "all_success",
    "all_failed",
    "all_done",
    "all_done_min_one_success",
    "one_success",
    "one_failed",
    "one_done",
    "none_failed",
    "none_skipped",
    "none_failed_min_one_success",
    "all_skipped",
    "always",
];

const ZONES: [&str; 8] = [
    "America/New_York",
    "Europe/London",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Pacific/Auckland",
    "Asia/Shanghai",
    "UTC",
];

/// The time in which a world lives, with room around it.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub from: Timestamp,
    pub to: Timestamp,
    /// How far the clock may go wrong, to either side.
    pub around: SignedDuration,
}

impl Wait {
    fn random(dag: &str, random: &mut Random) -> Wait {
        let other = format!("d{}", random.below(4));
        let condition = match random.below(5) {
            0 | 1 => Condition::File,
            2 | 3 => Condition::Command,
            _ if other == dag => Condition::File,
            _ => Condition::Dag(other),
        };
        let every = *random.pick(&[5, 60, 300, 1_800]);
        let for_at_most = every * random.between(1, 15) + random.between(0, 59);
        Wait { condition, every, for_at_most, soft_fail: random.chance(400) }
    }

    /// Whether the driver polls by itself, without a process.
    pub fn is_of_driver(&self) -> bool {
        self.condition != Condition::Command
    }
}

impl std::fmt::Debug for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} version {}", self.dag, self.mark)
    }
}

impl Version {
    pub fn random(dag: &str, mark: u32, span: Span, random: &mut Random) -> Version {
        let zone = *random.pick(&ZONES);
        let calendar = (!random.chance(80)).then(|| Calendar::random(random));
        let start = TimeZone::get(zone).unwrap().to_datetime(span.from).date();
        let day = |offset: i64| start.checked_add(SignedDuration::from_hours(24 * offset)).unwrap();
        let start_date = random.chance(600).then(|| day(random.between(-3, 4)));
        let end_date = random.chance(150).then(|| day(random.between(4, 30)));
        let mut version = Version {
            dag: dag.to_owned(),
            mark,
            calendar,
            zone,
            start_date,
            end_date,
            catchup: random.chance(450),
            max_active_runs: u32::try_from(*random.pick(&[1, 1, 2, 3, 16])).unwrap(),
            overlap: "wait",
            max_active_tasks: u32::try_from(*random.pick(&[1, 2, 4, 16])).unwrap(),
            run_timeout: random.chance(150).then(|| random.between(1_800, 40_000)),
            tasks: Vec::new(),
            text: String::new(),
            first: None,
            intervals: Vec::new(),
        };
        let count = random.between(1, 6);
        for index in 0..count {
            version.add_task(&format!("t{index}"), random);
        }
        version.choose_overlap();
        version.render(span);
        version
    }

    fn choose_overlap(&mut self) {
        let mut random = Random::about(u64::from(self.mark), &format!("{} overlap", self.dag));
        self.overlap =
            *random.pick(if self.catchup { &["wait", "allow"] } else { &["wait", "skip", "replace", "allow"] });
    }

    fn add_task(&mut self, id: &str, random: &mut Random) {
        let upstream: Vec<String> =
            self.tasks.iter().filter(|_| random.chance(400)).map(|task| task.id.clone()).collect();
        // What takes slots stays the same in all versions, so that they can be counted from outside.
        let mut lasting = Random::about(u64::from(self.max_active_tasks), &format!("{} {id}", self.dag));
        let pool = lasting.chance(400).then(|| {
            let (name, slots) = *lasting.pick(&POOLS);
            (name, (*lasting.pick(&[1, 1, 1, 2, 3])).min(slots))
        });
        let rule = if random.chance(550) { "all_success" } else { *random.pick(&RULES) };
        self.tasks.push(Task {
            id: id.to_owned(),
            upstream,
            rule,
            retries: u32::try_from(*random.pick(&[0, 0, 1, 1, 2, 4])).unwrap(),
            retry_delay: *random.pick(&[0, 10, 60, 600, 3_600]),
            retry_backoff: u32::try_from(*random.pick(&[1, 1, 2, 3])).unwrap(),
            retry_max_delay: *random.pick(&[900, 7_200, 86_400]),
            timeout: random.chance(250).then(|| random.between(60, 5_000)),
            depends_on_past: random.chance(200),
            pool,
            priority: random.between(-2, 2),
            has_email: random.chance(700),
            mail_on_failure: random.chance(800),
            mail_on_retry: random.chance(300),
            mail_on_success: random.chance(100),
            wait: random.chance(150).then(|| Wait::random(&self.dag, random)),
        });
    }

    /// The file after somebody has worked on it.
    pub fn edited(&self, mark: u32, span: Span, random: &mut Random) -> Version {
        let mut next = self.clone();
        next.mark = mark;
        match random.below(7) {
            0 => {
                let id = format!("t{}", random.below(9));
                if next.task(&id).is_none() {
                    next.add_task(&id, random);
                }
            }
            1 if next.tasks.len() > 1 => {
                let gone = next.tasks.remove(usize::try_from(random.below(next.tasks.len() as u64)).unwrap());
                for task in &mut next.tasks {
                    task.upstream.retain(|up| *up != gone.id);
                }
            }
            2 => next.calendar = Some(Calendar::random(random)),
            3 => {
                next.catchup = !next.catchup;
                next.choose_overlap();
            }
            4 => next.calendar = if random.chance(500) { None } else { next.calendar },
            5 => {
                for task in &mut next.tasks {
                    task.retries = u32::try_from(random.below(4)).unwrap();
                }
            }
            _ => next.end_date = None,
        }
        next.render(span);
        next
    }

    /// What a task that waits for a file has its host poll.
    pub fn awaited_file(&self, task: &str, ds: &str) -> String {
        format!("work {task} version {}; {ds}", self.mark)
    }

    pub fn task(&self, id: &str) -> Option<&Task> {
        self.tasks.iter().find(|task| task.id == id)
    }

    pub fn time_zone(&self) -> TimeZone {
        TimeZone::get(self.zone).unwrap()
    }

    fn render(&mut self, span: Span) {
        let mut text = format!("# version {}\ntimezone = \"{}\"\n", self.mark, self.zone);
        if let Some(calendar) = &self.calendar {
            writeln!(text, "schedule = \"{}\"", calendar.text).unwrap();
        }
        if let Some(date) = self.start_date {
            writeln!(text, "start_date = {date}").unwrap();
        }
        if let Some(date) = self.end_date {
            writeln!(text, "end_date = {date}").unwrap();
        }
        writeln!(text, "catchup = {}\nmax_active_runs = {}", self.catchup, self.max_active_runs).unwrap();
        writeln!(text, "overlap = \"{}\"", self.overlap).unwrap();
        writeln!(text, "max_active_tasks = {}", self.max_active_tasks).unwrap();
        if let Some(timeout) = self.run_timeout {
            writeln!(text, "run_timeout = \"{timeout}s\"").unwrap();
        }
        for task in &self.tasks {
            let what = format!("work {} version {};", task.id, self.mark);
            writeln!(text, "[tasks.{}]", task.id).unwrap();
            match &task.wait {
                None => writeln!(text, "shell = \"{what}\"").unwrap(),
                Some(wait) => {
                    let condition = match &wait.condition {
                        Condition::File => format!("file = \"{what} {{{{ ds }}}}\""),
                        Condition::Command => format!("command = \"{what}\""),
                        Condition::Dag(dag) => format!("dag = \"{dag}\""),
                    };
                    let times = format!("every = \"{}s\", for_at_most = \"{}s\"", wait.every, wait.for_at_most);
                    writeln!(text, "wait = {{ {condition}, {times}, soft_fail = {} }}", wait.soft_fail).unwrap();
                }
            }
            writeln!(text, "after = {:?}\ntrigger_rule = \"{}\"", task.upstream, task.rule).unwrap();
            writeln!(text, "retries = {}\nretry_delay = \"{}s\"", task.retries, task.retry_delay).unwrap();
            writeln!(text, "retry_backoff = {}", task.retry_backoff).unwrap();
            writeln!(text, "retry_max_delay = \"{}s\"", task.retry_max_delay).unwrap();
            if let Some(timeout) = task.timeout {
                writeln!(text, "timeout = \"{timeout}s\"").unwrap();
            }
            if let Some((pool, slots)) = task.pool {
                writeln!(text, "pool = \"{pool}\"\npool_slots = {slots}").unwrap();
            }
            writeln!(text, "depends_on_past = {}\npriority = {}", task.depends_on_past, task.priority).unwrap();
            if task.has_email {
                writeln!(text, "email = \"{}@example.com\"", task.id).unwrap();
            }
            writeln!(text, "email_on_failure = {}\nemail_on_retry = {}", task.mail_on_failure, task.mail_on_retry)
                .unwrap();
            writeln!(text, "email_on_success = {}", task.mail_on_success).unwrap();
        }
        self.text = text;
        let fires = match &self.calendar {
            Some(calendar) => calendar.fires(&self.time_zone(), span.from - span.around, span.to + span.around),
            None => Vec::new(),
        };
        let zone = self.time_zone();
        // The first instant of a day, also where midnight is skipped.
        let begins = |date: civil::Date| date.to_zoned(zone.clone()).unwrap().start_of_day().unwrap().timestamp();
        self.first = self.start_date.map(begins);
        let after_last = self.end_date.map(|date| begins(date.tomorrow().unwrap()));
        let mut intervals: Vec<(Timestamp, Timestamp)> = fires.windows(2).map(|pair| (pair[0], pair[1])).collect();
        intervals.retain(|(start, _)| {
            self.first.is_none_or(|first| *start >= first) && after_last.is_none_or(|after| *start < after)
        });
        self.intervals = intervals;
    }

    /// Data intervals within `start_date` and `end_date` that have closed at `now`, oldest first.
    pub fn closed(&self, now: Timestamp) -> &[(Timestamp, Timestamp)] {
        &self.intervals[..self.intervals.partition_point(|(_, end)| *end <= now)]
    }

    /// When the next one closes.
    pub fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        self.intervals.get(self.closed(now).len()).map(|(_, end)| *end)
    }

    /// Those of them that closed after `from`.
    pub fn closed_between(&self, from: Timestamp, now: Timestamp) -> &[(Timestamp, Timestamp)] {
        let closed = self.closed(now);
        &closed[closed.partition_point(|(_, end)| *end <= from)..]
    }
}
