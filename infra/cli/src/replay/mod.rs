//! `jitgate replay`: recorded deliveries against other classes. Which jobs change if these are deployed?
//!
//! `record` stores the App's deliveries, `delivery` is a line of that file, `compare` judges each job with the functions' own
//! code. A comparison with `--against` calls nobody.

mod compare;
mod delivery;
mod record;
mod show;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use jitgate::classes::RunnerClasses;
use serde_json::{Value, json};
use time::OffsetDateTime;

use self::compare::{Compared, Counts};
use self::record::Recording;
use crate::answer::{Answer, width};
use crate::args::Common;
use crate::aws::Aws;
use crate::fleet::Deployed;
use crate::period::Period;
use crate::screen::Screen;
use crate::trouble::{Exit, Trouble};

/// The file of a recording, if none is named.
const USUAL_FILE: &str = "deliveries.jsonl";

/// Options of `replay`.
#[derive(Args, Debug)]
pub struct Replay {
    /// The recorded deliveries; with --record, where to store them [default: deliveries.jsonl]
    #[arg(value_name = "FILE", required_unless_present = "record")]
    pub file: Option<PathBuf>,
    /// Store the App's deliveries of that long, such as 12h or 3d; GitHub keeps them for three days
    #[arg(long, value_name = "PERIOD", conflicts_with_all = ["classes", "against"])]
    pub record: Option<Period>,
    /// The new classes, a list in JSON
    #[arg(long, value_name = "FILE", required_unless_present = "record")]
    pub classes: Option<PathBuf>,
    /// The old classes; by default those of the stack
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
}

/// A comparison.
#[derive(Clone, Debug)]
struct Comparison {
    jobs: Vec<Compared>,
    /// What the new classes are called.
    new: String,
    /// The old ones, if they are known.
    old: Option<String>,
    /// Why they are not.
    not_compared: Option<String>,
    /// When the first and the last delivery were made.
    recorded: Option<(OffsetDateTime, OffsetDateTime)>,
}

/// Runs the command.
pub async fn run(common: &Common, options: &Replay, screen: &Screen) -> Result<Answer, Trouble> {
    if let Some(period) = options.record {
        let file = options.file.clone().unwrap_or_else(|| USUAL_FILE.into());
        return record(common, period, &file, screen).await;
    }
    let (Some(file), Some(new)) = (&options.file, &options.classes) else {
        return Err(wrong("name a recording and --classes".to_owned()));
    };
    let jobs = delivery::read(&text_of(file)?).map_err(|problem| wrong(format!("{}: {problem}", file.display())))?;
    let new_classes = classes_of(new)?;
    let old = match &options.against {
        Some(old) => Ok((classes_of(old)?, old.display().to_string())),
        None => deployed(common).await.map_err(|trouble| trouble.what),
    };
    let old_classes = old.as_ref().ok().map(|(classes, _)| classes);
    let comparison = Comparison {
        jobs: compare::compare(&jobs, old_classes, &new_classes),
        new: new.display().to_string(),
        recorded: jobs.iter().map(|job| job.delivered_at).min().zip(jobs.iter().map(|job| job.delivered_at).max()),
        not_compared: old.as_ref().err().cloned(),
        old: old.ok().map(|(_, name)| name),
    };
    Ok(comparison.answer(width()))
}

async fn record(common: &Common, period: Period, file: &Path, screen: &Screen) -> Result<Answer, Trouble> {
    if file.exists() {
        return Err(record::exists(file));
    }
    let aws = Aws::sign_in(common).await?;
    let fleet = Deployed::find(&aws, &common.stack).await?;
    let app = fleet.app(&aws).await?.ok_or_else(|| {
        Trouble::failed(
            "the secret holds no App's key, and only an App's delivery log can be read",
            "make an App: `jitgate app`",
        )
    })?;
    let since = OffsetDateTime::now_utc() - period.0;
    let recording = record::read(&app, since, screen).await?;
    record::write(file, &recording)?;
    Ok(recorded(file, &recording))
}

fn recorded(file: &Path, recording: &Recording) -> Answer {
    let jobs = recording.jobs.len();
    let first = recording.jobs.first();
    let first = first.map_or_else(String::new, |job| format!(", the first of {},", shown_day(job.delivered_at)));
    let mut text = format!("{jobs} deliveries{first} are in {}, which only you can read.\n", file.display());
    if recording.unreadable > 0 {
        let _ = writeln!(text, "Deliveries whose payload the webhook would not take: {}.", recording.unreadable);
    }
    if let Some(why) = &recording.why {
        let _ = writeln!(text, "Not whole: {} could not be opened: {why}.", recording.unopened);
    }
    let json = json!({
        "file": file.display().to_string(), "deliveries": jobs, "unreadable": recording.unreadable,
        "unopened": recording.unopened, "reason": recording.why,
    });
    let exit = if recording.unopened == 0 { Exit::Good } else { Exit::Unknown };
    Answer { text, json, exit }
}

async fn deployed(common: &Common) -> Result<(RunnerClasses, String), Trouble> {
    let fleet = Deployed::find(&Aws::sign_in(common).await?, &common.stack).await?;
    Ok((fleet.classes()?, format!("the classes of stack {}", common.stack)))
}

fn text_of(path: &Path) -> Result<String, Trouble> {
    std::fs::read_to_string(path).map_err(|error| wrong(format!("{}: {error}", path.display())))
}

fn classes_of(path: &Path) -> Result<RunnerClasses, Trouble> {
    RunnerClasses::parse(&text_of(path)?).map_err(|error| wrong(format!("{}: {error}", path.display())))
}

fn wrong(problem: String) -> Trouble {
    Trouble::usage(problem, "see `jitgate replay --help`")
}

fn shown_day(at: OffsetDateTime) -> String {
    at.to_offset(time::UtcOffset::UTC).date().to_string()
}

impl Comparison {
    fn answer(&self, width: usize) -> Answer {
        let counts = Counts::of(&self.jobs);
        let exit = if counts.lost > 0 { Exit::Failed } else { Exit::Good };
        Answer { text: show::text(self, width), json: self.json(&counts), exit }
    }

    fn json(&self, counts: &Counts) -> Value {
        json!({
            "classes": self.new, "against": self.old, "not_compared": self.not_compared, "counts": counts,
            "jobs": self.jobs,
        })
    }
}
