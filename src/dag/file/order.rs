//! Chains of tasks: `a >> [b, c] >> d`.

use std::ops::Range;

/// One place in a chain: the tasks that stand there, each with its bytes in the chain.
pub(super) type Link = Vec<(String, Range<usize>)>;

/// Why a text is not a chain.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OrderFault {
    pub(super) span: Range<usize>,
    pub(super) message: &'static str,
    pub(super) label: &'static str,
    pub(super) help: &'static str,
}

const EXAMPLE: &str = "write chains such as \"extract >> [clean, check] >> load\"";

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Id(String),
    Then,
    Open,
    Close,
    Comma,
}

/// Reads a chain of at least two links; each task of a link comes before each task of the next.
pub(super) fn parse(text: &str) -> Result<Vec<Link>, OrderFault> {
    let tokens = tokens(text)?;
    let end = text.trim_end().len();
    let mut tokens = tokens.into_iter().peekable();
    let mut links: Vec<Link> = Vec::new();
    // The place just behind the last token, for what is missing at the end.
    let last = end.saturating_sub(1)..end;
    let missing = |message, label| OrderFault { span: last.clone(), message, label, help: EXAMPLE };
    loop {
        match tokens.next() {
            Some((Token::Id(id), span)) => links.push(vec![(id, span)]),
            Some((Token::Open, open)) => {
                let mut link = Link::new();
                loop {
                    match tokens.next() {
                        Some((Token::Id(id), span)) => link.push((id, span)),
                        Some((Token::Close, _)) if !link.is_empty() => break,
                        Some((Token::Close, span)) => {
                            return Err(OrderFault {
                                span: open.start..span.end,
                                message: "an empty list in an order",
                                label: "expected task ids between the brackets",
                                help: EXAMPLE,
                            });
                        }
                        Some((_, span)) => return Err(unexpected(span, "expected a task id")),
                        None => return Err(unclosed(open)),
                    }
                    match tokens.next() {
                        Some((Token::Comma, _)) => {
                            if tokens.next_if(|(token, _)| *token == Token::Close).is_some() {
                                break;
                            }
                        }
                        Some((Token::Close, _)) => break,
                        Some((_, span)) => return Err(unexpected(span, "expected `,` or `]`")),
                        None => return Err(unclosed(open)),
                    }
                }
                links.push(link);
            }
            Some((_, span)) => return Err(unexpected(span, "expected a task id or `[`")),
            None if links.is_empty() => {
                return Err(OrderFault {
                    span: 0..text.len(),
                    message: "an empty order",
                    label: "expected a chain of task ids",
                    help: EXAMPLE,
                });
            }
            None => return Err(missing("an order that ends with `>>`", "expected a task id after this")),
        }
        match tokens.next() {
            Some((Token::Then, _)) => {}
            Some((_, span)) => return Err(unexpected(span, "expected `>>`")),
            None if links.len() == 1 => {
                return Err(OrderFault {
                    span: 0..text.len(),
                    message: "an order of one link says nothing",
                    label: "expected `>>` and another task",
                    help: EXAMPLE,
                });
            }
            None => return Ok(links),
        }
    }
}

fn unexpected(span: Range<usize>, label: &'static str) -> OrderFault {
    OrderFault { span, message: "the order cannot be read", label, help: EXAMPLE }
}

fn unclosed(open: Range<usize>) -> OrderFault {
    OrderFault { span: open, message: "a list in an order is not closed", label: "this `[` has no `]`", help: EXAMPLE }
}

fn tokens(text: &str) -> Result<Vec<(Token, Range<usize>)>, OrderFault> {
    let mut tokens = Vec::new();
    let mut characters = text.char_indices().peekable();
    while let Some((start, c)) = characters.next() {
        let one = start..start + c.len_utf8();
        match c {
            _ if c.is_whitespace() => {}
            '[' => tokens.push((Token::Open, one)),
            ']' => tokens.push((Token::Close, one)),
            ',' => tokens.push((Token::Comma, one)),
            '>' if characters.next_if(|(_, next)| *next == '>').is_some() => {
                tokens.push((Token::Then, start..start + 2));
            }
            '>' => {
                return Err(OrderFault {
                    span: one,
                    message: "the order cannot be read",
                    label: "expected `>>`",
                    help: EXAMPLE,
                });
            }
            '<' => {
                let both = characters.next_if(|(_, next)| *next == '<').is_some();
                return Err(OrderFault {
                    span: start..start + if both { 2 } else { 1 },
                    message: "an order reads from left to right",
                    label: "expected `>>`",
                    help: "turn the chain round: `a << b` is `b >> a`",
                });
            }
            '-' if characters.next_if(|(_, next)| *next == '>').is_some() => {
                return Err(unexpected(start..start + 2, "expected `>>`"));
            }
            _ => {
                let mut end = one.end;
                let is_part = |c: char| !c.is_whitespace() && !matches!(c, '[' | ']' | ',' | '>' | '<');
                while let Some((at, next)) = characters.next_if(|(_, next)| is_part(*next)) {
                    end = at + next.len_utf8();
                }
                tokens.push((Token::Id(text[start..end].to_owned()), start..end));
            }
        }
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> Vec<Vec<String>> {
        let links = parse(text).unwrap();
        links.into_iter().map(|link| link.into_iter().map(|(id, _)| id).collect()).collect()
    }

    #[test]
    fn chains_are_read_with_lists_and_without_blanks() {
        assert_eq!(ids("a >> [b, c] >> d"), [vec!["a"], vec!["b", "c"], vec!["d"]]);
        assert_eq!(ids("a>>b>>[c,d,]"), [vec!["a"], vec!["b"], vec!["c", "d"]]);
        assert_eq!(ids(" 表.一-x >> b "), [vec!["表.一-x"], vec!["b"]]);
    }

    #[test]
    fn faults_point_at_the_token() {
        let label = |text: &str| parse(text).map_err(|fault| (fault.span, fault.label)).unwrap_err();
        assert_eq!(label("a >> "), (3..4, "expected a task id after this"));
        assert_eq!(label("a > b"), (2..3, "expected `>>`"));
        assert_eq!(label("a b"), (2..3, "expected `>>`"));
        assert_eq!(label("a >> [b, c"), (5..6, "this `[` has no `]`"));
        assert_eq!(label("a >> []"), (5..7, "expected task ids between the brackets"));
        assert_eq!(label("> b"), (0..1, "expected `>>`"));
        assert_eq!(label("b << a"), (2..4, "expected `>>`"));
        assert_eq!(label("bb << a"), (3..5, "expected `>>`"));
        assert_eq!(label("aaa -> b"), (4..6, "expected `>>`"));
        assert_eq!(label("a-b >>> c"), (6..7, "expected `>>`"));
        assert_eq!(label("aa >> >> b"), (6..8, "expected a task id or `[`"));
        assert_eq!(label("a"), (0..1, "expected `>>` and another task"));
        assert_eq!(label(""), (0..0, "expected a chain of task ids"));
    }
}
