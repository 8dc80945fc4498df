//! `jitgate status`: what runs, what waits, and for how long.

mod look;
mod runners;
mod show;
mod waits;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use self::look::Observer;
use self::runners::Count;
use self::waits::Launches;
use crate::answer::{Answer, width};
use crate::args::Common;
use crate::aws::Aws;
use crate::fleet::Deployed;
use crate::trouble::{Exit, Trouble};

/// How often `--watch` looks. A look costs about a dozen calls to AWS, among them two searches over an hour of the worker's
/// lines.
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
    /// The age of the oldest message; absent as well if CloudWatch has not heard of one lately.
    oldest_seconds: Option<u64>,
    /// Messages that come later.
    deferred: Option<u64>,
    /// Until the first of them comes, by what the worker logged.
    next_deferred_seconds: Option<u64>,
    /// Messages that the worker has.
    in_work: Option<u64>,
    dead_letters: Option<u64>,
    /// By class.
    runners: Option<BTreeMap<String, Count>>,
    limit: Option<u64>,
    /// Of the last hour.
    launches: Option<Launches>,
    alarms: Option<Vec<String>>,
    /// What is left of GitHub's calls, by account.
    github: Option<BTreeMap<String, Left>>,
    /// Why something is absent.
    not_looked_at: Vec<String>,
}

/// What is left of the hour's calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Left {
    calls: u64,
    of: u64,
    renewed_in_seconds: u64,
}

/// Runs the command.
pub async fn run(common: &Common, options: &Status) -> Result<Answer, Trouble> {
    let aws = Aws::sign_in(common).await?;
    let fleet = Deployed::find(&aws, &common.stack).await?;
    let mut observer = Observer::new(&aws, &fleet).await;
    let is_screen = io::stdout().is_terminal() && !common.json;
    let mut is_first = true;
    loop {
        let picture = Box::pin(observer.look()).await;
        let exit = if picture.not_looked_at.is_empty() { Exit::Good } else { Exit::Unknown };
        let answer = Answer { text: show::text(&picture, width()), json: json!(picture), exit };
        if !options.watch {
            return Ok(answer);
        }
        if is_screen {
            let height = terminal_size::terminal_size().map_or(usize::MAX, |(_, height)| usize::from(height.0));
            // Whoever reads it may have gone away.
            let _ = write!(io::stdout(), "{}", show::frame(&answer.text, height, is_first));
            let _ = io::stdout().flush();
        } else {
            answer.print(common);
        }
        is_first = false;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use time::OffsetDateTime;

    use super::runners::State;
    use super::*;
    use crate::aws::RunnerTask;

    fn task(class: &str, is_running: bool, runner: Option<&str>, job: u64) -> RunnerTask {
        RunnerTask {
            arn: format!("arn:aws:ecs:eu-central-1:123456789012:task/jitgate/{job}"),
            class: class.to_owned(),
            is_running,
            runner: runner.map(str::to_owned),
            repository: None,
            started_by: format!("jit-{job}-1"),
        }
    }

    fn picture() -> Picture {
        let now = OffsetDateTime::from_unix_timestamp(1_793_534_400).unwrap();
        let launched: Vec<Value> = (1..=10).map(|wait| json!({ "waited_seconds": wait })).collect();
        let deferred = [
            (now, json!({ "error": "no capacity: x", "delay_seconds": 42 })),
            (now, json!({ "error": "no capacity a moment ago: x", "delay_seconds": 300 })),
        ];
        let slot = 48_151_623_421_081_542;
        let tasks = [
            task("big", true, Some("a"), 1),
            task("default", true, Some("b"), 2),
            task("default", true, Some("c"), 3),
            task("default", true, Some("d"), slot),
            task("default", true, Some("e"), 6),
            task("default", true, Some("gone"), 4),
            task("default", false, None, 5),
        ];
        let states =
            [("a", State::Busy), ("b", State::Busy), ("c", State::Idle), ("d", State::Idle), ("e", State::Offline)];
        let states = states.map(|(name, state)| (name.to_owned(), state)).into();
        Picture {
            stack: "jitgate".to_owned(),
            version: Some("0.1.0".to_owned()),
            waiting: Some(2),
            oldest_seconds: Some(75),
            deferred: Some(7),
            next_deferred_seconds: waits::next_deferred(&deferred, now),
            in_work: Some(0),
            dead_letters: Some(1),
            runners: Some(runners::count(&tasks, Some(&states), &"jit".parse().unwrap())),
            limit: Some(50),
            launches: Some(waits::summary(&launched, deferred.iter().map(|(_, line)| line))),
            alarms: Some(vec!["jitgate-dead-letters".to_owned()]),
            github: Some([("octo-org".to_owned(), Left { calls: 4711, of: 5000, renewed_in_seconds: 1260 })].into()),
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
        let tasks = [task("default", true, Some("b"), 2), task("default", false, None, 5)];
        let runners = Some(runners::count(&tasks, None, &"jit".parse().unwrap()));
        let picture = Picture { stack: "jitgate".to_owned(), not_looked_at: unseen, runners, ..Picture::default() };
        insta::assert_snapshot!(show::text(&picture, 44));
    }

    #[test]
    fn the_object() {
        insta::assert_snapshot!(format!("{:#}", json!(picture())));
    }
}
