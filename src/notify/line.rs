//! What other programs printed, made fit for a mail: one line each, no terminal codes, nothing that hides text.

/// A line as a terminal would show it in the end, cut beyond `width` characters: without escape sequences and control
/// characters, and of a progress bar (`10%\r20%\r`) only its last state.
pub(in crate::notify) fn printable(line: &str, width: usize) -> String {
    let shown = line.split('\r').rfind(|part| !part.trim().is_empty()).unwrap_or_default();
    let mut text = String::new();
    let mut length = 0;
    let mut characters = shown.chars().peekable();
    while let Some(c) = characters.next() {
        if c == '\u{1b}' {
            skip_escape(&mut characters);
            continue;
        }
        if is_hidden(c) && c != '\t' {
            continue;
        }
        if length >= width {
            text.push_str(" ...");
            break;
        }
        if c == '\t' {
            text.push_str("    ");
            length += 4;
        } else {
            text.push(c);
            length += 1;
        }
    }
    text
}

/// Lines joined to one, without control characters: fit for a header or a fact.
pub(in crate::notify) fn one_line(text: &str) -> String {
    let is_break = |c: char| matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}');
    text.split(is_break)
        .map(|part| printable(part, usize::MAX).trim().to_owned())
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Control characters, and those that reverse the direction of what follows, so that a text reads as another.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Skips what follows an ESC, by the shapes of ECMA-48: control sequences, control strings, two-character escapes.
fn skip_escape(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match characters.next() {
        Some('[') => while characters.next().is_some_and(|c| !('\u{40}'..='\u{7e}').contains(&c)) {},
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some(c) = characters.next() {
                if c == '\u{7}' || (c == '\u{1b}' && characters.next_if_eq(&'\\').is_some()) {
                    break;
                }
            }
        }
        Some(' '..='/') => while characters.next().is_some_and(|c| (' '..='/').contains(&c)) {},
        Some(_) | None => {}
    }
}

/// Breaks a text at blanks so that its first line fits behind `lead` and no line passes `width`; further lines have
/// `indent` blanks before them. A word that is too long stays whole: it may be a path to copy.
pub(in crate::notify) fn wrap(lead: &str, indent: usize, text: &str, width: usize) -> String {
    let mut wrapped = lead.to_owned();
    let mut column = lead.chars().count();
    for (index, word) in text.split_whitespace().enumerate() {
        let length = word.chars().count();
        if index > 0 && column + 1 + length > width {
            wrapped.push('\n');
            wrapped.push_str(&" ".repeat(indent));
            column = indent;
        } else if index > 0 {
            wrapped.push(' ');
            column += 1;
        }
        wrapped.push_str(word);
        column += length;
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn terminal_codes_leave_nothing_behind() {
        for (printed, shown) in [
            ("\u{1b}[1;31mred\u{1b}[0m", "red"),
            ("\u{1b}[3~after", "after"),
            ("\u{1b}]0;a title\u{7}text", "text"),
            ("\u{1b}]8;;https://example.com\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}(Bplain\u{1b}7", "plain"),
            ("cut \u{1b}[31", "cut "),
            ("10%\r 50%\r100%\r", "100%"),
            ("a\tb\u{0}\u{8}", "a    b"),
            ("evil\u{202e}txt", "eviltxt"),
        ] {
            assert_eq!(printable(printed, 400), shown, "{printed:?}");
        }
    }

    #[test]
    fn long_lines_are_cut_by_characters() {
        assert_eq!(printable("用户画像", 2), "用户 ...");
        assert_eq!(printable("用户", 2), "用户");
    }

    #[test]
    fn words_wrap_and_paths_stay_whole() {
        let path = "/a/long/path/that/does/not/fit";
        assert_eq!(
            wrap("  why  ", 7, &format!("it said no to {path} twice"), 20),
            format!("  why  it said no to\n       {path}\n       twice")
        );
    }

    proptest! {
        #[test]
        fn nothing_hidden_gets_through(text in any::<String>()) {
            let line = one_line(&text);
            prop_assert!(!line.chars().any(is_hidden), "{line:?}");
        }
    }
}
