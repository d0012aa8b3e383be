//! An SQL script as text: where its statements begin and end, and where its `:name` parameters stand. Pure; knows what
//! each dialect quotes, never what a statement means.

use std::ops::Range;

/// Whose quoting rules hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `SQLite`, which binds `:name` itself.
    Sqlite,
    /// `PostgreSQL`: `$1`, dollar quotes, `::` casts, nested comments.
    Postgres,
    /// `MySQL` and `MariaDB`: `?`, backslash escapes, backticks, `#` comments, the client's `DELIMITER`.
    Mysql,
    /// Hive and Spark SQL: `'` and `"` for texts, backslash escapes, backticks; values are put in as literals.
    Hive,
}

impl Dialect {
    /// Whether statements can be taken back together.
    pub fn has_transactions(self) -> bool {
        self != Dialect::Hive
    }
}

/// One statement of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its place in the script, in bytes, from its first word, without its `;`.
    pub span: Range<usize>,
    /// What the server is sent.
    pub text: String,
    /// Names of the parameters: of `$1`, `$2`, ... for `PostgreSQL`, of each `?` for `MySQL`, of each hole for Hive.
    pub params: Vec<String>,
    /// The places in `text` where the values belong; for Hive only.
    holes: Vec<usize>,
    /// Where pieces of `text` come from: (place in `text`, place in the script), ascending.
    pieces: Vec<(usize, usize)>,
}

impl Statement {
    /// A statement that is sent as it stands.
    pub(super) fn verbatim(script: &str, span: Range<usize>) -> Statement {
        let text = script[span.clone()].to_owned();
        Statement { pieces: vec![(0, span.start)], span, text, params: Vec::new(), holes: Vec::new() }
    }

    /// The place in the script of a byte of `text`.
    pub fn origin(&self, offset: usize) -> usize {
        let piece = self.pieces.iter().rev().find(|(sent, _)| *sent <= offset);
        piece.map_or(self.span.start, |(sent, script)| script + (offset - sent)).min(self.span.end)
    }

    /// The text with each value, as a literal of Hive and Spark, in its hole.
    pub(super) fn filled(&self, values: &[&str]) -> String {
        let mut filled = String::new();
        let mut from = 0;
        for (hole, value) in self.holes.iter().zip(values) {
            filled.push_str(&self.text[from..*hole]);
            filled.push_str(&literal(value));
            from = *hole;
        }
        filled.push_str(&self.text[from..]);
        filled
    }

    /// The place in `text` of a byte of `filled(values)`.
    pub(super) fn unfilled(&self, values: &[&str], offset: usize) -> usize {
        let mut inserted = 0;
        for (hole, value) in self.holes.iter().zip(values) {
            if hole + inserted >= offset {
                break;
            }
            inserted += literal(value).len().min(offset - (hole + inserted));
        }
        offset - inserted
    }

    /// The first words, in capitals, without comments.
    pub fn words(&self, count: usize) -> Vec<String> {
        let words = self.text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        words.filter(|word| !word.is_empty()).take(count).map(str::to_uppercase).collect()
    }
}

/// A quote or comment that is never closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclosed {
    /// Where it opens, in bytes.
    pub at: usize,
    /// What it is.
    pub what: &'static str,
}

/// Line and column, both from 1, the column in characters.
pub fn line_and_column(script: &str, at: usize) -> (usize, usize) {
    let before = script.get(..at).unwrap_or(script);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The statements of a script.
///
/// # Errors
/// A quote or comment is not closed. `SQLite` itself says so better, when it runs the statement.
pub fn split(script: &str, dialect: Dialect) -> Result<Vec<Statement>, Unclosed> {
    if dialect == Dialect::Sqlite {
        return Ok(super::sqlite_script::split(script)
            .into_iter()
            .map(|span| Statement::verbatim(script, span))
            .collect());
    }
    Scanner { script, dialect, at: 0, delimiter: ";".to_owned() }.statements()
}

struct Scanner<'s> {
    script: &'s str,
    dialect: Dialect,
    at: usize,
    delimiter: String,
}

impl Scanner<'_> {
    fn statements(mut self) -> Result<Vec<Statement>, Unclosed> {
        let mut statements = Vec::new();
        while self.at < self.script.len() {
            if self.skip_blank()? || self.take_delimiter() || self.read_delimiter_command() {
                continue;
            }
            statements.push(self.statement()?);
        }
        Ok(statements)
    }

    fn rest(&self) -> &str {
        &self.script[self.at..]
    }

    fn take_delimiter(&mut self) -> bool {
        let is_there = self.rest().starts_with(&self.delimiter);
        if is_there {
            self.at += self.delimiter.len();
        }
        is_there
    }

    /// `DELIMITER //`, an instruction to the client that scripts with procedures have.
    fn read_delimiter_command(&mut self) -> bool {
        let line = self.rest().lines().next().unwrap_or("");
        let mut words = line.split_whitespace();
        let is_command =
            self.dialect == Dialect::Mysql && words.next().is_some_and(|w| w.eq_ignore_ascii_case("delimiter"));
        let Some(delimiter) = words.next().filter(|_| is_command) else { return false };
        let (length, delimiter) = (line.len(), delimiter.to_owned());
        self.delimiter = delimiter;
        self.at += length;
        true
    }

    /// Skips one run of white space or one comment.
    fn skip_blank(&mut self) -> Result<bool, Unclosed> {
        let blanks = self.rest().len() - self.rest().trim_start().len();
        if blanks > 0 {
            self.at += blanks;
            return Ok(true);
        }
        // MySQL runs what is in `/*! */`.
        if self.dialect == Dialect::Mysql && (self.rest().starts_with("/*!") || self.rest().starts_with("/*M!")) {
            return Ok(false);
        }
        self.skip_comment()
    }

    fn skip_comment(&mut self) -> Result<bool, Unclosed> {
        let (rest, is_mysql) = (self.rest(), self.dialect == Dialect::Mysql);
        // In MySQL `--` begins a comment only before a blank: `1--1` is arithmetic.
        let is_line = match rest.strip_prefix("--") {
            Some(after) => {
                !is_mysql || after.is_empty() || after.starts_with(|c: char| c.is_whitespace() || c.is_control())
            }
            None => is_mysql && rest.starts_with('#'),
        };
        if is_line {
            self.at += rest.find('\n').unwrap_or(rest.len());
            return Ok(true);
        }
        let is_hint = self.dialect == Dialect::Hive && rest.starts_with("/*+");
        if !rest.starts_with("/*") || is_hint {
            return Ok(false);
        }
        let unclosed = Unclosed { at: self.at, what: "comment" };
        let (mut depth, mut offset) = (1, 2);
        while depth > 0 {
            let inner = &rest[offset..];
            let close = inner.find("*/").ok_or(unclosed.clone())?;
            (depth, offset) = if let Some(open) = inner.find("/*").filter(|open| !is_mysql && *open < close) {
                (depth + 1, offset + open + 2)
            } else {
                (depth - 1, offset + close + 2)
            };
        }
        self.at += offset;
        Ok(true)
    }

    fn statement(&mut self) -> Result<Statement, Unclosed> {
        let start = self.at;
        let mut end = start;
        let mut statement = Statement {
            span: start..start,
            text: String::new(),
            params: Vec::new(),
            holes: Vec::new(),
            pieces: vec![(0, start)],
        };
        let mut copied = start;
        // Bodies in `BEGIN ATOMIC ... END` have `;` of their own; CASE has an END too.
        let (mut depth, mut previous) = (0_u32, String::new());
        while self.at < self.script.len() {
            if depth == 0 && self.take_delimiter() {
                break;
            }
            let from = self.at;
            if self.skip_comment()? {
                if self.dialect == Dialect::Hive {
                    // The programs find quotes and `;` in comments.
                    statement.text.push_str(&self.script[copied..from]);
                    statement.text.push(' ');
                    statement.pieces.push((statement.text.len(), self.at));
                    copied = self.at;
                }
                continue;
            }
            if self.skip_quoted()? {
            } else if let Some(name) = self.take_param() {
                statement.text.push_str(&self.script[copied..from]);
                statement.pieces.push((statement.text.len(), from));
                statement.holes.push(statement.text.len());
                statement.text.push_str(&placeholder(self.dialect, &mut statement.params, name));
                statement.pieces.push((statement.text.len(), self.at));
                copied = self.at;
            } else if let Some(word) = self.take_word() {
                match word.as_str() {
                    "ATOMIC" if self.dialect == Dialect::Postgres && previous == "BEGIN" => depth = 1,
                    "CASE" if depth > 0 => depth += 1,
                    "END" if depth > 0 => depth -= 1,
                    _ => {}
                }
                previous = word;
            } else {
                let next = self.rest().chars().next();
                self.at += next.map_or(0, char::len_utf8);
                if next.is_some_and(char::is_whitespace) {
                    continue;
                }
            }
            end = self.at;
        }
        if copied < end {
            statement.text.push_str(&self.script[copied..end]);
        }
        statement.span.end = end;
        Ok(statement)
    }

    fn take_word(&mut self) -> Option<String> {
        let rest = self.rest();
        let length = rest.find(|c: char| !is_in_word(c)).unwrap_or(rest.len());
        let word = rest[..length].to_uppercase();
        self.at += length;
        (length > 0).then_some(word)
    }

    fn take_param(&mut self) -> Option<String> {
        let rest = self.rest();
        if rest.starts_with("::") {
            // Both at once, or the second `:` would begin a parameter.
            self.at += 1;
            return None;
        }
        let name = rest.strip_prefix(':')?;
        // `STRUCT<a:INT>`
        if self.dialect == Dialect::Hive && self.script[..self.at].ends_with(|c| is_in_word(c) || c == '`') {
            return None;
        }
        let length = name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(name.len());
        let name = &name[..length];
        if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return None;
        }
        let name = name.to_owned();
        self.at += 1 + length;
        Some(name)
    }

    fn skip_quoted(&mut self) -> Result<bool, Unclosed> {
        let (rest, is_postgres) = (self.rest(), self.dialect == Dialect::Postgres);
        let unclosed = |what| Unclosed { at: self.at, what };
        let length = match rest.as_bytes() {
            [b'\'', ..] => quoted(rest, 0, '\'', !is_postgres).ok_or(unclosed("text"))?,
            [b'"', ..] if is_postgres => quoted(rest, 0, '"', false).ok_or(unclosed("quoted name"))?,
            [b'"', ..] => quoted(rest, 0, '"', true).ok_or(unclosed("text"))?,
            [b'`', ..] if !is_postgres => quoted(rest, 0, '`', false).ok_or(unclosed("quoted name"))?,
            [b'e' | b'E', b'\'', ..] if is_postgres => quoted(rest, 1, '\'', true).ok_or(unclosed("text"))?,
            [b'$', ..] if is_postgres => {
                let Some(tag) = dollar_tag(rest) else { return Ok(false) };
                let body = rest[tag.len()..].find(tag).ok_or(unclosed("dollar-quoted text"))?;
                body + 2 * tag.len()
            }
            [b'/', b'*', ..] => return self.skip_comment(),
            _ => return Ok(false),
        };
        self.at += length;
        Ok(true)
    }
}

fn is_in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// `$$` or `$tag$` at the beginning.
fn dollar_tag(text: &str) -> Option<&str> {
    let close = text[1..].find('$')? + 1;
    let tag = &text[1..close];
    let is_tag = tag.chars().all(|c| c.is_alphanumeric() || c == '_') && !tag.starts_with(|c: char| c.is_ascii_digit());
    is_tag.then(|| &text[..=close])
}

/// The length of a quoted text that opens at `from`, with its quotes. A doubled quote reads as two texts in a row.
fn quoted(text: &str, from: usize, quote: char, has_escapes: bool) -> Option<usize> {
    let mut characters = text[from + 1..].char_indices();
    while let Some((offset, c)) = characters.next() {
        if c == quote {
            return Some(from + 1 + offset + 1);
        }
        if c == '\\' && has_escapes {
            characters.next();
        }
    }
    None
}

fn placeholder(dialect: Dialect, params: &mut Vec<String>, name: String) -> String {
    if dialect != Dialect::Postgres {
        params.push(name);
        return if dialect == Dialect::Mysql { "?".to_owned() } else { String::new() };
    }
    let known = params.iter().position(|param| *param == name);
    let index = known.unwrap_or_else(|| {
        params.push(name);
        params.len() - 1
    });
    format!("${}", index + 1)
}

/// A text of Hive and Spark. Whatever could mean something, to them or to the programs that read statements before them
/// (quotes, backslashes, `;`, `${}`, line breaks), is written as its number, so that no setting lets it out of its quotes.
fn literal(value: &str) -> String {
    use std::fmt::Write as _;
    let mut literal = "'".to_owned();
    for unit in value.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii_alphanumeric() || b" _-.,:/+".contains(&byte) => literal.push(byte.into()),
            // Writing to a String cannot fail.
            _ => write!(literal, "\\u{unit:04x}").unwrap_or_default(),
        }
    }
    literal.push('\'');
    literal
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sent(script: &str, dialect: Dialect) -> Vec<(String, Vec<String>)> {
        let statements = split(script, dialect).unwrap();
        statements.into_iter().map(|statement| (statement.text, statement.params)).collect()
    }

    fn one(script: &str, dialect: Dialect) -> (String, String) {
        let mut statements = sent(script, dialect);
        assert_eq!(statements.len(), 1, "{statements:?}");
        let (text, params) = statements.remove(0);
        (text, params.join(" "))
    }

    #[test]
    fn postgres_leaves_quotes_comments_and_casts_alone() {
        let cases = [
            ("SELECT :ds::date, :n, :ds", "SELECT $1::date, $2, $1", "ds n"),
            ("SELECT ':a;', \":b;\", E'\\':c;', $$:d;$$, $x$ $$ :e; $x$", "", ""),
            ("SELECT 1 /* :a; /* ; */ ; */ -- :b;\n, '\\'", "", ""),
            ("SELECT a[1:2], f(x := 1), $1", "", ""),
            (
                "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END;",
                "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END",
                "",
            ),
        ];
        for (script, text, params) in cases {
            let text = if text.is_empty() { script } else { text };
            assert_eq!(one(script, Dialect::Postgres), (text.to_owned(), params.to_owned()), "{script}");
        }
    }

    #[test]
    fn mysql_knows_backslashes_backticks_and_hashes() {
        let cases = [
            ("SELECT :a, :b, :a", "SELECT ?, ?, ?", "a b a"),
            ("SELECT 'it\\'s :x;', \"\\\":y;\", `:z;`", "", ""),
            ("SELECT 1--:a", "SELECT 1--?", "a"),
            (
                "SELECT 1 # :a;\n, @v := 2 -- :b;\n, /* /* ; */ :c",
                "SELECT 1 # :a;\n, @v := 2 -- :b;\n, /* /* ; */ ?",
                "c",
            ),
        ];
        for (script, text, params) in cases {
            let text = if text.is_empty() { script } else { text };
            assert_eq!(one(script, Dialect::Mysql), (text.to_owned(), params.to_owned()), "{script}");
        }
        let script =
            "DELIMITER //\nCREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END//\nDELIMITER ;\nCALL p(); -- end";
        let texts: Vec<String> = sent(script, Dialect::Mysql).into_iter().map(|(text, _)| text).collect();
        assert_eq!(texts, ["CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END", "CALL p()"]);
    }

    #[test]
    fn hive_gets_values_as_literals_and_no_comments() {
        let script =
            "SELECT /*+ BROADCAST(t) */ ':a', \":b\", `:c`, 'it\\'s :d' -- don't; :e\n, :f::x, :g # no\nFROM t";
        let statement = split(script, Dialect::Hive).unwrap().remove(0);
        assert_eq!(statement.params, ["f", "g"]);
        let values = ["2018-07-01", "a'b\\;${x}\n--😀"];
        let filled = statement.filled(&values);
        assert_eq!(
            filled,
            "SELECT /*+ BROADCAST(t) */ ':a', \":b\", `:c`, 'it\\'s :d'  \n, '2018-07-01'::x, \
             'a\\u0027b\\u005c\\u003b\\u0024\\u007bx\\u007d\\u000a--\\ud83d\\ude00' # no\nFROM t"
        );
        let from = statement.unfilled(&values, filled.find("FROM").unwrap());
        assert_eq!(statement.origin(from), script.find("FROM").unwrap());
        let types = "CREATE TABLE t (s STRUCT<a:INT, `b`:STRING>, m MAP<STRING,INT>)";
        assert_eq!(one(types, Dialect::Hive), (types.to_owned(), String::new()));
    }

    #[test]
    fn what_is_not_closed_is_said_with_its_place() {
        let unclosed = split("SELECT 1;\nSELECT 'a", Dialect::Postgres).unwrap_err();
        assert_eq!((unclosed.at, unclosed.what), (17, "text"));
        assert_eq!(line_and_column("SELECT 1;\nSELECT 'a", 17), (2, 8));
        assert_eq!(split("SELECT $a$ $b$", Dialect::Postgres).unwrap_err().what, "dollar-quoted text");
        assert_eq!(split("/* /* */", Dialect::Postgres).unwrap_err().what, "comment");
    }

    #[test]
    fn places_in_what_is_sent_are_places_in_the_script() {
        let script = "SELECT 1;\n SELECT :long_name, nope";
        let statement = split(script, Dialect::Postgres).unwrap().remove(1);
        let sent = statement.text.find("nope").unwrap();
        assert_eq!(statement.origin(sent), script.find("nope").unwrap());
    }

    proptest! {
        #[test]
        fn any_text_is_split_without_panic_and_in_order(script in "[ -~é\n;:'\"`$/*#\\\\-]{0,80}") {
            for dialect in [Dialect::Postgres, Dialect::Mysql, Dialect::Hive] {
                let Ok(statements) = split(&script, dialect) else { continue };
                let mut end = 0;
                for statement in statements {
                    prop_assert!(statement.span.start >= end && statement.span.end <= script.len());
                    end = statement.span.end;
                    prop_assert!(statement.params.len() <= statement.span.len());
                    for offset in 0..=statement.text.len() {
                        prop_assert!(statement.span.start <= statement.origin(offset));
                    }
                }
            }
        }

        #[test]
        fn quoted_texts_are_never_changed(text in "[ -~;:]{0,30}") {
            let script = format!("SELECT '{}', :p", text.replace('\'', "''").replace('\\', "\\\\"));
            let expected = script.strip_suffix(":p").unwrap();
            prop_assert_eq!(one(&script, Dialect::Mysql), (format!("{expected}?"), "p".to_owned()));
            prop_assert_eq!(one(&script, Dialect::Postgres), (format!("{expected}$1"), "p".to_owned()));
        }
    }
}
