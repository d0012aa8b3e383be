//! Takes secrets out of texts: whatever crondag writes where others may read it goes through here.
//!
//! Only the secret itself is found, not what a program makes of it (base64, URL escapes, one half of it).

/// What stands where a secret was.
pub const MASK: &str = "***";

/// Shorter secrets cannot be masked: they would take ordinary words along.
pub const SHORTEST_SECRET: usize = 4;

/// The secrets that must not be seen.
#[derive(Debug, Clone, Default)]
pub struct Mask {
    /// The longest first, for one secret may begin with another.
    secrets: Vec<Vec<u8>>,
}

impl Mask {
    /// A mask for these values. Of one with several lines, each line is masked too. What is shorter than
    /// [`SHORTEST_SECRET`] is left out.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Mask {
        let mut secrets: Vec<Vec<u8>> = secrets
            .into_iter()
            .flat_map(|secret| secret.lines().chain([secret]))
            .filter(|text| text.len() >= SHORTEST_SECRET)
            .map(|text| text.as_bytes().to_vec())
            .collect();
        secrets.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        secrets.dedup();
        Mask { secrets }
    }

    /// Whether there is nothing to mask.
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty()
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

/// Masks what comes in pieces, such as a program's output: a secret may be spread over several of them.
#[derive(Debug)]
pub struct Stream {
    mask: Mask,
    /// Bytes that may be the beginning of a secret.
    held: Vec<u8>,
    /// How many of the bytes to come belong to a secret that is masked already.
    covered: usize,
}

impl Stream {
    /// A stream that nothing has come through.
    pub fn new(mask: Mask) -> Stream {
        Stream { mask, held: Vec::new(), covered: 0 }
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
        let secrets = &self.mask.secrets;
        if secrets.is_empty() {
            return bytes.to_vec();
        }
        let mut input = std::mem::take(&mut self.held);
        input.extend_from_slice(bytes);
        let mut is_first = [false; 256];
        for secret in secrets {
            is_first[usize::from(secret[0])] = true;
        }
        let mut masked = Vec::with_capacity(input.len());
        for (position, byte) in input.iter().enumerate() {
            let rest = &input[position..];
            if is_first[usize::from(*byte)] {
                // A shorter secret that is whole may be the beginning of a longer one that is not.
                if !is_end && secrets.iter().any(|secret| secret.len() > rest.len() && secret.starts_with(rest)) {
                    self.held = rest.to_vec();
                    return masked;
                }
                if let Some(secret) = secrets.iter().find(|secret| rest.starts_with(secret)) {
                    // Secrets may overlap: all of both is covered.
                    if self.covered == 0 {
                        masked.extend_from_slice(MASK.as_bytes());
                    }
                    self.covered = self.covered.max(secret.len());
                }
            }
            if self.covered > 0 {
                self.covered -= 1;
            } else {
                masked.push(*byte);
            }
        }
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
