//! `jitgate cost`: what the runners cost by list prices, and what GitHub's own runners would have.
//!
//! Everything comes from the cleaner's log line about each task that has ended. `task` reads such a line, `bill` adds up, `show`
//! and `svg` draw the same chart. Only this file makes calls.

mod bill;
mod show;
mod svg;
mod task;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use clap::Args;
use jitgate::prices;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

pub use bill::By;

use self::bill::Bill;
use crate::answer::{Answer, width};
use crate::args::Common;
use crate::aws::{AllLines, Aws, LogGroup};
use crate::fleet::Deployed;
use crate::period::Period;
use crate::screen::Screen;
use crate::trouble::{Exit, Trouble};

/// Options of `cost`.
#[derive(Args, Debug)]
pub struct Cost {
    /// How far back to look: hours, days or weeks
    #[arg(long, value_name = "PERIOD", default_value = "30d")]
    pub since: Period,
    /// By what to tell costs apart
    #[arg(long, value_enum, default_value = "repository")]
    pub by: By,
    /// Write the chart into a file, too
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// All that is shown.
#[derive(Clone, Debug)]
struct Report {
    stack: String,
    from: OffsetDateTime,
    until: OffsetDateTime,
    by: By,
    bill: Bill,
    /// What everything except the runners costs.
    control_plane: f64,
    /// Why the numbers are not all that they should be.
    not_whole: Vec<String>,
    /// Whether some of the lines could not be read at all.
    is_cut: bool,
}

/// Runs the command.
pub async fn run(common: &Common, options: &Cost, screen: &Screen) -> Result<Answer, Trouble> {
    let aws = Aws::sign_in(common).await?;
    let fleet = Deployed::find(&aws, &common.stack).await?;
    let group = &fleet.cleaner.log_group;
    let until = OffsetDateTime::now_utc();
    let Some(kept) = aws.log_group(group).await? else {
        return Err(Trouble::failed(
            format!("there is no log group {group}, in which the cleaner tells of each task"),
            "it comes with the cleaner's first line; does `jitgate doctor` find anything?",
        ));
    };
    let (from, mut not_whole) = look_back(until, options.since, kept);
    let lines = aws.every_line(group, task::MESSAGE, from, until).await?;
    let classes = fleet.classes().map_err(|trouble| {
        not_whole.push(format!("{}: public IP addresses are not counted", trouble.what));
    });
    let with_address = |classes: jitgate::classes::RunnerClasses| -> BTreeSet<String> {
        classes.iter().filter(|class| class.assign_public_ip).map(|class| class.name.clone()).collect()
    };
    let public_classes = classes.map(with_address).unwrap_or_default();
    let report = Report::new(&fleet.stack, (from, until), options.by, &lines, &public_classes, not_whole);
    if let Some(path) = &options.svg {
        std::fs::write(path, svg::chart(&report)).map_err(|error| Trouble::file(path, &error))?;
        screen.done(format!("the chart is in {}", path.display()));
    }
    let exit = if report.is_cut { Exit::Unknown } else { Exit::Good };
    Ok(Answer { text: show::text(&report, width(), has_colours()), json: report.json(), exit })
}

/// From when on there can be lines, and what is missing before.
fn look_back(until: OffsetDateTime, since: Period, kept: LogGroup) -> (OffsetDateTime, Vec<String>) {
    let from = until - since.0;
    let oldest = kept.days_kept.map(|days| until - Duration::days(days));
    if let Some(oldest) = oldest.filter(|oldest| *oldest > from && kept.created_at.is_none_or(|at| at < *oldest)) {
        let days = kept.days_kept.unwrap_or_default();
        return (oldest, vec![format!("log lines are kept for {days} days (LogRetention), so nothing older is known")]);
    }
    (kept.created_at.map_or(from, |created| created.clamp(from, until)), Vec::new())
}

impl Report {
    fn new(
        stack: &str,
        (from, until): (OffsetDateTime, OffsetDateTime),
        by: By,
        AllLines { lines, left_out }: &AllLines,
        public_classes: &BTreeSet<String>,
        mut not_whole: Vec<String>,
    ) -> Self {
        let tasks = task::read(lines);
        let bill = bill::add_up(&tasks, by, public_classes);
        let mut note = |words: &str, count: u64| {
            if count > 0 {
                not_whole.push(format!("{words}: {count}"));
            }
        };
        note("lines that could not be read, since more than 10,000 were written in one second", *left_out);
        note("tasks without a price, since ECS did not tell their size", bill.unpriced);
        note("tasks that count as x86-64, since their lines do not say the architecture", bill.of_unknown_architecture);
        note("tasks of an earlier version, whose lines do not say the repository", bill.of_unknown_repository);
        #[expect(clippy::cast_precision_loss, reason = "tasks are fewer than 2^52")]
        let launches = bill.all.tasks as f64;
        let control_plane = prices::control_plane((until - from).as_seconds_f64() / 86_400.0, launches);
        Self { stack: stack.to_owned(), from, until, by, bill, control_plane, not_whole, is_cut: *left_out > 0 }
    }

    /// Everything together.
    fn dollars(&self) -> f64 {
        self.bill.all.total_dollars + self.control_plane
    }

    fn json(&self) -> Value {
        let rounded = |dollars: f64| (dollars * 1e6).round() / 1e6;
        let moment = |at: OffsetDateTime| at.format(&time::format_description::well_known::Rfc3339).ok();
        json!({
            "stack": self.stack,
            "from": moment(self.from),
            "until": moment(self.until),
            "by": self.by,
            "groups": self.bill.groups,
            "runners": self.bill.all,
            "control_plane_dollars": rounded(self.control_plane),
            "dollars": rounded(self.dollars()),
            "prices": { "region": prices::REGION, "fargate": prices::READ, "github": prices::GITHUB_READ },
            "not_whole": self.not_whole,
        })
    }
}

/// Whether the terminal shows colours and its user wants them. Source: <https://no-color.org>.
fn has_colours() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}
