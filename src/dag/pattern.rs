//! Patterns of names, as in a shell: `*`, `?`, `[a-z]`, `[!x]`.

/// Whether a text has any character that makes it a pattern.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Whether a pattern matches a whole text. A `[` that is never closed stands for itself.
pub fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut place) = (0, 0);
    // Where to go on when what follows the newest star does not fit: one character later.
    let mut star: Option<(usize, usize)> = None;
    while place < text.len() {
        if pattern.get(at) == Some(&'*') {
            star = Some((at + 1, place));
            at += 1;
        } else if let Some(length) = fits(&pattern[at..], text[place]) {
            at += length;
            place += 1;
        } else if let Some((after, from)) = star {
            star = Some((after, from + 1));
            (at, place) = (after, from + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|&c| c == '*')
}

/// How many characters of the pattern stand for `c`, if they do.
fn fits(pattern: &[char], c: char) -> Option<usize> {
    match pattern.first()? {
        '?' => Some(1),
        '[' => {
            let is_negated = pattern.get(1) == Some(&'!');
            let first = if is_negated { 2 } else { 1 };
            // A `]` that comes first belongs to the set.
            let Some(close) = pattern.iter().skip(first + 1).position(|&c| c == ']').map(|at| at + first + 1) else {
                return (c == '[').then_some(1);
            };
            let set = &pattern[first..close];
            let mut is_in = false;
            let mut at = 0;
            while at < set.len() {
                if let (Some('-'), Some(&high)) = (set.get(at + 1), set.get(at + 2)) {
                    is_in |= (set[at]..=high).contains(&c);
                    at += 3;
                } else {
                    is_in |= set[at] == c;
                    at += 1;
                }
            }
            (is_in != is_negated).then_some(close + 1)
        }
        &other => (other == c).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, text) in [
            ("*", ""),
            ("*.csv", "a.csv"),
            ("a*b*c", "aXbXbc"),
            ("part-?", "part-0"),
            ("part-[0-9][!a]", "part-0b"),
            ("[]]", "]"),
            ("[x", "[x"),
            ("*日*", "2018年7月1日"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("", "a"), ("*.csv", "a.csv~"), ("a*b*c", "aXbX"), ("part-?", "part-"), ("[!a-c]", "b"), ("?", "")]
        {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn only_texts_with_such_characters_are_patterns() {
        assert_eq!(["a*", "a?", "[ab]", "a]", "a.b-c_1", ""].map(is_pattern), [true, true, true, false, false, false]);
    }
}
