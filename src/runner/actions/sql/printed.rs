//! Result sets as `beeline` and `spark-sql` print them, back into rows. Their texts say less than a database does: NULL is
//! the text `NULL`, and types are read from how a value is written. Where a row cannot be told apart, that is an error.

use std::io::{BufRead, Error, Result};

use super::session::{Outcome, Rows, Value};

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// `beeline --outputformat=csv2`, with quotes; line breaks in texts are lost.
    Csv,
    /// `spark-sql`: tabs between values, nothing is quoted.
    Tabs,
}

/// What a program prints: result sets, each with a header, and a mark after each statement.
pub(super) struct Printed<R> {
    input: R,
    format: Format,
    mark: String,
}

impl<R: BufRead> Printed<R> {
    pub(super) fn new(input: R, format: Format, mark: String) -> Printed<R> {
        Printed { input, format, mark }
    }

    /// The rows of the next statement; `None` when the program ended before the statement did.
    ///
    /// # Errors
    /// A row that cannot be told apart, or `rows` failed.
    pub(super) fn result(&mut self, rows: &mut dyn Rows) -> Result<Option<Outcome>> {
        let Some(header) = self.first_line()? else { return Ok(None) };
        if header == self.mark {
            return Ok(self.skip_mark()?.then_some(Outcome::Done));
        }
        let columns: Vec<String> = self.cells(&header, 0).iter().map(|name| unqualified(name).to_owned()).collect();
        // What Spark says of a statement without a result set.
        let is_nothing = ["Response code", "Result"].contains(&header.as_str());
        let mut count = 0;
        loop {
            let Some(line) = self.line()? else { return Ok(None) };
            if line == self.mark {
                break;
            }
            // beeline prints an empty line for each line of the script.
            if line.is_empty() && columns.len() > 1 {
                continue;
            }
            if count == 0 {
                rows.begin(&columns)?;
            }
            count += 1;
            let cells = self.cells(&line, columns.len());
            if cells.len() != columns.len() {
                return Err(Error::other(format!(
                    "row {count} has {} values for {} columns: a text has a tab, a quote or a line break that the program \
                     does not show as such; replace it in the query",
                    cells.len(),
                    columns.len()
                )));
            }
            let cells: Vec<Value> = cells.into_iter().map(value).collect();
            rows.row(&cells)?;
        }
        if !self.skip_mark()? {
            return Ok(None);
        }
        if count == 0 && is_nothing {
            return Ok(Some(Outcome::Done));
        }
        if count == 0 {
            rows.begin(&columns)?;
        }
        Ok(Some(Outcome::Returned(count)))
    }

    /// The row of the mark, after its header.
    fn skip_mark(&mut self) -> Result<bool> {
        Ok(self.line()?.is_some())
    }

    fn first_line(&mut self) -> Result<Option<String>> {
        loop {
            match self.line()? {
                Some(line) if line.is_empty() => {}
                line => return Ok(line),
            }
        }
    }

    fn line(&mut self) -> Result<Option<String>> {
        let mut line = Vec::new();
        if self.input.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        Ok(Some(String::from_utf8_lossy(&line).into_owned()))
    }

    fn cells(&self, line: &str, columns: usize) -> Vec<String> {
        match self.format {
            Format::Csv => csv_cells(line),
            Format::Tabs if columns == 1 => vec![line.to_owned()],
            Format::Tabs => line.split('\t').map(str::to_owned).collect(),
        }
    }
}

fn csv_cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut is_quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        let cell = cells.len() - 1;
        match c {
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                characters.next();
                cells[cell].push('"');
            }
            '"' if is_quoted || cells[cell].is_empty() => is_quoted = !is_quoted,
            ',' if !is_quoted => cells.push(String::new()),
            c => cells[cell].push(c),
        }
    }
    cells
}

/// Hive calls the columns of `SELECT *` by the name of their table too: `tags.tagid`.
fn unqualified(name: &str) -> &str {
    let is_word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_');
    name.split_once('.').filter(|(table, column)| is_word(table) && is_word(column)).map_or(name, |(_, column)| column)
}

/// A cell by how it is written. Whatever a value is taken for, it is shown as it came.
fn value(text: String) -> Value {
    match text.as_str() {
        "NULL" => return Value::Null,
        "true" => return Value::Bool(true),
        "false" => return Value::Bool(false),
        _ => {}
    }
    if let Ok(number) = text.parse::<i64>()
        && number.to_string() == text
    {
        return Value::Integer(number);
    }
    let digits = text.strip_prefix('-').unwrap_or(&text);
    let is_number = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte))
        && text.contains('.')
        && text.parse::<f64>().is_ok();
    if is_number { Value::Decimal(text) } else { Value::Text(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Kept(Vec<String>);

    impl Rows for Kept {
        fn begin(&mut self, columns: &[String]) -> Result<()> {
            self.0.push(columns.join("|"));
            Ok(())
        }

        fn row(&mut self, row: &[Value]) -> Result<()> {
            self.0.push(row.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join("|"));
            Ok(())
        }
    }

    fn results(format: Format, text: &str, count: usize) -> (Vec<String>, Vec<Option<Outcome>>) {
        let mut printed = Printed::new(text.as_bytes(), format, "mark".to_owned());
        let mut kept = Kept::default();
        let outcomes = (0..count).map(|_| printed.result(&mut kept).unwrap()).collect();
        (kept.0, outcomes)
    }

    #[test]
    fn tabs_headers_and_marks_become_rows() {
        let text = "Response code\nmark\nn\na\tb\tc\n1\tNULL\t1.50\n007\ttrue\t\nmark\nn\nx\nmark\nn\nmark\nn\ny\n1\n";
        let (rows, outcomes) = results(Format::Tabs, text, 5);
        let expected = [
            "a|b|c",
            "Integer(1)|Null|Decimal(\"1.50\")",
            "Text(\"007\")|Bool(true)|Text(\"\")",
            "x",
            "y",
            "Integer(1)",
        ];
        assert_eq!(rows, expected);
        let (done, returned) = (Some(Outcome::Done), |rows| Some(Outcome::Returned(rows)));
        assert_eq!(outcomes, [done, returned(2), returned(0), done, None]);
    }

    #[test]
    fn quoted_csv_with_the_empty_lines_of_beeline_becomes_rows() {
        let text = "\n\nt.a,count(t.b)\n1,\"it's \"\"q\"\", c;\"\n\"[1,2]\",\nmark\nn\n\n\ne\n\n\nmark\nn\n";
        let (rows, outcomes) = results(Format::Csv, text, 2);
        let expected = [
            "a|count(t.b)",
            "Integer(1)|Text(\"it's \\\"q\\\", c;\")",
            "Text(\"[1,2]\")|Text(\"\")",
            "e",
            "Text(\"\")",
            "Text(\"\")",
        ];
        assert_eq!(rows, expected);
        assert_eq!(outcomes, [Some(Outcome::Returned(2)); 2]);
    }

    #[test]
    fn a_row_that_cannot_be_told_apart_is_an_error() {
        let mut printed = Printed::new("a\tb\n1\tx\ty\n".as_bytes(), Format::Tabs, "mark".to_owned());
        let error = printed.result(&mut Kept::default()).unwrap_err().to_string();
        assert!(error.starts_with("row 1 has 3 values for 2 columns: a text has a tab"), "{error}");
    }
}
