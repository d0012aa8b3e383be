//! Chains such as `a >> [b, c] >> d`.

use std::ops::Range;

/// A task named in a chain, with its place in the chain's text.
pub(super) type Name = (String, Range<usize>);

/// Why a text is not a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OrderFault {
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) help: &'static str,
}

const EXAMPLE: &str = "write for example \"a >> b\" or \"a >> [b, c] >> d\"";

/// The groups of a chain; every task of a group comes before every task of the next one.
pub(super) fn parse(text: &str) -> Result<Vec<Vec<Name>>, OrderFault> {
    let mut groups = Vec::new();
    let mut start = 0;
    for part in text.split(">>") {
        groups.push(group(text, start..start + part.len())?);
        start += part.len() + 2;
    }
    Ok(groups)
}

fn group(text: &str, span: Range<usize>) -> Result<Vec<Name>, OrderFault> {
    let (part, span) = trim(text, span);
    let fault = |span: Range<usize>, message: String| OrderFault { span, message, help: EXAMPLE };
    if part.is_empty() {
        let wide = if span.is_empty() { 0..text.len() } else { span };
        return Err(fault(wide, "a task is missing beside `>>`".to_owned()));
    }
    let list = match (part.strip_prefix('['), part.ends_with(']')) {
        (Some(_), true) => span.start + 1..span.end - 1,
        (None, false) => {
            let (name, at) = name(text, span)?;
            return Ok(vec![(name, at)]);
        }
        (Some(_), false) => return Err(fault(span, "the list is not closed with `]`".to_owned())),
        (None, true) => return Err(fault(span, "the list is not opened with `[`".to_owned())),
    };
    let mut names = Vec::new();
    let mut start = list.start;
    for part in text[list].split(',') {
        names.push(name(text, start..start + part.len())?);
        start += part.len() + 1;
    }
    Ok(names)
}

fn name(text: &str, span: Range<usize>) -> Result<Name, OrderFault> {
    let (part, span) = trim(text, span);
    if part.is_empty() {
        return Err(OrderFault {
            span: span.start.saturating_sub(1)..span.end,
            message: "a task is missing in the list".to_owned(),
            help: EXAMPLE,
        });
    }
    match part.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))) {
        None => Ok((part.to_owned(), span)),
        Some(at) => {
            let wrong = part[at..].chars().next().unwrap_or(' ');
            let at = span.start + at;
            Err(OrderFault {
                span: at..at + wrong.len_utf8(),
                message: format!("`{wrong}` does not belong into an order"),
                help: EXAMPLE,
            })
        }
    }
}

fn trim(text: &str, span: Range<usize>) -> (&str, Range<usize>) {
    let part = &text[span.clone()];
    let left = part.len() - part.trim_start().len();
    let trimmed = part.trim();
    let start = span.start + left;
    (trimmed, start..start + trimmed.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_and_lists() {
        let groups = parse("a >> [b,  c]>>d").unwrap();
        let names: Vec<Vec<&str>> =
            groups.iter().map(|group| group.iter().map(|(name, _)| name.as_str()).collect()).collect();
        assert_eq!(names, [vec!["a"], vec!["b", "c"], vec!["d"]]);
        assert_eq!(groups[1][1].1, 10..11);
    }

    #[test]
    fn faults_point_at_the_wrong_part() {
        for (text, span) in [("a >> >> b", 0..9), ("a >> [b", 5..7), ("a > b", 2..3), ("[a,,b]", 2..3)] {
            assert_eq!(parse(text).unwrap_err().span, span, "{text}");
        }
    }
}
