//! `jitgate status`: what runs, what waits, and for how long.

mod show;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::answer::{Answer, width};
use crate::args::Common;
use crate::aws::{Aws, RunnerTask};
use crate::fleet::Deployed;
use crate::trouble::{Exit, Trouble};

/// How often `--watch` looks. A look costs nine calls and one query of Logs Insights over an hour of the worker's lines.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Options of `status`.
#[derive(Args, Debug)]
pub struct Status {
    /// Look again and again, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
}

/// What there is at one moment. What could not be looked at is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Picture {
    stack: String,
    version: Option<String>,
    /// Messages that can be received now.
    waiting: Option<u64>,
    /// Messages that come later.
    deferred: Option<u64>,
    /// Messages that the worker has.
    in_work: Option<u64>,
    dead_letters: Option<u64>,
    /// By class.
    runners: Option<BTreeMap<String, Count>>,
    limit: Option<u64>,
    /// Of the last hour.
    launches: Option<Launches>,
    alarms: Option<Vec<String>>,
    /// Why something is absent.
    not_looked_at: Vec<String>,
}

/// The runners of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    starting: u64,
    running: u64,
}

/// The launches of the last hour, and how long their jobs waited.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Launches {
    count: usize,
    p50_seconds: Option<u64>,
    p90_seconds: Option<u64>,
    /// Why launches were deferred, with how often.
    deferred: BTreeMap<String, u64>,
}

/// Runs the command.
pub async fn run(common: &Common, options: &Status) -> Result<Answer, Trouble> {
    let aws = Aws::sign_in(common).await?;
    let fleet = Deployed::find(&aws, &common.stack).await?;
    loop {
        let picture = Box::pin(look(&aws, &fleet)).await;
        let exit = if picture.not_looked_at.is_empty() { Exit::Good } else { Exit::Unknown };
        let answer = Answer { text: show::text(&picture, width()), json: json!(picture), exit };
        if !options.watch {
            return Ok(answer);
        }
        if io::stdout().is_terminal() && !common.json {
            // Clears the screen and begins at its top. Source: ECMA-48, "ED" and "CUP".
            let _ = write!(io::stdout(), "\x1b[2J\x1b[H");
        }
        answer.print(common);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn look(aws: &Aws, fleet: &Deployed) -> Picture {
    let jobs = async { aws.queue_numbers(&fleet.setting("JOB_QUEUE_URL")?).await };
    let dead = async { aws.queue_numbers(&fleet.setting("DEAD_LETTER_QUEUE_URL")?).await };
    let tasks = async { aws.runner_tasks(&fleet.setting("ECS_CLUSTER")?).await };
    let (jobs, dead, tasks, launches, alarms) =
        tokio::join!(jobs, dead, tasks, launches(aws, fleet), aws.alarms(&fleet.stack));
    let mut unseen = Vec::new();
    let jobs = note(jobs, &mut unseen);
    let number = |name: &str| jobs.as_ref().and_then(|numbers| numbers.get(name).copied());
    let dead = note(dead, &mut unseen);
    Picture {
        stack: fleet.stack.clone(),
        version: fleet.version.clone(),
        waiting: number("ApproximateNumberOfMessages"),
        deferred: number("ApproximateNumberOfMessagesDelayed"),
        in_work: number("ApproximateNumberOfMessagesNotVisible"),
        dead_letters: dead.and_then(|numbers| numbers.get("ApproximateNumberOfMessages").copied()),
        runners: note(tasks, &mut unseen).map(|tasks| count(&tasks)),
        limit: fleet.setting("MAX_RUNNERS").ok().and_then(|limit| limit.parse().ok()),
        launches: note(launches, &mut unseen),
        alarms: note(alarms, &mut unseen),
        not_looked_at: unseen,
    }
}

fn note<T>(outcome: Result<T, Trouble>, unseen: &mut Vec<String>) -> Option<T> {
    outcome.map_err(|trouble| unseen.push(trouble.what)).ok()
}

fn count(tasks: &[RunnerTask]) -> BTreeMap<String, Count> {
    let mut classes: BTreeMap<String, Count> = BTreeMap::new();
    for task in tasks {
        let count = classes.entry(task.class.clone()).or_default();
        if task.is_running {
            count.running += 1;
        } else {
            count.starting += 1;
        }
    }
    classes
}

/// From the worker's lines of the last hour.
async fn launches(aws: &Aws, fleet: &Deployed) -> Result<Launches, Trouble> {
    let since = OffsetDateTime::now_utc() - time::Duration::HOUR;
    let of = |text| aws.log_lines(&fleet.worker.log_group, text, since);
    let (launched, deferred) = tokio::try_join!(of("runner launched"), of("job deferred"))?;
    let parsed = |lines: Vec<(OffsetDateTime, String)>| -> Vec<Value> {
        lines.iter().filter_map(|(_, line)| serde_json::from_str(line).ok()).collect()
    };
    Ok(summary(&parsed(launched), &parsed(deferred)))
}

fn summary(launched: &[Value], deferred: &[Value]) -> Launches {
    let mut waits: Vec<u64> = launched.iter().filter_map(|line| line["waited_seconds"].as_u64()).collect();
    waits.sort_unstable();
    let mut reasons = BTreeMap::new();
    for line in deferred {
        let kind = crate::why::words::of_error(line["error"].as_str().unwrap_or_default()).kind;
        *reasons.entry(kind.to_owned()).or_default() += 1;
    }
    Launches {
        count: launched.len(),
        p50_seconds: quantile(&waits, 50),
        p90_seconds: quantile(&waits, 90),
        deferred: reasons,
    }
}

/// The smallest value that so many per cent do not exceed.
fn quantile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Picture {
        let launched: Vec<Value> = (1..=10).map(|wait| json!({ "waited_seconds": wait })).collect();
        let deferred = vec![json!({ "error": "no capacity: x" }), json!({ "error": "no capacity a moment ago: x" })];
        let task = |class: &str, is_running| RunnerTask { class: class.to_owned(), is_running };
        Picture {
            stack: "jitgate".to_owned(),
            version: Some("0.1.0".to_owned()),
            waiting: Some(2),
            deferred: Some(7),
            in_work: Some(0),
            dead_letters: Some(1),
            runners: Some(count(&[task("big", true), task("default", true), task("default", false)])),
            limit: Some(50),
            launches: Some(summary(&launched, &deferred)),
            alarms: Some(vec!["jitgate-dead-letters".to_owned()]),
            not_looked_at: Vec::new(),
        }
    }

    #[test]
    fn the_text() {
        insta::assert_snapshot!(show::text(&picture(), 80));
    }

    #[test]
    fn the_text_of_a_fleet_of_which_little_can_be_seen() {
        let unseen = vec!["a queue (sqs:GetQueueAttributes): AccessDenied".to_owned()];
        let picture = Picture { stack: "jitgate".to_owned(), not_looked_at: unseen, ..Picture::default() };
        insta::assert_snapshot!(show::text(&picture, 44));
    }

    #[test]
    fn the_object() {
        insta::assert_snapshot!(format!("{:#}", json!(picture())));
    }

    #[test]
    fn quantiles_are_values_that_occurred() {
        assert_eq!((quantile(&[], 50), quantile(&[3], 90), quantile(&[1, 9], 50)), (None, Some(3), Some(1)));
    }
}
