//! As much of the shell's grammar as is needed to see how a crontab command is built: its parts, their words and where
//! their output goes. What is not understood is left as it stands.

use std::ops::Range;

/// What stands between two parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joint {
    /// `&&`
    And,
    /// `||`
    Or,
    /// `;` or a newline
    Then,
    /// `|` or `|&`
    Pipe,
    /// `&`
    Background,
}

/// A word or a redirection of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// Where it stands in the script.
    pub(super) at: Range<usize>,
    /// The word as the shell sees it after quotes are taken away; `None` where something would be expanded.
    pub(super) literal: Option<String>,
}

/// `2>&1`, `>> file` and their like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Redirection {
    /// Where it stands in the script, its target included.
    pub(super) at: Range<usize>,
    pub(super) operator: Operator,
    pub(super) target: Word,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    /// `>` or `>>` of standard output.
    Output { appends: bool },
    /// `2>` or `2>>`
    Errors { appends: bool },
    /// `2>&1`
    ErrorsToOutput,
    /// `&>`, `&>>` or `>&` of both.
    Both { appends: bool },
    /// Any other.
    Other,
}

/// A simple command, or something that is not looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Where it stands in the script.
    pub(super) at: Range<usize>,
    pub(super) words: Vec<Word>,
    pub(super) redirections: Vec<Redirection>,
    /// What follows it; `None` at the end.
    pub(super) joint: Option<Joint>,
}

/// The parts of a script that is a list of simple commands; `None` where it has another shape (loops, conditions, groups, functions,
/// here-documents, quotes that do not end).
pub(super) fn parts(script: &str) -> Option<Vec<Part>> {
    let mut reader = Reader { script, at: 0 };
    let mut parts = Vec::new();
    loop {
        let part = reader.part()?;
        let joint = part.joint;
        if part.words.is_empty() && part.redirections.is_empty() {
            if joint.is_none() {
                break;
            }
            return None;
        }
        if part.words.first().and_then(|word| word.literal.as_deref()).is_some_and(is_compound) {
            return None;
        }
        parts.push(part);
        if joint.is_none() {
            break;
        }
    }
    (!parts.is_empty()).then_some(parts)
}

fn is_compound(word: &str) -> bool {
    matches!(
        word,
        "if" | "for" | "while" | "until" | "case" | "{" | "}" | "function" | "!" | "[[" | "select" | "time" | "coproc"
    )
}

struct Reader<'a> {
    script: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.script[self.at..]
    }

    fn part(&mut self) -> Option<Part> {
        let mut words = Vec::new();
        let mut redirections = Vec::new();
        self.blanks();
        let start = self.at;
        let mut end = start;
        loop {
            self.blanks();
            let rest = self.rest();
            let joints = [
                ("&&", Joint::And),
                ("||", Joint::Or),
                ("|&", Joint::Pipe),
                ("|", Joint::Pipe),
                (";", Joint::Then),
                ("\n", Joint::Then),
            ];
            if rest.is_empty() || rest.starts_with('#') {
                return Some(Part { at: start..end, words, redirections, joint: None });
            }
            if let Some((sign, joint)) = joints.into_iter().find(|(sign, _)| rest.starts_with(sign)) {
                if rest.starts_with(";;") {
                    return None;
                }
                self.at += sign.len();
                let ends = joint == Joint::Then && self.rest().trim().is_empty();
                if ends {
                    self.at = self.script.len();
                }
                return Some(Part { at: start..end, words, redirections, joint: (!ends).then_some(joint) });
            }
            if rest.starts_with('&') && !rest.starts_with("&>") {
                self.at += 1;
                return Some(Part { at: start..end, words, redirections, joint: Some(Joint::Background) });
            }
            if rest.starts_with(['(', ')']) {
                return None;
            }
            match self.redirection()? {
                Some(redirection) => redirections.push(redirection),
                None => words.push(self.word()?),
            }
            end = self.at;
        }
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t']).len();
    }

    /// The outer `None`: not understood; the inner one: no redirection stands here.
    #[allow(clippy::option_option)] // two questions, each with its answer
    fn redirection(&mut self) -> Option<Option<Redirection>> {
        let start = self.at;
        let rest = self.rest();
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, signs) = rest.split_at(digits);
        let stdout = number.is_empty() || number == "1";
        let found = [
            ("&>>", number.is_empty().then_some(Operator::Both { appends: true })),
            ("&>", number.is_empty().then_some(Operator::Both { appends: false })),
            ("<<", None),
            (">&", Some(Operator::Other)),
            (">>", Some(if stdout { Operator::Output { appends: true } } else { Operator::Errors { appends: true } })),
            (">|", Some(Operator::Other)),
            (">", Some(if stdout { Operator::Output { appends: false } } else { Operator::Errors { appends: false } })),
            ("<", Some(Operator::Other)),
        ]
        .into_iter()
        .find(|(sign, _)| signs.starts_with(sign));
        let Some((sign, operator)) = found else { return Some(None) };
        // A here-document, or a number before `&>`, which is a word.
        let mut operator = operator?;
        if !stdout && number != "2" {
            operator = Operator::Other;
        }
        self.at += digits + sign.len();
        self.blanks();
        let target = self.word()?;
        if sign == ">&" {
            operator = match (number, target.literal.as_deref()) {
                ("2", Some("1")) => Operator::ErrorsToOutput,
                ("", Some(file)) if !file.chars().all(|c| c.is_ascii_digit() || c == '-') => {
                    Operator::Both { appends: false }
                }
                _ => Operator::Other,
            };
        }
        Some(Some(Redirection { at: start..self.at, operator, target }))
    }

    fn word(&mut self) -> Option<Word> {
        let start = self.at;
        let mut literal = Some(String::new());
        let add = |literal: &mut Option<String>, c: char| {
            if let Some(text) = literal {
                text.push(c);
            }
        };
        while let Some(c) = self.rest().chars().next() {
            match c {
                ' ' | '\t' | '\n' | ';' | '&' | '|' | '<' | '>' => break,
                '(' | ')' => return None,
                '\\' => {
                    let escaped = self.rest().chars().nth(1)?;
                    add(&mut literal, escaped);
                    self.at += 1 + escaped.len_utf8();
                    continue;
                }
                '\'' => {
                    let inside = self.rest()[1..].split_once('\'')?.0;
                    let length = inside.len();
                    if let Some(text) = &mut literal {
                        text.push_str(inside);
                    }
                    self.at += length + 2;
                    continue;
                }
                '"' => {
                    self.at += 1;
                    self.double_quoted(&mut literal)?;
                    continue;
                }
                '$' | '`' => {
                    self.expansion()?;
                    literal = None;
                    continue;
                }
                '*' | '?' | '[' => literal = None,
                '~' if self.at == start => literal = None,
                _ => add(&mut literal, c),
            }
            self.at += c.len_utf8();
        }
        (self.at > start).then_some(Word { at: start..self.at, literal })
    }

    fn double_quoted(&mut self, literal: &mut Option<String>) -> Option<()> {
        loop {
            let c = self.rest().chars().next()?;
            match c {
                '"' => {
                    self.at += 1;
                    return Some(());
                }
                '\\' => {
                    let escaped = self.rest().chars().nth(1)?;
                    if let Some(text) = literal {
                        if !matches!(escaped, '"' | '\\' | '$' | '`') {
                            text.push('\\');
                        }
                        text.push(escaped);
                    }
                    self.at += 1 + escaped.len_utf8();
                }
                '$' | '`' => {
                    self.expansion()?;
                    *literal = None;
                }
                _ => {
                    if let Some(text) = literal {
                        text.push(c);
                    }
                    self.at += c.len_utf8();
                }
            }
        }
    }

    /// `$name`, `${...}`, `$(...)` or a command in backquotes, as a whole.
    fn expansion(&mut self) -> Option<()> {
        let rest = self.rest();
        let length = if let Some(inside) = rest.strip_prefix('`') {
            inside.find('`')? + 2
        } else if rest.starts_with("$(") || rest.starts_with("${") {
            balanced(&rest[1..])? + 1
        } else {
            1
        };
        self.at += length;
        Some(())
    }
}

/// The length of what stands in the brackets with which `text` begins, both included.
fn balanced(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match (quote, c) {
            (None | Some('"'), '\\') => {
                characters.next();
            }
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(' | '{') => depth += 1,
            (None, ')' | '}') => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            (None, _) => {}
        }
    }
    None
}
