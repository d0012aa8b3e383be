//! The report of a run: what its checks recorded, what failed, what was late. Plain text stands on its own; the HTML has
//! the charts.

use std::fmt::Write as _;

use super::chart;
use super::html::escape;
use super::place::Place;
use crate::check;
use crate::dag::template::quote;
use crate::dag::{TaskState, Verdict};
use crate::notify::line::one_line;
use crate::notify::mail::{Mail, Picture};
use crate::notify::report::{CheckReport, Report, ValueReport};

/// Values of a check in the text; of more, those that are not ok and the first ones.
const SHOWN: usize = 40;

impl Report {
    /// The worst of checks and tasks.
    fn verdict(&self) -> Verdict {
        let of_tasks = if self.tasks.iter().any(|task| task.state.has_failed()) { Verdict::Fail } else { Verdict::Ok };
        self.checks.iter().filter_map(|check| check.verdict).chain([of_tasks]).max().unwrap_or(Verdict::Ok)
    }

    fn headline(&self) -> String {
        let (dag, ds) = (&self.dag_id, &self.ds);
        match self.verdict() {
            Verdict::Ok => format!("{dag} for {ds}: all checks are ok."),
            Verdict::Warn => format!("{dag} for {ds}: a check warns."),
            Verdict::Fail => format!("{dag} for {ds}: something failed."),
        }
    }

    /// What did not go as always, a line each.
    fn bad_news(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for task in &self.tasks {
            let reason = task.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
            match task.state {
                TaskState::Failed => lines.push(format!("{} failed{reason}", task.task_id)),
                TaskState::UpstreamFailed => lines.push(format!("{} could not run{reason}", task.task_id)),
                TaskState::Skipped => lines.push(format!("{} was skipped{reason}", task.task_id)),
                _ => {}
            }
        }
        for check in &self.checks {
            lines.extend(check.findings.iter().map(|finding| format!("{}: {finding}", check.task_id)));
            for value in check.values.iter().filter(|value| value.verdict != Verdict::Ok) {
                let reason = value.reason.as_deref().unwrap_or_default();
                lines.push(format!("{}: {} {} {} ({reason})", check.task_id, value.verdict, value.key, value.metric));
            }
        }
        for task in &self.tasks {
            if let Some(late) = task.late_seconds {
                lines.push(format!("{} ended {} later than usual", task.task_id, duration(late)));
            }
        }
        lines.iter().map(|line| one_line(line)).collect()
    }

    fn commands(&self, place: &Place) -> Vec<(&'static str, String)> {
        let home = quote(&place.home.display().to_string());
        let command = |rest: String| format!("crondag --home {home} {rest}");
        vec![
            ("see the tasks", command(format!("tasks {} {}", self.dag_id, self.selector))),
            ("see the values", command(format!("checks {} --since {}", self.dag_id, self.ds))),
        ]
    }

    /// The values with a chart: the worst first, and of these the ones that moved most.
    fn charted(&self) -> Vec<(&CheckReport, &ValueReport)> {
        let mut all: Vec<(&CheckReport, &ValueReport)> = self
            .checks
            .iter()
            .flat_map(|check| check.values.iter().map(move |value| (check, value)))
            .filter(|(_, value)| value.history.len() > 1)
            .collect();
        let moved = |value: &ValueReport| match (value.value, value.baseline) {
            (Some(now), Some(base)) if base != 0.0 => ((now - base) / base).abs(),
            _ => 0.0,
        };
        all.sort_by(|(_, a), (_, b)| b.verdict.cmp(&a.verdict).then(moved(b).total_cmp(&moved(a))));
        all.truncate(self.charts);
        all
    }
}

/// Writes the mail of a report. Pure.
pub(super) fn render_report(report: &Report, to: &[String], place: &Place) -> Mail {
    let title = report.title.clone().unwrap_or_else(|| format!("{} {}", report.dag_id, report.ds));
    let mut pictures = Vec::new();
    let mut charts = String::new();
    for (number, (check, value)) in report.charted().into_iter().enumerate() {
        let Some(png) = chart::png(&value.history) else { continue };
        let cid = format!("chart{number}@crondag");
        let name = format!("{} {} {}", check.task_id, value.key, value.metric);
        // Writing to a String cannot fail, here and below.
        let now = value.value.map_or_else(|| "no value".to_owned(), check::number);
        let _ = writeln!(
            charts,
            "<p style=\"margin-bottom:2px\">{}: <b>{now}</b> ({})</p>\n<img src=\"cid:{cid}\" width=\"480\" height=\"96\" alt=\"{}\">",
            escape(&name),
            value.verdict,
            escape(&format!("{name}: the last {} values", value.history.len())),
        );
        pictures.push(Picture { cid, png });
    }
    Mail {
        to: to.to_vec(),
        subject: one_line(&format!("[crondag] {}: {title}", report.verdict())),
        text: report_text(report, place),
        html: html(report, &charts, place),
        pictures,
    }
}

/// The report as plain text: also what its task prints.
pub fn report_text(report: &Report, place: &Place) -> String {
    let mut text = format!("{}\n", report.headline());
    let news = report.bad_news();
    if !news.is_empty() {
        text.push_str("\nNot as always:\n");
        for line in &news {
            let _ = writeln!(text, "  - {line}");
        }
    }
    for (gate, verdict, words) in &report.gates {
        let _ = writeln!(text, "\nGate {gate}: {verdict} ({})", one_line(words));
    }
    for check in &report.checks {
        let verdict = check.verdict.map_or("recorded nothing", Verdict::as_str);
        let _ = writeln!(text, "\nCheck {}: {verdict}", check.task_id);
        text.push_str(&aligned(&check_rows(check), &[2, 3, 4]));
        text.push_str(&left_out(check));
    }
    text.push_str("\nTasks:\n");
    text.push_str(&aligned(&task_rows(report), &[2, 3]));
    text.push('\n');
    for (what, command) in report.commands(place) {
        let _ = writeln!(text, "To {what}:\n  {command}");
    }
    let _ = writeln!(text, "\ncrondag on {}, {}", place.host, place.home.display());
    text
}

fn html(report: &Report, charts: &str, place: &Place) -> String {
    let mut html = format!(
        "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"></head>\n\
         <body style=\"font-family:sans-serif;font-size:15px;color:#222;max-width:60em\">\n\
         <p style=\"font-size:18px\"><b>{}</b></p>\n",
        escape(&report.headline())
    );
    let news = report.bad_news();
    if !news.is_empty() {
        let items: Vec<String> = news.iter().map(|line| format!("<li>{}</li>", escape(line))).collect();
        let _ = writeln!(html, "<p><b>Not as always</b></p>\n<ul>\n{}\n</ul>", items.join("\n"));
    }
    for (gate, verdict, words) in &report.gates {
        let _ = writeln!(html, "<p>Gate <b>{}</b>: <b>{verdict}</b> ({})</p>", escape(gate), escape(words));
    }
    html.push_str(charts);
    for check in &report.checks {
        let verdict = check.verdict.map_or("recorded nothing", Verdict::as_str);
        let _ = writeln!(html, "<p><b>Check {}</b>: {verdict}</p>", escape(&check.task_id));
        html.push_str(&html_table(&check_rows(check), &[2, 3, 4]));
        html.push_str(&escape(&left_out(check)));
    }
    html.push_str("<p><b>Tasks</b></p>\n");
    html.push_str(&html_table(&task_rows(report), &[2, 3]));
    for (what, command) in report.commands(place) {
        let _ = writeln!(html, "<p style=\"color:#777\">To {what}: <code>{}</code></p>", escape(&command));
    }
    let _ = writeln!(
        html,
        "<p style=\"color:#777\">crondag on {}, {}</p>\n</body></html>",
        escape(&place.host),
        escape(&place.home.display().to_string())
    );
    html
}

fn shown(check: &CheckReport) -> Vec<&ValueReport> {
    let mut values: Vec<&ValueReport> = check.values.iter().collect();
    if values.len() > SHOWN {
        values.sort_by_key(|value| std::cmp::Reverse(value.verdict));
        values.truncate(SHOWN);
    }
    values
}

fn left_out(check: &CheckReport) -> String {
    match check.values.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("... and {more} more values\n"),
    }
}

fn check_rows(check: &CheckReport) -> Vec<Vec<String>> {
    if check.values.is_empty() {
        return Vec::new();
    }
    let mut rows =
        vec![["key", "metric", "value", "baseline", "change", "verdict", "history"].map(str::to_owned).to_vec()];
    for value in shown(check) {
        let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), check::number);
        let moved =
            value.value.zip(value.baseline).map_or_else(String::new, |(value, base)| check::change(value, base));
        let history: Vec<f64> = value.history.iter().map(|point| point.value).collect();
        rows.push(vec![
            one_line(&value.key),
            value.metric.clone(),
            number(value.value),
            number(value.baseline),
            moved,
            value.verdict.to_string(),
            check::sparkline(&history[history.len().saturating_sub(15)..]),
        ]);
    }
    rows
}

fn task_rows(report: &Report) -> Vec<Vec<String>> {
    let mut rows = vec![["task", "state", "took", "usually", ""].map(str::to_owned).to_vec()];
    for task in &report.tasks {
        let note = match (task.late_seconds, task.seconds, task.usual_seconds) {
            (Some(late), ..) => format!("{} late", duration(late)),
            (None, Some(took), Some(usual)) if took > 1.5 * usual && took > usual + 60.0 => "slow".to_owned(),
            _ => String::new(),
        };
        let seconds = |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), duration);
        rows.push(vec![
            task.task_id.clone(),
            task.state.to_string(),
            seconds(task.seconds),
            seconds(task.usual_seconds),
            note,
        ]);
    }
    rows
}

fn duration(seconds: f64) -> String {
    let duration = std::time::Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default();
    // A mail needs no milliseconds beside hours.
    let duration = if seconds >= 10.0 { std::time::Duration::from_secs(duration.as_secs()) } else { duration };
    crate::dag::units::format_duration(duration)
}

fn aligned(rows: &[Vec<String>], to_the_right: &[usize]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default())
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .enumerate()
            .map(|(column, cell)| {
                let pad = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
                if to_the_right.contains(&column) { format!("{pad}{cell}") } else { format!("{cell}{pad}") }
            })
            .collect();
        let _ = writeln!(text, "  {}", cells.join("  ").trim_end());
    }
    text
}

fn html_table(rows: &[Vec<String>], to_the_right: &[usize]) -> String {
    let mut html = String::from("<table style=\"border-collapse:collapse;font-size:13px\">\n");
    for (number, row) in rows.iter().enumerate() {
        let tag = if number == 0 { "th" } else { "td" };
        let red = row.iter().any(|cell| matches!(cell.as_str(), "fail" | "failed" | "upstream_failed"));
        let yellow = row.iter().any(|cell| cell == "warn");
        let colour = if red {
            ";background:#fecaca"
        } else if yellow {
            ";background:#fde68a"
        } else {
            ""
        };
        html.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            let align = if to_the_right.contains(&column) { "right" } else { "left" };
            let _ = write!(
                html,
                "<{tag} style=\"padding:2px 10px 2px 0;text-align:{align}{colour}\">{}</{tag}>",
                escape(cell)
            );
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table>\n");
    html
}
