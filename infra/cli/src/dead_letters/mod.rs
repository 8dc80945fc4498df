//! `jitgate dead-letters`: the jobs that were given up, why, and the way back to the queue.

use std::fmt::Write as _;

use clap::Args;
use jitgate::job::Message;
use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;

use crate::answer::{Answer, fill, width};
use crate::args::Common;
use crate::aws::{Aws, DeadLetter};
use crate::fleet::Deployed;
use crate::screen::Screen;
use crate::trouble::{Exit, Trouble};
use crate::why::cause::words_of;
use crate::why::{redact, words};

/// Options of `dead-letters`.
#[derive(Args, Debug)]
pub struct DeadLetters {
    /// Send all of them back to the job queue
    #[arg(long)]
    pub redrive: bool,
}

/// A job that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct GivenUp {
    /// Nothing if the message cannot be read.
    job: Option<u64>,
    repository: Option<String>,
    class: Option<String>,
    /// How long the job has waited, in seconds.
    waited_seconds: Option<i64>,
    reason: String,
    todo: &'static str,
}

/// Runs the command.
pub async fn run(common: &Common, options: &DeadLetters, screen: &Screen) -> Result<Answer, Trouble> {
    let aws = Aws::sign_in(common).await?;
    let fleet = Deployed::find(&aws, &common.stack).await?;
    let queue = fleet.setting("DEAD_LETTER_QUEUE_URL")?;
    let letters = aws.dead_letters(&queue).await?;
    let now = OffsetDateTime::now_utc();
    let given_up: Vec<GivenUp> = letters.iter().map(|letter| read(letter, now)).collect();
    let mut is_sent = false;
    if options.redrive && !given_up.is_empty() {
        screen.note("Dead letters", text(&given_up, false, width()).trim_end());
        screen.confirm("Send them back to the job queue?")?;
        aws.redrive(&queue, &fleet.setting("JOB_QUEUE_URL")?).await?;
        is_sent = true;
    }
    Ok(Answer {
        text: text(&given_up, is_sent, width()),
        json: json!({ "dead_letters": given_up, "redriven": is_sent }),
        exit: if given_up.is_empty() || is_sent { Exit::Good } else { Exit::Failed },
    })
}

fn read(letter: &DeadLetter, now: OffsetDateTime) -> GivenUp {
    let reason = letter.reason.as_deref().map_or_else(
        || "the worker crashed, ran out of time or was throttled five times at it".to_owned(),
        redact::text,
    );
    let message = Message::parse(&letter.body).ok();
    let job = message.as_ref().map(|message| &message.job);
    let todo = match (&letter.reason, words::of_stop(&reason).unwrap_or_else(|| words::of_error(&reason))) {
        (None, _) => "read the worker's log",
        (_, meaning) => meaning.todo,
    };
    GivenUp {
        job: job.map(|job| job.id.0),
        repository: job.map(jitgate::job::Job::full_name),
        class: job.map(|job| job.class.clone()),
        waited_seconds: job.map(|job| (now - job.queued_at).whole_seconds()),
        reason,
        todo,
    }
}

fn text(given_up: &[GivenUp], is_sent: bool, width: usize) -> String {
    let mut text = String::new();
    if given_up.is_empty() {
        text.push_str("There are no dead letters.\n");
    }
    for each in given_up {
        let job = match (each.job, &each.repository) {
            (Some(job), Some(repository)) => format!("Job {job} of {repository}"),
            _ => "A message that cannot be read".to_owned(),
        };
        let class = each.class.as_ref().map_or_else(String::new, |class| format!(", class {class}"));
        let age = each.waited_seconds.map(time::Duration::seconds);
        let age = age.map_or_else(String::new, |age| format!(", {} old", words_of(age)));
        fill(&mut text, "", "  ", &format!("{job}{class}{age}"), width);
        fill(&mut text, "  Because: ", "           ", &each.reason, width);
        fill(&mut text, "  Do:      ", "           ", each.todo, width);
    }
    if is_sent {
        text.push_str("They are on their way back to the job queue.\n");
    } else if !given_up.is_empty() {
        let _ = writeln!(text, "\nWhen the causes are mended: jitgate dead-letters --redrive");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_letter_says_why_and_what_to_do() {
        let now = OffsetDateTime::from_unix_timestamp(1_793_534_400).unwrap();
        let body = r#"{"v":1,"job_id":4711,"run_id":1,"run_attempt":1,"owner":"octo-org","owner_id":1,
            "repository":"octo-repo","labels":["fargate"],"class":"default","created_at":"2026-11-01T11:00:00Z",
            "delivery_id":"d","queued_at":1793530800,"attempt":1,"born_at":1793530800}"#;
        let letter = |body: &str, reason: Option<&str>| DeadLetter {
            body: body.to_owned(),
            reason: reason.map(str::to_owned),
            sent_at: None,
        };
        let letters = [
            letter(body, Some("ECS refuses: InvalidParameterException: subnet-1 is no subnet")),
            letter("{}", Some("not a job message: missing field `v`")),
            letter(body, None),
        ];
        let given_up: Vec<_> = letters.iter().map(|letter| read(letter, now)).collect();
        insta::assert_snapshot!(text(&given_up, false, 80));
        assert_eq!(text(&[], false, 80), "There are no dead letters.\n");
    }
}
