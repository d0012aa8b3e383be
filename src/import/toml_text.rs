//! Texts as TOML writes them, in the form that a person would choose.

use std::fmt::Write;

/// A text on one line or, where it has several or is full of quotes, as a literal block.
pub(super) fn text(value: &str) -> String {
    let fits_literal = |value: &str| !value.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n'));
    if value.contains('\n') && !value.contains("'''") && fits_literal(value) {
        return format!("'''\n{}\n'''", value.trim_end_matches('\n'));
    }
    if !value.contains(['"', '\\', '\n']) && fits_literal(value) {
        return format!("\"{value}\"");
    }
    if !value.contains(['\'', '\n']) && fits_literal(value) {
        return format!("'{value}'");
    }
    if !value.contains("'''") && !value.starts_with('\'') && !value.ends_with('\'') && fits_literal(value) {
        return format!("'''{value}'''");
    }
    escaped(value)
}

/// A text with TOML's escapes.
fn escaped(value: &str) -> String {
    let mut text = String::from("\"");
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            '\r' => text.push_str("\\r"),
            c if c.is_control() => {
                // Writing to a text cannot fail.
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

/// A text that is read as a template, so that nothing in it is one.
pub(super) fn verbatim(value: &str) -> String {
    if value.contains("{{") || value.contains("{%") {
        format!("{{% raw %}}{value}{{% endraw %}}")
    } else {
        value.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(serde::Deserialize)]
    struct Read {
        key: String,
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in "[ -~\\n\\t'\"\\\\]{0,40}") {
            let read: Read = toml::from_str(&format!("key = {}\n", text(&value))).unwrap();
            // A block ends with one newline, whatever stood there.
            prop_assert_eq!(read.key.trim_end_matches('\n'), value.trim_end_matches('\n'));
        }

        #[test]
        fn no_character_is_lost(value in "\\PC{0,20}") {
            let read: Read = toml::from_str(&format!("key = {}\n", text(&value))).unwrap();
            prop_assert_eq!(read.key, value);
        }
    }

    #[test]
    fn only_what_would_be_a_template_is_marked_as_none() {
        assert_eq!(verbatim("for d in ${#dirs[@]}; do {#; done"), "for d in ${#dirs[@]}; do {#; done");
        assert_eq!(verbatim("echo {{ a }}"), "{% raw %}echo {{ a }}{% endraw %}");
    }

    #[test]
    fn the_form_is_the_one_that_a_person_would_choose() {
        assert_eq!(text("a b"), "\"a b\"");
        assert_eq!(text("say \"a\""), "'say \"a\"'");
        assert_eq!(text("say \"a\" 'b' c"), "'''say \"a\" 'b' c'''");
        assert_eq!(text("a\nb"), "'''\na\nb\n'''");
        assert_eq!(text("'\"'"), "\"'\\\"'\"");
    }
}
