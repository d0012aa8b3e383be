//! Who waits for whom: the edges of a DAG by task index, with petgraph to find cycles and their paths.

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Edges between the tasks of one DAG; indexes are positions in `Dag::tasks`. Acyclic by construction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    upstream: Vec<Vec<usize>>,
    downstream: Vec<Vec<usize>>,
    order: Vec<usize>,
}

/// A cycle: the tasks along it, the first one not repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle(pub Vec<usize>);

impl Graph {
    /// Builds the graph of `tasks` tasks from `(upstream, downstream)` pairs; the same pair twice is one edge.
    ///
    /// # Errors
    /// One shortest cycle for each strongly connected set of tasks.
    ///
    /// # Panics
    /// When an edge names an index that is not below `tasks`.
    pub fn new(tasks: usize, edges: impl IntoIterator<Item = (usize, usize)>) -> Result<Graph, Vec<Cycle>> {
        let mut edges: Vec<(usize, usize)> = edges.into_iter().collect();
        edges.sort_unstable();
        edges.dedup();
        let mut upstream = vec![Vec::new(); tasks];
        let mut downstream = vec![Vec::new(); tasks];
        for &(from, to) in &edges {
            downstream[from].push(to);
            upstream[to].push(from);
        }
        match topological_order(&upstream, &downstream) {
            Some(order) => Ok(Graph { upstream, downstream, order }),
            None => Err(cycles(tasks, &edges, &downstream)),
        }
    }

    /// Number of tasks.
    pub fn len(&self) -> usize {
        self.upstream.len()
    }

    /// Whether there are no tasks.
    pub fn is_empty(&self) -> bool {
        self.upstream.is_empty()
    }

    /// The tasks that `task` waits for, ascending.
    pub fn upstream(&self, task: usize) -> &[usize] {
        &self.upstream[task]
    }

    /// The tasks that wait for `task`, ascending.
    pub fn downstream(&self, task: usize) -> &[usize] {
        &self.downstream[task]
    }

    /// All tasks, upstream before downstream; among those that are free, the one that stands first in the file.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// Whether nothing waits for `task`. Leaves decide the state of a run.
    pub fn is_leaf(&self, task: usize) -> bool {
        self.downstream[task].is_empty()
    }

    /// Every task reachable from `task` downstream, without itself, ascending.
    pub fn descendants(&self, task: usize) -> Vec<usize> {
        reachable(task, &self.downstream)
    }

    /// Every task reachable from `task` upstream, without itself, ascending.
    pub fn ancestors(&self, task: usize) -> Vec<usize> {
        reachable(task, &self.upstream)
    }
}

fn reachable(start: usize, next: &[Vec<usize>]) -> Vec<usize> {
    let mut seen = vec![false; next.len()];
    let mut stack = vec![start];
    while let Some(task) = stack.pop() {
        for &other in &next[task] {
            if !std::mem::replace(&mut seen[other], true) {
                stack.push(other);
            }
        }
    }
    (0..next.len()).filter(|&task| seen[task]).collect()
}

/// Kahn's algorithm with a heap, because petgraph's `toposort` loses the order of the file.
fn topological_order(upstream: &[Vec<usize>], downstream: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut open: Vec<usize> = upstream.iter().map(Vec::len).collect();
    let mut free: BinaryHeap<Reverse<usize>> = (0..open.len()).filter(|&task| open[task] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(open.len());
    while let Some(Reverse(task)) = free.pop() {
        order.push(task);
        for &next in &downstream[task] {
            open[next] -= 1;
            if open[next] == 0 {
                free.push(Reverse(next));
            }
        }
    }
    (order.len() == open.len()).then_some(order)
}

fn cycles(tasks: usize, edges: &[(usize, usize)], downstream: &[Vec<usize>]) -> Vec<Cycle> {
    let mut graph = DiGraph::<(), ()>::with_capacity(tasks, edges.len());
    let nodes: Vec<NodeIndex> = (0..tasks).map(|_| graph.add_node(())).collect();
    for &(from, to) in edges {
        graph.add_edge(nodes[from], nodes[to], ());
    }
    let mut found: Vec<Cycle> = tarjan_scc(&graph)
        .into_iter()
        .filter_map(|component| {
            let start = component.iter().map(|node| node.index()).min()?;
            shortest_cycle(start, downstream)
        })
        .collect();
    found.sort_by_key(|cycle| cycle.0[0]);
    found
}

/// Breadth first from `start` back to `start`; `None` when it lies on no cycle.
fn shortest_cycle(start: usize, downstream: &[Vec<usize>]) -> Option<Cycle> {
    let mut came_from = vec![usize::MAX; downstream.len()];
    let mut queue = VecDeque::from([start]);
    while let Some(task) = queue.pop_front() {
        for &next in &downstream[task] {
            if next == start {
                let mut path = vec![task];
                while *path.last()? != start {
                    path.push(came_from[*path.last()?]);
                }
                path.reverse();
                return Some(Cycle(path));
            }
            if came_from[next] == usize::MAX {
                came_from[next] = task;
                queue.push_back(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_keeps_the_file_order_of_free_tasks() {
        let graph = Graph::new(4, [(3, 0), (1, 0), (1, 0)]).unwrap();
        assert_eq!(graph.order(), [1, 2, 3, 0]);
        assert_eq!(graph.upstream(0), [1, 3]);
        assert_eq!(graph.downstream(1), [0]);
        assert!(graph.is_leaf(0) && graph.is_leaf(2) && !graph.is_leaf(1));
    }

    #[test]
    fn cycles_are_given_as_shortest_paths_one_per_knot() {
        let cycles = Graph::new(6, [(0, 1), (1, 2), (2, 0), (1, 0), (3, 3), (4, 5)]).unwrap_err();
        assert_eq!(cycles, [Cycle(vec![0, 1]), Cycle(vec![3])]);
    }

    #[test]
    fn ancestors_and_descendants_are_transitive() {
        let graph = Graph::new(4, [(0, 1), (1, 2), (0, 3)]).unwrap();
        assert_eq!(graph.descendants(0), [1, 2, 3]);
        assert_eq!(graph.ancestors(2), [0, 1]);
    }

    #[test]
    fn counts_its_tasks() {
        let [none, three] = [0, 3].map(|tasks| Graph::new(tasks, []).unwrap());
        assert_eq!((none.len(), none.is_empty()), (0, true));
        assert_eq!((three.len(), three.is_empty()), (3, false));
    }
}
