//! Where a part of a TOML string's value stands in the file.

use std::ops::Range;

/// Maps byte offsets of a string's value to byte offsets of the file.
pub(super) struct Places {
    /// Of the whole string, quotes included.
    whole: Range<usize>,
    map: Map,
}

enum Map {
    /// The value stands in the file as it is, from here on.
    Shifted(usize),
    /// For each byte of the value, and its end, the byte of the file. The string has escapes.
    Each(Vec<usize>),
    /// Not known.
    Unknown,
}

impl Places {
    /// Of the string at `whole` in `file`, whose value is `value`.
    pub(super) fn of(file: &str, whole: Range<usize>, value: &str) -> Places {
        let raw = file.get(whole.clone()).unwrap_or_default();
        let (quotes, is_basic) = match raw {
            _ if raw.len() >= 6 && raw.starts_with("\"\"\"") => (3, true),
            _ if raw.len() >= 6 && raw.starts_with("'''") => (3, false),
            _ if raw.len() >= 2 && raw.starts_with('"') => (1, true),
            _ if raw.len() >= 2 && raw.starts_with('\'') => (1, false),
            _ => return Places { whole, map: Map::Unknown },
        };
        let mut inner = raw.get(quotes..raw.len() - quotes).unwrap_or_default();
        let mut start = whole.start + quotes;
        if quotes == 3 {
            let trimmed = inner.strip_prefix("\r\n").or_else(|| inner.strip_prefix('\n')).unwrap_or(inner);
            start += inner.len() - trimmed.len();
            inner = trimmed;
        }
        let map = if inner == value {
            Map::Shifted(start)
        } else if is_basic {
            match unescape(inner, start) {
                (decoded, map) if decoded == value => Map::Each(map),
                _ => Map::Unknown,
            }
        } else {
            Map::Unknown
        };
        Places { whole, map }
    }

    /// The bytes of the file that `part` of the value came from; the whole string when that is not known.
    pub(super) fn at(&self, part: Range<usize>) -> Range<usize> {
        let found = match &self.map {
            Map::Shifted(start) => start + part.start..start + part.end,
            Map::Each(map) => match (map.get(part.start), map.get(part.end)) {
                (Some(&start), Some(&end)) => start..end,
                _ => self.whole.clone(),
            },
            Map::Unknown => self.whole.clone(),
        };
        // An empty part cannot be underlined; the string can.
        if found.is_empty() || found.end > self.whole.end { self.whole.clone() } else { found }
    }
}

fn unescape(inner: &str, start: usize) -> (String, Vec<usize>) {
    let mut decoded = String::with_capacity(inner.len());
    let mut map = Vec::with_capacity(inner.len() + 1);
    let mut characters = inner.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        let mut push = |c: char, decoded: &mut String| {
            map.extend(std::iter::repeat_n(start + at, c.len_utf8()));
            decoded.push(c);
        };
        if c != '\\' {
            push(c, &mut decoded);
            continue;
        }
        let Some((_, escape)) = characters.next() else { break };
        let digits = match escape {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        if digits > 0 {
            let code: String = characters.by_ref().take(digits).map(|(_, digit)| digit).collect();
            if let Some(c) = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32) {
                push(c, &mut decoded);
            }
            continue;
        }
        match escape {
            'n' => push('\n', &mut decoded),
            't' => push('\t', &mut decoded),
            'r' => push('\r', &mut decoded),
            'b' => push('\u{8}', &mut decoded),
            'f' => push('\u{c}', &mut decoded),
            'e' => push('\u{1b}', &mut decoded),
            // A line that ends with a backslash goes on at the next character that is no blank.
            ' ' | '\t' | '\r' | '\n' => while characters.next_if(|(_, c)| c.is_ascii_whitespace()).is_some() {},
            other => push(other, &mut decoded),
        }
    }
    map.push(start + inner.len());
    (decoded, map)
}

#[cfg(test)]
mod tests {
    use super::Places;

    fn found(file: &str, value: &str, part: &str) -> String {
        let at = value.find(part).unwrap();
        file[Places::of(file, 4..file.len(), value).at(at..at + part.len())].to_owned()
    }

    #[test]
    fn parts_are_found_behind_every_kind_of_quote() {
        assert_eq!(found("a = \"x {{ dss }}\"", "x {{ dss }}", "dss"), "dss");
        assert_eq!(found("a = 'x {{ dss }}'", "x {{ dss }}", "dss"), "dss");
        assert_eq!(found("a = \"\"\"\nx {{ dss }}\"\"\"", "x {{ dss }}", "dss"), "dss");
        assert_eq!(found("a = '''\r\nx {{ dss }}'''", "x {{ dss }}", "dss"), "dss");
    }

    #[test]
    fn escapes_before_the_part_do_not_move_it() {
        assert_eq!(found(r#"a = "\"\u00e4\t {{ dss }}""#, "\"ä\t {{ dss }}", "dss"), "dss");
        assert_eq!(found("a = \"\"\"\nx \\\n   {{ dss }}\\\"\"\"\"", "x {{ dss }}\"", "dss"), "dss");
    }

    #[test]
    fn every_escape_counts_as_what_it_stands_for() {
        let value = "A😀\u{8}\u{c}\u{1b}\n\r\t\\ {{ dss }}";
        let file = r#"a = "\x41\U0001f600\b\f\e\n\r\t\\ {{ dss }}""#;
        assert_eq!(found(file, value, "dss"), "dss");
        assert_eq!(found(file, value, "😀"), r"\U0001f600");
        assert_eq!(found("a = \"\"\"\\\r\n \t{{ dss }}\"\"\"", "{{ dss }}", "{{ dss }}"), "{{ dss }}");
    }

    #[test]
    fn an_empty_part_is_shown_as_the_whole_string() {
        for file in ["a = \"\"", "a = ''", "a = \"\"\"\"\"\"", "a = ''''''", "a = '''\n'''"] {
            assert_eq!(Places::of(file, 4..file.len(), "").at(0..0), 4..file.len(), "{file}");
        }
        assert_eq!(Places::of("a = bare", 4..8, "bare").at(1..2), 4..8);
        assert_eq!(Places::of("a = \"bare\"", 4..10, "bare").at(1..9), 4..10, "not beyond the string");
        assert_eq!(Places::of(r#"a = "\t""#, 4..8, "\t").at(0..2), 4..8);
    }

    #[test]
    fn the_whole_string_stands_in_when_the_place_is_not_known() {
        assert_eq!(found("a = \"other\"", "x {{ dss }}", "dss"), "\"other\"");
    }
}
