//! The chart on a terminal.

use std::fmt::Write as _;

use super::Report;
use super::bill::{self, By, Dollars};
use crate::answer::fill;

/// The fewest columns in which the chart can be read.
const NARROWEST: usize = 44;

/// The most rows, except days: what is left is one row.
pub(super) const MOST_ROWS: usize = 20;

/// A bar's colour: cyan can be read on light and on dark. Source: ECMA-48, "SGR".
const BAR: (&str, &str) = ("\x1b[36m", "\x1b[0m");

/// A line of the chart.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    /// Dollars here.
    pub(super) here: f64,
    /// Whether that has an estimate in it.
    pub(super) is_estimate: bool,
    /// Dollars on GitHub's own runners, where there is something to compare.
    pub(super) there: Option<f64>,
}

impl Row {
    /// Dollars here, with a mark if they are an estimate.
    pub(super) fn amount(&self) -> String {
        format!("{}{}", if self.is_estimate { "~" } else { "" }, dollars(self.here))
    }

    /// Dollars on GitHub's runners.
    pub(super) fn other_amount(&self) -> String {
        self.there.map_or_else(|| "-".to_owned(), dollars)
    }
}

/// The rows, the last of them all together.
pub(super) fn rows(report: &Report) -> Vec<Row> {
    let bill = &report.bill;
    let row = |name: &str, sum: &bill::Sum| Row {
        name: name.to_owned(),
        here: sum.total_dollars,
        is_estimate: sum.is_estimate(),
        there: (sum.github.jobs > 0).then_some(sum.github.dollars),
    };
    let most = if report.by == By::Day { usize::MAX } else { MOST_ROWS };
    let mut rows: Vec<Row> = bill.groups.iter().take(most).map(|group| row(&group.name, &group.sum)).collect();
    let others = bill.groups.iter().skip(most);
    let number = others.clone().count();
    if number > 0 {
        let mut sum = bill::Sum::default();
        others.for_each(|group| sum.add(&group.sum));
        rows.push(row(&format!("{number} more"), &sum));
    }
    rows.push(Row { name: "control plane".to_owned(), here: report.control_plane, is_estimate: true, there: None });
    let all = Row { here: report.dollars(), is_estimate: true, ..row("all", &bill.all) };
    rows.push(all);
    rows
}

/// What the chart is of.
pub(super) fn heading(report: &Report) -> String {
    let length = report.until - report.from;
    let length = match (length.whole_days(), length.whole_hours()) {
        (0 | 1, hours) => format!("{hours} h"),
        (days, hours) => format!("{} days", if hours % 24 >= 12 { days + 1 } else { days }),
    };
    let until = report.until.date();
    let sum = &report.bill.all;
    let github = &sum.github;
    format!(
        "Fleet {}, {length} until {until}: {}, {:.1} hours billed; {}, {} as GitHub counts them",
        report.stack,
        counted(sum.tasks, "task"),
        sum.hours,
        counted(github.jobs, "job"),
        counted(github.minutes, "minute")
    )
}

fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// What the numbers mean and what is missing in them.
pub(super) fn notes(report: &Report) -> Vec<String> {
    let Dollars { vcpu, memory, disk, address } = report.bill.all.dollars;
    let mut notes = vec![format!(
        "Runners: vCPUs {}, memory {}, disks {}, public IP addresses {}.",
        dollars(vcpu),
        dollars(memory),
        dollars(disk),
        dollars(address)
    )];
    let marked =
        "~ has an estimate in it: the control plane is a model of everything except the runners (docs/PERFORMANCE.md)";
    let runners =
        "; Spot counts at AWS's highest discount, a capacity provider's tasks count as if they ran on Fargate";
    notes.push(format!("{marked}{}.", if report.bill.all.is_estimate() { runners } else { "" }));
    notes.push(
        "GitHub's: the smallest of its runners with as many vCPUs and as much memory, each job rounded up to minutes; standard \
         runners are free in public repositories."
            .to_owned(),
    );
    if report.bill.all.github.unmatched > 0 {
        let words = "Jobs that GitHub has no runner for, or of which the size is not known";
        notes.push(format!("{words}: {}.", report.bill.all.github.unmatched));
    }
    notes.push(bill::source());
    notes.extend(report.not_whole.iter().map(|words| format!("Not whole: {words}.")));
    notes
}

/// The text, wrapped to a terminal of this width.
pub(super) fn text(report: &Report, width: usize, has_colours: bool) -> String {
    let width = width.max(NARROWEST);
    let mut text = String::new();
    fill(&mut text, "", "", &heading(report), width);
    text.push('\n');
    chart(&mut text, report, width, has_colours);
    text.push('\n');
    for note in notes(report) {
        fill(&mut text, "", "  ", &note, width);
    }
    text
}

fn chart(text: &mut String, report: &Report, width: usize, has_colours: bool) {
    let rows = rows(report);
    let amounts: Vec<_> = rows.iter().map(|row| (row.amount(), row.other_amount())).collect();
    let (ours, theirs) = ("here", "GitHub's");
    let widest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or_default();
    let here = widest(&mut amounts.iter().map(|(here, _)| here.len()).chain([ours.len()]));
    let there = widest(&mut amounts.iter().map(|(_, there)| there.len()).chain([theirs.len()]));
    // Names get half of what the numbers and the gaps leave, and bars the rest.
    let free = width.saturating_sub(here + there + 6);
    let by = format!("by {}", word(report.by));
    let longest = widest(&mut rows.iter().map(|row| row.name.chars().count()).chain([by.len()]));
    let names = longest.min(free / 2);
    let bars = free - names;
    let by = shortened(&by, names);
    let most = rows.iter().rev().skip(1).map(|row| row.here).fold(0.0, f64::max);
    let _ = writeln!(text, "{by:<names$}  {:<bars$}  {ours:>here$}  {theirs:>there$}", "");
    for (number, (row, (amount, other))) in rows.iter().zip(&amounts).enumerate() {
        let is_sum = number + 1 == rows.len();
        let bar = if is_sum { String::new() } else { bar(row.here, most, bars) };
        let rest = " ".repeat(bars - bar.chars().count());
        let (on, off) = if has_colours && !bar.is_empty() { BAR } else { ("", "") };
        let name = shortened(&row.name, names);
        let _ = writeln!(text, "{name:<names$}  {on}{bar}{off}{rest}  {amount:>here$}  {other:>there$}");
    }
}

/// A bar of eighths of a column. What is more than nothing shows.
fn bar(amount: f64, most: f64, columns: usize) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if amount <= 0.0 || most <= 0.0 {
        return String::new();
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "columns")]
    let eighths = (amount / most * columns as f64 * 8.0).round().max(1.0) as usize;
    format!("{}{}", "█".repeat(eighths / 8), PARTS[eighths % 8])
}

/// Without its middle, if it is too long: names differ at their ends.
pub(super) fn shortened(name: &str, length: usize) -> String {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= length {
        return name.to_owned();
    }
    let kept = length.saturating_sub(1);
    let (head, tail) = (kept / 2, kept - kept / 2);
    letters[..head].iter().chain(&['…']).chain(&letters[letters.len() - tail..]).collect()
}

pub(super) fn word(by: By) -> &'static str {
    match by {
        By::Repository => "repository",
        By::Workflow => "workflow",
        By::Class => "class",
        By::Day => "day",
    }
}

/// In cents, with the thousands apart.
pub(super) fn dollars(amount: f64) -> String {
    if amount > 0.0 && amount < 0.005 {
        return "<$0.01".to_owned();
    }
    let text = format!("{amount:.2}");
    let (whole, cents) = text.split_once('.').unwrap_or((&text, "00"));
    let mut shown = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place) % 3 == 0 {
            shown.push(',');
        }
        shown.push(digit);
    }
    format!("${shown}.{cents}")
}
