//! Takes secrets out of texts: whatever crondag writes where others may read it goes through here.
//!
//! Only the secret itself is found, not what a program makes of it (base64, URL escapes, one half of it).

use std::collections::VecDeque;
use std::sync::Arc;

/// What stands where a secret was.
pub const MASK: &str = "***";

/// Shorter secrets cannot be masked: they would take ordinary words along.
pub const SHORTEST_SECRET: usize = 4;

/// The secrets that must not be seen.
#[derive(Debug, Clone)]
pub struct Mask {
    /// Shared by whoever masks with it.
    nodes: Arc<[Node]>,
}

/// A state of the automaton that finds all secrets in one pass (Aho and Corasick, 1975): a text with which some secret begins.
/// Ready-made ones do not say how long that text is, and so how much of a piece must be held back.
#[derive(Debug, Clone, Default)]
struct Node {
    byte: u8,
    /// The texts that are this one and a byte more are a list; 0 ends it.
    child: usize,
    sibling: usize,
    /// The longest end of this text with which a secret begins too.
    fallback: usize,
    /// How long this text is.
    depth: usize,
    /// How long the longest secret is with which this text ends; 0 when there is none.
    secret: usize,
}

const ROOT: usize = 0;

impl Default for Mask {
    fn default() -> Mask {
        Mask { nodes: Arc::new([Node::default()]) }
    }
}

impl Mask {
    /// A mask for these values. Of one with several lines, each line is masked too. What is shorter than
    /// [`SHORTEST_SECRET`] is left out.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Mask {
        let mut nodes = vec![Node::default()];
        let texts = secrets.into_iter().flat_map(|secret| secret.lines().chain([secret]));
        for text in texts.filter(|text| text.len() >= SHORTEST_SECRET) {
            let mut at = ROOT;
            for byte in text.bytes() {
                at = child(&nodes, at, byte).unwrap_or_else(|| {
                    let (sibling, depth) = (nodes[at].child, nodes[at].depth + 1);
                    nodes.push(Node { byte, sibling, depth, ..Node::default() });
                    nodes[at].child = nodes.len() - 1;
                    nodes.len() - 1
                });
            }
            nodes[at].secret = text.len();
        }
        link(&mut nodes);
        Mask { nodes: nodes.into() }
    }

    /// Whether there is nothing to mask.
    pub fn is_empty(&self) -> bool {
        self.nodes.len() == 1
    }

    /// The text without secrets.
    pub fn text(&self, text: &str) -> String {
        if self.is_empty() {
            return text.to_owned();
        }
        // Secrets are UTF-8, so they begin and end between characters.
        String::from_utf8_lossy(&Stream::new(self.clone()).last(text.as_bytes())).into_owned()
    }
}

fn child(nodes: &[Node], parent: usize, byte: u8) -> Option<usize> {
    let mut at = nodes[parent].child;
    while at != ROOT && nodes[at].byte != byte {
        at = nodes[at].sibling;
    }
    (at != ROOT).then_some(at)
}

/// The state behind this one and a byte more.
fn step(nodes: &[Node], mut at: usize, byte: u8) -> usize {
    loop {
        match child(nodes, at, byte) {
            Some(child) => return child,
            None if at == ROOT => return ROOT,
            None => at = nodes[at].fallback,
        }
    }
}

/// Finds the fallbacks, the shortest texts first: each is found from those of shorter texts.
fn link(nodes: &mut [Node]) {
    let mut open = VecDeque::from([ROOT]);
    while let Some(parent) = open.pop_front() {
        let mut at = nodes[parent].child;
        while at != ROOT {
            let fallback = if parent == ROOT { ROOT } else { step(nodes, nodes[parent].fallback, nodes[at].byte) };
            nodes[at].fallback = fallback;
            if nodes[at].secret == 0 {
                nodes[at].secret = nodes[fallback].secret;
            }
            open.push_back(at);
            at = nodes[at].sibling;
        }
    }
}

/// Masks what comes in pieces, such as a program's output: a secret may be spread over several of them. The time that it takes
/// grows with the text alone, whatever the secrets are.
#[derive(Debug)]
pub struct Stream {
    mask: Mask,
    at: usize,
    /// Bytes that may be the beginning of a secret.
    held: Vec<u8>,
    /// Which of them belong to secrets; in order, apart from one another.
    covers: Vec<Cover>,
}

/// A part of what is held that belongs to a secret, or to several that overlap.
#[derive(Debug)]
struct Cover {
    start: usize,
    end: usize,
    /// The mask for it has been written: its beginning is no longer held.
    is_written: bool,
}

impl Stream {
    /// A stream that nothing has come through.
    pub fn new(mask: Mask) -> Stream {
        Stream { mask, at: ROOT, held: Vec::new(), covers: Vec::new() }
    }

    /// The next piece. What may begin a secret is held back until more comes.
    pub fn next(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.pass(bytes, false)
    }

    /// The last piece, with all that was held back.
    pub fn last(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.pass(bytes, true)
    }

    fn pass(&mut self, bytes: &[u8], is_end: bool) -> Vec<u8> {
        if self.mask.is_empty() {
            return bytes.to_vec();
        }
        let nodes = self.mask.nodes.clone();
        let start = self.held.len();
        self.held.extend_from_slice(bytes);
        for (position, byte) in bytes.iter().enumerate() {
            self.at = step(&nodes, self.at, *byte);
            let secret = nodes[self.at].secret;
            if secret > 0 {
                let end = start + position + 1;
                self.cover(end - secret, end);
            }
        }
        // No secret to come begins before this.
        let mut decided = self.held.len();
        if is_end {
            self.at = ROOT;
        } else {
            decided -= nodes[self.at].depth;
        }
        self.take(decided)
    }

    /// Secrets may overlap: all of both is covered.
    fn cover(&mut self, start: usize, end: usize) {
        let mut cover = Cover { start, end, is_written: false };
        while let Some(last) = self.covers.pop_if(|last| last.end > start) {
            cover.start = cover.start.min(last.start);
            cover.is_written |= last.is_written;
        }
        self.covers.push(cover);
    }

    /// Takes the first of the bytes that are held, masked.
    fn take(&mut self, count: usize) -> Vec<u8> {
        let mut masked = Vec::with_capacity(count);
        let mut plain_from = 0;
        for cover in self.covers.iter_mut().filter(|cover| cover.start < count) {
            masked.extend_from_slice(&self.held[plain_from..cover.start]);
            if !std::mem::replace(&mut cover.is_written, true) {
                masked.extend_from_slice(MASK.as_bytes());
            }
            plain_from = cover.end.min(count);
        }
        masked.extend_from_slice(&self.held[plain_from..count]);
        self.held.drain(..count);
        self.covers.retain_mut(|cover| {
            (cover.start, cover.end) = (cover.start.saturating_sub(count), cover.end.saturating_sub(count));
            cover.end > 0
        });
        masked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masked(secrets: &[&str], pieces: &[&str]) -> String {
        let mut stream = Stream::new(Mask::new(secrets.iter().copied()));
        let mut bytes: Vec<u8> = pieces.iter().flat_map(|piece| stream.next(piece.as_bytes())).collect();
        bytes.extend(stream.last(b""));
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn secrets_are_masked_even_across_pieces() {
        assert_eq!(masked(&["hunter2!"], &["a hun", "ter2! b hunter", "2", "! c hunt"]), "a *** b *** c hunt");
        assert_eq!(masked(&["hunter2!"], &["hunter2!hunter2!"]), "******");
        assert_eq!(masked(&["aaab"], &["aa", "aaab"]), "aa***");
    }

    #[test]
    fn a_secret_that_begins_with_another_leaves_no_rest() {
        assert_eq!(masked(&["hunter2", "hunter2-long"], &["x hunter2", "-long y hunter2", "-lo"]), "x *** y ***-lo");
    }

    #[test]
    fn secrets_that_overlap_are_covered_whole() {
        assert_eq!(masked(&["abcdef", "defghi"], &["abcdefghi."]), "***.");
        assert_eq!(masked(&["abcdef", "defghi"], &["abcd", "efg", "hi."]), "***.");
    }

    /// Each byte is looked at a bounded number of times: where it were looked at once for each byte of the secret, this would take hours.
    #[test]
    fn a_long_secret_that_nearly_occurs_everywhere_costs_no_more_than_a_short_one() {
        let secret = format!("{}b", "a".repeat(100_000));
        let text = "a".repeat(4 << 20);
        let pieces: Vec<&str> = text.as_bytes().chunks(1 << 10).map(|piece| str::from_utf8(piece).unwrap()).collect();
        assert_eq!(masked(&[&secret], &pieces), text);
        assert_eq!(masked(&[&secret[..100_000]], &pieces), "***");
    }

    #[test]
    fn each_line_of_a_secret_is_one() {
        let key = "-----BEGIN-----\nabcd\nxy\n-----END-----";
        assert_eq!(masked(&[key], &["> abcd\n> xy\n"]), "> ***\n> xy\n");
        assert_eq!(masked(&["ab\ncd"], &["ab\ncd"]), "***", "short lines are masked as a whole");
        assert_eq!(masked(&["abc", ""], &["abc"]), "abc", "too short to be masked");
    }

    proptest! {
        #[test]
        fn no_secret_passes_however_it_is_cut(
            secrets in prop::collection::vec("[ab]{4,6}", 1..4),
            pieces in prop::collection::vec("[abc]{0,5}", 0..30),
        ) {
            let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let found = masked(&secrets, &pieces);
            // A mask in between parts what would read as a secret again.
            prop_assert!(secrets.iter().all(|secret| !found.contains(secret)), "{found}");
            prop_assert_eq!(found, masked(&secrets, &[&pieces.concat()]));
        }
    }
}
