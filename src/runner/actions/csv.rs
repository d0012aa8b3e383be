//! CSV that a command prints, as RFC 4180 has it, into cells. Pure.

/// A header, and rows as long as it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Csv {
    pub(super) columns: Vec<String>,
    /// `None` is an empty cell without quotes, which is SQL's NULL.
    pub(super) rows: Vec<Vec<Option<String>>>,
}

/// Reads a text; empty lines are nothing.
///
/// # Errors
/// There is no header, or a row is wrong; with the line, from 1.
pub(super) fn parse(text: &str) -> Result<Csv, String> {
    let mut records = records(text.strip_prefix('\u{feff}').unwrap_or(text))?.into_iter();
    let Some((_, header)) = records.next() else {
        return Err("it printed nothing: the first line must be the names of the columns".to_owned());
    };
    let columns: Vec<String> = header.into_iter().map(|name| name.unwrap_or_default().trim().to_owned()).collect();
    for (index, name) in columns.iter().enumerate() {
        if name.is_empty() {
            return Err(format!("line 1: column {} has no name", index + 1));
        }
        if columns[..index].contains(name) {
            return Err(format!("line 1: two columns are called `{name}`"));
        }
    }
    let mut rows = Vec::new();
    for (line, cells) in records {
        if cells.len() != columns.len() {
            let count = |count: usize, what: &str| {
                if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
            };
            let (cells, columns) = (count(cells.len(), "value"), count(columns.len(), "column"));
            return Err(format!("line {line}: {cells} for {columns}"));
        }
        rows.push(cells);
    }
    Ok(Csv { columns, rows })
}

type Record = (usize, Vec<Option<String>>);

/// The records, each with the line in which it begins.
fn records(text: &str) -> Result<Vec<Record>, String> {
    let mut records = Vec::new();
    let mut characters = text.chars().peekable();
    let mut line = 1;
    while characters.peek().is_some() {
        let begin = line;
        let mut cells = Vec::new();
        loop {
            let (mut cell, mut was_quoted) = (String::new(), false);
            if characters.next_if_eq(&'"').is_some() {
                was_quoted = true;
                let opened = line;
                loop {
                    match characters.next() {
                        None => return Err(format!("line {opened}: a quote is never closed")),
                        Some('"') if characters.next_if_eq(&'"').is_some() => cell.push('"'),
                        Some('"') => break,
                        Some(c) => {
                            line += usize::from(c == '\n');
                            cell.push(c);
                        }
                    }
                }
                if !matches!(characters.peek(), None | Some(',' | '\r' | '\n')) {
                    return Err(format!("line {line}: after the closing quote of a value a comma was expected"));
                }
            }
            while let Some(c) = characters.next_if(|c| !matches!(c, ',' | '\n')) {
                cell.push(c);
            }
            if matches!(characters.peek(), None | Some('\n')) && cell.ends_with('\r') {
                cell.pop();
            }
            cells.push((was_quoted || !cell.is_empty()).then_some(cell));
            if characters.next_if_eq(&',').is_none() {
                break;
            }
        }
        characters.next();
        line += 1;
        if cells != [None] {
            records.push((begin, cells));
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_line_breaks_and_empty_cells_are_read_as_rfc_4180_has_them() {
        let csv = parse("\u{feff}key,n\r\n\"a \"\"b\"\",\nc\",1\r\n\nd,\n,\"\"\n").unwrap();
        assert_eq!(csv.columns, ["key", "n"]);
        let cell = |text: &str| Some(text.to_owned());
        let rows = [[cell("a \"b\",\nc"), cell("1")], [cell("d"), None], [None, cell("")]];
        assert_eq!(csv.rows, rows.map(Vec::from));
        assert_eq!(parse("key\n").unwrap().rows, Vec::<Vec<Option<String>>>::new());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let wrong = |text: &str| parse(text).unwrap_err();
        assert_eq!(wrong(" "), "line 1: column 1 has no name");
        assert_eq!(wrong("\n"), "it printed nothing: the first line must be the names of the columns");
        assert_eq!(wrong("k,n\n\na,1\nb,1,2\n"), "line 4: 3 values for 2 columns");
        assert_eq!(wrong("k,n\n\"a\nb\",1\nc\n"), "line 4: 1 value for 2 columns");
        assert_eq!(wrong("k,n\na,\"1\n"), "line 2: a quote is never closed");
        assert_eq!(wrong("k,n\n\"a\"b,1\n"), "line 2: after the closing quote of a value a comma was expected");
        assert_eq!(wrong("k,k\n"), "line 1: two columns are called `k`");
    }
}
