//! Tables: columns aligned by spaces, fitted into the width of the output.

use super::layout::{Layout, hanging, longest_word, printable, width, wrap};
use super::output::{Page, Tone};

/// A cell of a table.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A text in a tone.
    pub fn new(text: impl Into<String>, tone: Tone) -> Cell {
        Cell { text: printable(&text.into()), tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::new(text, Tone::Plain)
    }
}

/// Rows under heads.
///
/// The last column takes the room that is left and is wrapped in it. Where a terminal is too narrow for that, the columns that
/// give way are left out, first those that were named first, and the page says which; then those that stay are folded at words;
/// and what is still too wide becomes a list of `head  value` for each row.
#[derive(Debug)]
pub struct Table {
    heads: Vec<&'static str>,
    right: Vec<bool>,
    give_way: Vec<usize>,
    rows: Vec<Vec<Cell>>,
}

/// Between columns.
const GAP: usize = 2;

/// The last column is not folded to less than this before others have given way.
const READABLE: usize = 24;

impl Table {
    /// A table with these heads; a head that begins with `>` makes its column flush right.
    pub fn new(heads: &[&'static str]) -> Table {
        Table {
            heads: heads.iter().map(|head| head.trim_start_matches('>')).collect(),
            right: heads.iter().map(|head| head.starts_with('>')).collect(),
            give_way: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Which columns a narrow terminal may do without, the least important first.
    #[must_use]
    pub fn without_at_need(mut self, heads: &[&str]) -> Table {
        self.give_way = heads.iter().filter_map(|head| self.heads.iter().position(|other| other == head)).collect();
        debug_assert_eq!(self.give_way.len(), heads.len(), "no such column");
        self
    }

    /// One more row, with as many cells as there are heads.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines of the table on a page.
    pub(super) fn lines(&self, page: &Page) -> Vec<String> {
        // A column that says nothing only takes room.
        let mut shown: Vec<usize> =
            (0..self.heads.len()).filter(|&column| self.rows.iter().any(|row| !row[column].text.is_empty())).collect();
        if shown.is_empty() {
            return Vec::new();
        }
        let room = match page.layout() {
            Layout::Pipe => {
                let widths = self.with_last_folded(&shown, Layout::Pipe.width(), 20);
                return self.grid(page, &shown, &widths);
            }
            Layout::Terminal(room) => room,
        };
        let mut left_out = Vec::new();
        let mut give_way =
            self.give_way.iter().filter(|column| shown.contains(column)).copied().collect::<Vec<_>>().into_iter();
        let mut lines = loop {
            let last = shown.last().map_or(0, |&column| self.narrowest(column));
            let widths = self.with_last_folded(&shown, room, READABLE.max(last));
            if total(&widths) <= room {
                break self.grid(page, &shown, &widths);
            }
            if let Some(column) = give_way.next() {
                shown.retain(|&other| other != column);
                left_out.push(self.heads[column]);
                continue;
            }
            break match self.folded(&shown, room) {
                Some(widths) => self.grid(page, &shown, &widths),
                None => self.list(page, &shown, room),
            };
        };
        if !left_out.is_empty() {
            let note = format!("(too narrow for: {})", left_out.join(", "));
            lines.extend(page.layout().line(&page.paint(Tone::Dim, &note)));
        }
        lines
    }

    fn cells(&self, column: usize) -> impl Iterator<Item = &str> {
        self.rows.iter().map(move |row| row[column].text.as_str()).chain([self.heads[column]])
    }

    fn natural(&self, column: usize) -> usize {
        self.cells(column).map(width).max().unwrap_or(0)
    }

    /// A column narrower than this would break a word.
    fn narrowest(&self, column: usize) -> usize {
        self.cells(column).map(longest_word).max().unwrap_or(0)
    }

    /// The widths of columns of which only the last, if it is of text, is made to fit, down to `floor`.
    fn with_last_folded(&self, shown: &[usize], room: usize, floor: usize) -> Vec<usize> {
        let mut widths: Vec<usize> = shown.iter().map(|&column| self.natural(column)).collect();
        let excess = total(&widths).saturating_sub(room);
        if let (Some(&column), Some(last)) = (shown.last(), widths.last_mut())
            && !self.right[column]
        {
            *last = last.saturating_sub(excess).max(floor.min(*last));
        }
        widths
    }

    /// The widths of columns that are all folded where they are widest, at words; none when that is not enough.
    fn folded(&self, shown: &[usize], room: usize) -> Option<Vec<usize>> {
        let mut widths: Vec<usize> = shown.iter().map(|&column| self.natural(column)).collect();
        let floors: Vec<usize> = shown.iter().map(|&column| self.narrowest(column)).collect();
        while total(&widths) > room {
            let (widest, _) = widths
                .iter()
                .enumerate()
                .filter(|&(nth, &width)| width > floors[nth])
                .max_by_key(|&(_, width)| width)?;
            widths[widest] -= 1;
        }
        Some(widths)
    }

    fn grid(&self, page: &Page, shown: &[usize], widths: &[usize]) -> Vec<String> {
        let heads: Vec<Cell> = self.heads.iter().map(|head| Cell::new(*head, Tone::Bold)).collect();
        let mut lines = Vec::with_capacity(self.rows.len() + 1);
        for row in std::iter::once(&heads).chain(&self.rows) {
            let parts: Vec<Vec<String>> = shown
                .iter()
                .zip(widths)
                .map(|(&column, &room)| match &row[column].text {
                    text if width(text) <= room => vec![text.clone()],
                    text => wrap(text, room),
                })
                .collect();
            let height = parts.iter().map(Vec::len).max().unwrap_or(1).max(1);
            for nth in 0..height {
                let mut line = String::new();
                for ((&column, &room), parts) in shown.iter().zip(widths).zip(&parts) {
                    let text = parts.get(nth).map_or("", String::as_str);
                    let space = " ".repeat(room.saturating_sub(width(text)));
                    let painted = if text.is_empty() { String::new() } else { page.paint(row[column].tone, text) };
                    let (before, after) =
                        if self.right[column] { (space, String::new()) } else { (String::new(), space) };
                    line.extend([before.as_str(), &painted, &after, &" ".repeat(GAP)]);
                }
                lines.push(line.trim_end().to_owned());
            }
        }
        lines
    }

    /// Each row as lines of `head  value`, an empty line between rows.
    fn list(&self, page: &Page, shown: &[usize], room: usize) -> Vec<String> {
        let indent = shown.iter().map(|&column| width(self.heads[column])).max().unwrap_or(0) + GAP;
        let mut lines = Vec::new();
        for (nth, row) in self.rows.iter().enumerate() {
            if nth > 0 {
                lines.push(String::new());
            }
            for &column in shown.iter().filter(|&&column| !row[column].text.is_empty()) {
                let lead = page.paint(Tone::Bold, &format!("{:indent$}", self.heads[column]));
                let text = &row[column].text;
                // What does not fit beside the heads stands below its own.
                let indent = if longest_word(text) > room.saturating_sub(indent) { GAP } else { indent };
                lines.extend(hanging(&lead, &page.paint(row[column].tone, text), indent, room));
            }
        }
        lines
    }
}

fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page(layout: Layout, table: &Table) -> String {
        let mut page = Page::on(layout, false);
        page.table(table);
        page.into_text()
    }

    fn runs() -> Table {
        let mut table = Table::new(&["dag", "logical date", "state", "owner", ">duration", "reason"])
            .without_at_need(&["owner", "duration"]);
        let reason = "exit status 3: the table is not there";
        table.row(["userprofile", "2018-07-01 00:00", "failed", "data", "12.3s", reason].map(Cell::from).to_vec());
        table.row(["b", "2018-07-02 00:00", "success", "", "1h 2m", ""].map(Cell::from).to_vec());
        table
    }

    #[test]
    fn tables_align_hide_empty_columns_and_wrap_the_last() {
        let mut table = Table::new(&["task", "empty", ">try", "reason"]);
        table.row(vec!["用户画像".into(), "".into(), "1/2".into(), "exit status 1".into()]);
        table.row(vec!["b".into(), "".into(), "10/10".into(), "word ".repeat(20).trim_end().into()]);
        assert_eq!(
            page(Layout::Pipe, &table),
            "task        try  reason\n\
             用户画像    1/2  exit status 1\n\
             b         10/10  word word word word word word word word word word word word word word word word\n                 \
             word word word word\n"
        );
    }

    #[test]
    fn columns_give_way_in_the_order_that_was_stated() {
        assert_eq!(
            page(Layout::Terminal(90), &runs()),
            "dag          logical date      state    owner  duration  reason\n\
             userprofile  2018-07-01 00:00  failed   data      12.3s  exit status 3: the table is not\n                                                         \
             there\n\
             b            2018-07-02 00:00  success            1h 2m\n"
        );
        assert_eq!(
            page(Layout::Terminal(78), &runs()),
            "dag          logical date      state    duration  reason\n\
             userprofile  2018-07-01 00:00  failed      12.3s  exit status 3: the table is\n                                                  \
             not there\n\
             b            2018-07-02 00:00  success     1h 2m\n\
             (too narrow for: owner)\n"
        );
        assert_eq!(
            page(Layout::Terminal(60), &runs()),
            "dag          logical date      state    reason\n\
             userprofile  2018-07-01 00:00  failed   exit status 3: the\n                                        \
             table is not there\n\
             b            2018-07-02 00:00  success\n\
             (too narrow for: owner, duration)\n"
        );
    }

    #[test]
    fn what_cannot_be_folded_becomes_a_list() {
        let mut table = Table::new(&["dag", "run id", "file"]);
        table.row(
            ["userprofile", "backfill__2018-07-01T00:00:00+00:00", "logs/userprofile/x.log"].map(Cell::from).to_vec(),
        );
        assert_eq!(
            page(Layout::Terminal(60), &table),
            "dag     userprofile\nrun id  backfill__2018-07-01T00:00:00+00:00\nfile    logs/userprofile/x.log\n"
        );
    }

    #[test]
    fn colours_do_not_move_the_columns() {
        let mut table = Table::new(&["state", "x"]);
        table.row(vec![Cell::new("ok", Tone::Green), "y".into()]);
        let mut page = Page::on(Layout::Pipe, true);
        page.table(&table);
        assert_eq!(page.into_text(), "\x1b[1mstate\x1b[0m  \x1b[1mx\x1b[0m\n\x1b[32mok\x1b[0m     y\n");
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal_and_no_word_is_broken(
            cells in prop::collection::vec(prop::collection::vec("[a-zé用]{0,20}( [a-z]{1,14}){0,6}", 6..7), 1..6),
            room in 60..200_usize,
        ) {
            let mut table = Table::new(&["a", ">b", "c", "d", ">e", "f"]).without_at_need(&["e", "b"]);
            for row in &cells {
                table.row(row.iter().map(|text| Cell::from(text.as_str())).collect());
            }
            let page = page(Layout::Terminal(room), &table);
            for line in page.lines() {
                prop_assert!(width(line) <= room, "{} of {room}: {line}\n{page}", width(line));
            }
            let words: Vec<&str> = page.split_whitespace().collect();
            for word in cells.iter().flat_map(|row| [0, 2, 3, 5].map(|column| &row[column])).flat_map(|text| text.split_whitespace()) {
                prop_assert!(words.contains(&word), "{word} is broken\n{page}");
            }
        }
    }
}
