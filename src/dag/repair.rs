//! Which tasks of a run start again so that the run is as if nothing had gone wrong.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::id::TaskId;
use super::model::{Action, Dag};
use super::state::TaskState;
use super::trigger_rule::{Decision, UpstreamCounts};

/// How far a repair goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepairScope {
    /// What failed, what that blocked, and what was built on it.
    Whole,
    /// What failed and what that blocked. What was built on it stays, although its input was wrong.
    OnlyFailed,
}

/// How a task of the run stands before the repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stands {
    /// Its state.
    pub state: TaskState,
    /// Whether it ended because the time of its wait was over.
    pub waited_in_vain: bool,
    /// Whether its run was ended before it.
    pub cut_off: bool,
}

/// Why a task starts again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "why", content = "task", rename_all = "snake_case")]
pub enum Because {
    /// It failed.
    Failed,
    /// A failure kept it from running.
    UpstreamFailed,
    /// Its run was ended before it: by its timeout, a newer run, or somebody who stopped it.
    CutOff,
    /// It was skipped since it had waited in vain, and something behind it ran all the same.
    WaitedInVain,
    /// It has begun, or was skipped, although this task upstream of it was to be repaired.
    BuiltOn(TaskId),
}

/// The first check that failed although nothing that it follows did. To run it again changes nothing until what it found wrong
/// is made anew, and which tasks made that is for a diagnosis to say.
pub fn check_to_diagnose(dag: &Dag, states: impl Fn(&TaskId) -> Option<TaskState>) -> Option<&TaskId> {
    let has_failed = |task: usize| states(&dag.tasks[task].id).is_some_and(TaskState::has_failed);
    let order = dag.graph.order().iter().copied();
    let mut checks = order.filter(|&task| matches!(dag.tasks[task].action, Action::Check(_)));
    let found = checks.find(|&task| {
        states(&dag.tasks[task].id) == Some(TaskState::Failed) && !dag.graph.ancestors(task).into_iter().any(has_failed)
    })?;
    Some(&dag.tasks[found].id)
}

/// What a failure does to the tasks downstream, if all others succeed: those that do not run because of it, and those whose
/// trigger rules let them run on what there is.
pub fn after_failure_of(dag: &Dag, failed: usize) -> (Vec<&TaskId>, Vec<&TaskId>) {
    let downstream: BTreeSet<usize> = dag.graph.descendants(failed).into_iter().collect();
    let mut states = vec![TaskState::Success; dag.tasks.len()];
    states[failed] = TaskState::Failed;
    let (mut blocked, mut running) = (Vec::new(), Vec::new());
    for &task in dag.graph.order().iter().filter(|task| downstream.contains(task)) {
        let counts = UpstreamCounts::of(dag.graph.upstream(task).iter().map(|&above| states[above]));
        states[task] = match dag.tasks[task].trigger_rule.decide(&counts) {
            Decision::Run => TaskState::Success,
            Decision::Skip => TaskState::Skipped,
            Decision::UpstreamFailed | Decision::Wait => TaskState::UpstreamFailed,
        };
        let list = if states[task] == TaskState::Success { &mut running } else { &mut blocked };
        list.push(&dag.tasks[task].id);
    }
    (blocked, running)
}

/// The tasks of a repair.
///
/// - A task that failed, or that a failure or the end of its run kept from running, is part of it. So is a wait that was in vain and skipped
///   (`soft_fail`), if a task downstream of it has run.
/// - In [`RepairScope::Whole`] so is every task downstream of those, unless nothing has happened to it yet: its trigger rule
///   let it work on what was not there.
///
/// `versions` are those of the DAG that say who is downstream of whom: the one that the run had, by which the tasks have run,
/// and the one with which it begins again. A task that none of them has is never downstream of another.
pub fn repair(stands: &BTreeMap<TaskId, Stands>, versions: &[&Dag], scope: RepairScope) -> BTreeMap<TaskId, Because> {
    let downstream = |task: &TaskId| -> BTreeSet<&TaskId> {
        let of = |dag: &&'_ Dag| -> Vec<usize> {
            dag.task_index(task.as_str()).map(|index| dag.graph.descendants(index)).unwrap_or_default()
        };
        versions.iter().flat_map(|dag| of(dag).into_iter().map(|index| &dag.tasks[index].id)).collect()
    };
    let has_run = |task: &TaskId| {
        stands.get(task).is_some_and(|stands| match stands.state {
            TaskState::Running | TaskState::UpForRetry | TaskState::UpForReschedule | TaskState::Success => true,
            TaskState::None | TaskState::Failed | TaskState::Skipped | TaskState::UpstreamFailed => false,
        })
    };
    let origin = |(task, stands): (&TaskId, &Stands)| match stands.state {
        TaskState::Failed => Some(Because::Failed),
        TaskState::UpstreamFailed => Some(Because::UpstreamFailed),
        TaskState::Skipped if stands.cut_off => Some(Because::CutOff),
        TaskState::Skipped if stands.waited_in_vain && downstream(task).into_iter().any(has_run) => {
            Some(Because::WaitedInVain)
        }
        TaskState::None
        | TaskState::Running
        | TaskState::UpForRetry
        | TaskState::UpForReschedule
        | TaskState::Success
        | TaskState::Skipped => None,
    };
    let origins: BTreeMap<TaskId, Because> =
        stands.iter().filter_map(|stood| origin(stood).map(|because| (stood.0.clone(), because))).collect();
    let mut repaired = origins.clone();
    if scope == RepairScope::OnlyFailed {
        repaired.retain(|_, because| *because != Because::WaitedInVain);
        return repaired;
    }
    // What failed itself is the better reason than what it blocked.
    let (failed, blocked): (Vec<_>, Vec<_>) =
        origins.iter().partition(|(_, because)| **because != Because::UpstreamFailed);
    for (task, _) in failed.into_iter().chain(blocked) {
        for behind in downstream(task) {
            if stands.get(behind).is_some_and(|stands| stands.state != TaskState::None) {
                repaired.entry(behind.clone()).or_insert_with(|| Because::BuiltOn(task.clone()));
            }
        }
    }
    repaired
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::file::read_dag;
    use super::*;

    /// `a>b c` are the edges from a to b and to c. `*` behind a state: it waited in vain; `!`: its run was ended before it.
    fn repaired(edges: &str, states: &str, scope: RepairScope) -> String {
        let dag = dag(edges);
        let stands = states.split_whitespace().map(|text| {
            let (task, state) = text.split_once('=').unwrap();
            let state = TaskState::parse(state.trim_end_matches(['*', '!'])).unwrap();
            (
                TaskId::new(task).unwrap(),
                Stands { state, waited_in_vain: text.ends_with('*'), cut_off: text.ends_with('!') },
            )
        });
        let found = repair(&stands.collect(), &[&dag], scope);
        let words = found.into_iter().map(|(task, because)| match because {
            Because::BuiltOn(on) => format!("{task}<{on}"),
            Because::Failed | Because::UpstreamFailed | Because::CutOff | Because::WaitedInVain => task.to_string(),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn behind_a_failure_some_are_blocked_and_some_run_on_what_there_is() {
        let text = "tasks = { a = { shell = 'true' }, b = { shell = 'true' }, c = { shell = 'true', after = 'a' }, \
                    merge = { shell = 'true', after = ['b', 'c'], trigger_rule = 'all_done' }, push = { shell = 'true', after = 'merge' }, \
                    alarm = { shell = 'true', after = 'c', trigger_rule = 'one_failed' }, last = { shell = 'true', after = ['push', 'c'] } }";
        let dag = read_dag("d", text, &super::super::Config::default(), &|_| true).0.unwrap();
        let words = |tasks: Vec<&TaskId>| tasks.iter().map(|task| task.as_str()).collect::<Vec<_>>().join(" ");
        let (blocked, running) = after_failure_of(&dag, dag.task_index("a").unwrap());
        let mut running: Vec<&str> = running.iter().map(|task| task.as_str()).collect();
        running.sort_unstable();
        assert_eq!((words(blocked).as_str(), running.join(" ").as_str()), ("c last", "alarm merge push"));
    }

    fn dag(edges: &str) -> Dag {
        let mut after: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for edge in edges.split(',') {
            let (from, to) = edge.split_once('>').unwrap();
            after.entry(from.trim()).or_default();
            for to in to.split_whitespace() {
                after.entry(to).or_default().push(from.trim());
            }
        }
        let tables = after.iter().map(|(task, after)| format!("[tasks.{task}]\nshell = 'true'\nafter = {after:?}\n"));
        read_dag("d", &tables.collect::<String>(), &super::super::Config::default(), &|_| true).0.unwrap()
    }

    /// Edges, states before, the whole repair, the narrow one.
    const CASES: [(&str, &str, &str, &str, &str); 13] = [
        ("nothing failed", "a>b, b>c", "a=success b=skipped c=success", "", ""),
        ("a chain", "a>b, b>c", "a=failed b=upstream_failed c=upstream_failed", "a b c", "a b c"),
        ("all_done built on a failure", "a>c, b>c, c>d", "a=failed b=success c=success d=success", "a c<a d<a", "a"),
        (
            "only the branch that failed",
            "a>x, b>y, x>m, y>m",
            "a=failed x=upstream_failed b=success y=success m=success",
            "a m<a x",
            "a x",
        ),
        ("one_failed's messenger is not wanted again", "a>mail", "a=failed mail=success", "a mail<a", "a"),
        ("skipped behind a failure", "a>b, b>c", "a=failed b=skipped c=success", "a b<a c<a", "a"),
        ("a failure behind a failure", "a>b, b>c", "a=failed b=failed c=success", "a b c<a", "a b"),
        ("what has not begun begins by itself", "a>b, b>c", "a=failed b=none c=none", "a", "a"),
        ("what works on wrong inputs now", "a>b, b>c", "a=failed b=running c=none", "a b<a", "a"),
        ("a wait in vain that failed", "w>m, o>m", "w=failed* o=success m=success", "m<w w", "w"),
        ("a wait in vain that was skipped", "w>m, o>m", "w=skipped* o=success m=success", "m<w w", ""),
        ("a run that took too long", "a>b, b>c", "a=success b=skipped! c=skipped!", "b c", "b c"),
        ("a wait in vain on which nothing was built", "w>m, m>n", "w=skipped* m=skipped n=skipped", "", ""),
    ];

    #[test]
    fn a_repair_is_what_failed_what_that_blocked_and_what_was_built_on_it() {
        for (name, edges, states, whole, only_failed) in CASES {
            assert_eq!(repaired(edges, states, RepairScope::Whole), whole, "{name}");
            assert_eq!(repaired(edges, states, RepairScope::OnlyFailed), only_failed, "{name}");
        }
    }

    #[test]
    fn who_was_downstream_when_the_tasks_ran_counts_as_well_as_who_is_now() {
        let (before, now) = (dag("a>b, b>c, n>n2"), dag("b>c, a>n, n>n2"));
        let stands = [("a", TaskState::Failed), ("b", TaskState::Success), ("c", TaskState::Success)];
        let stands = stands
            .map(|(task, state)| (TaskId::new(task).unwrap(), Stands { state, waited_in_vain: false, cut_off: false }));
        let found = repair(&stands.into(), &[&before, &now], RepairScope::Whole);
        let names: Vec<&str> = found.keys().map(TaskId::as_str).collect();
        assert_eq!(names, ["a", "b", "c"], "the edit of an edge does not make b's input right, and n is new");
    }

    fn any_states() -> impl Strategy<Value = (String, Vec<(bool, TaskState)>)> {
        (2_usize..9).prop_flat_map(|tasks| {
            let edge = (0..tasks, 0..tasks).prop_filter("downwards", |(from, to)| from < to);
            let edges = prop::collection::vec(edge, 1..14);
            let states = prop::collection::vec((any::<bool>(), prop::sample::select(&TaskState::ALL[..])), tasks);
            (edges, states).prop_map(|(edges, states)| {
                let edges: Vec<String> = edges.iter().map(|(from, to)| format!("t{from}>t{to}")).collect();
                (edges.join(", "), states)
            })
        })
    }

    proptest! {
        /// What stays has only inputs that stay, or has not begun: so every input of a run that was repaired is right.
        #[test]
        fn nothing_that_stays_was_built_on_what_is_repaired((edges, states) in any_states()) {
            let dag = dag(&edges);
            let stands: BTreeMap<TaskId, Stands> = dag.tasks.iter().zip(&states).map(|(task, (in_vain, state))| {
                (task.id.clone(), Stands { state: *state, waited_in_vain: *in_vain && state.is_final(), cut_off: false })
            }).collect();
            let whole = repair(&stands, &[&dag], RepairScope::Whole);
            let narrow = repair(&stands, &[&dag], RepairScope::OnlyFailed);
            for (index, task) in dag.tasks.iter().enumerate() {
                let state = stands[&task.id].state;
                let is_wrong = matches!(state, TaskState::Failed | TaskState::UpstreamFailed);
                prop_assert_eq!(narrow.contains_key(&task.id), is_wrong);
                prop_assert!(!is_wrong || whole.contains_key(&task.id));
                prop_assert!(state != TaskState::None || !whole.contains_key(&task.id));
                let above = dag.graph.ancestors(index);
                let is_built_on = above.iter().any(|&above| whole.contains_key(&dag.tasks[above].id));
                prop_assert!(!is_built_on || state == TaskState::None || whole.contains_key(&task.id));
                let is_blamed = above.iter().any(|&above| {
                    matches!(whole.get(&dag.tasks[above].id), Some(because) if !matches!(because, Because::BuiltOn(_)))
                });
                prop_assert!(!whole.contains_key(&task.id) || is_wrong || is_blamed || stands[&task.id].waited_in_vain);
            }
        }
    }
}
