//! Who waits for whom, from `order` and `after`, with the place where each edge was written.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::fault::Fault;
use super::order;
use super::reader::{At, Reader};
use super::suggest::or_known;
use super::text::Places;
use crate::dag::graph::{Cycle, Graph};

/// Beyond this many faults the nearest names are no longer searched: each search goes over all tasks.
const MANY_FAULTS: usize = 200;

/// The edges found so far.
pub(super) struct Edges<'t> {
    index: &'t HashMap<&'t str, usize>,
    ids: Vec<String>,
    /// `(upstream, downstream)`, and the first place that says so.
    places: BTreeMap<(usize, usize), Range<usize>>,
}

impl<'t> Edges<'t> {
    pub(super) fn new(index: &'t HashMap<&'t str, usize>, ids: Vec<String>) -> Edges<'t> {
        Edges { index, ids, places: BTreeMap::new() }
    }

    /// One text of `order`.
    pub(super) fn add_chain(&mut self, reader: &mut Reader<'_>, chain: &str, places: &Places) {
        let links = match order::parse(chain) {
            Ok(links) => links,
            Err(fault) => {
                let span = places.at(fault.span);
                reader.push(Fault::error("bad-order", span, fault.message, fault.label).help(fault.help));
                return;
            }
        };
        let mut before: Vec<usize> = Vec::new();
        for link in links {
            let mut here = Vec::with_capacity(link.len());
            for (id, span) in link {
                let at = places.at(span);
                let Some(task) = self.find(reader, &id, at.clone(), "order") else { continue };
                for &upstream in &before {
                    self.places.entry((upstream, task)).or_insert_with(|| at.clone());
                }
                here.push(task);
            }
            before = here;
        }
    }

    /// The `after` of one task.
    pub(super) fn add_after(&mut self, reader: &mut Reader<'_>, task: usize, after: &[At<String>]) {
        let mut seen: HashMap<&str, &Range<usize>> = HashMap::with_capacity(after.len());
        for upstream in after {
            if let Some(first) = seen.insert(&upstream.value, &upstream.span) {
                let message = format!("`{}` is there twice in `after`", upstream.value);
                reader.push(
                    Fault::warning("duplicate-task", upstream.span.clone(), message, "again here")
                        .also(first.clone(), "first here")
                        .help("remove one of them"),
                );
                continue;
            }
            if let Some(found) = self.find(reader, &upstream.value, upstream.span.clone(), "after") {
                self.places.entry((found, task)).or_insert_with(|| upstream.span.clone());
            }
        }
    }

    fn find(&self, reader: &mut Reader<'_>, id: &str, at: Range<usize>, key: &str) -> Option<usize> {
        if let Some(&task) = self.index.get(id) {
            return Some(task);
        }
        let fault = Fault::error(
            "unknown-task",
            at,
            format!("unknown task `{id}` in `{key}`"),
            "no task of this file has this id",
        );
        let fault = if key == "after" && id.contains(">>") {
            fault.help("chains stand in `order`, above the first [table]; `after` lists task ids")
        } else if reader.faults.len() > MANY_FAULTS {
            fault
        } else {
            or_known(fault, id, self.ids.iter().map(String::as_str), "add it as [tasks.NAME]")
        };
        reader.push(fault);
        None
    }

    /// The graph; `None`, with a fault for each strongly connected set of tasks, when there are cycles.
    pub(super) fn graph(&self, reader: &mut Reader<'_>) -> Option<Graph> {
        match Graph::new(self.ids.len(), self.places.keys().copied()) {
            Ok(graph) => Some(graph),
            Err(cycles) => {
                for cycle in &cycles {
                    reader.push(self.cycle(cycle));
                }
                None
            }
        }
    }

    fn cycle(&self, Cycle(path): &Cycle) -> Fault {
        const MOST: usize = 8;
        let id = |position: usize| self.ids[path[position % path.len()]].as_str();
        let shown: Vec<&str> = if path.len() <= MOST {
            (0..=path.len()).map(id).collect()
        } else {
            (0..MOST - 1).map(id).chain(["...", id(path.len() - 1), id(0)]).collect()
        };
        let places: Vec<(Range<usize>, String)> = (0..path.len())
            .filter_map(|position| {
                let edge = (path[position], path[(position + 1) % path.len()]);
                let at = self.places.get(&edge)?.clone();
                Some((at, format!("`{}` waits for `{}`", id(position + 1), id(position))))
            })
            .collect();
        let message = if path.len() == 1 {
            format!("`{}` waits for itself", id(0))
        } else {
            format!("a cycle: {}", shown.join(" >> "))
        };
        let mut places = places.into_iter().rev();
        let (span, label) = places.next().unwrap_or((0..0, String::new()));
        let mut fault = Fault::error("cycle", span, message, label);
        fault.related.extend(places.take(MOST));
        fault.help("remove one of these edges: none of the tasks could ever start")
    }
}
