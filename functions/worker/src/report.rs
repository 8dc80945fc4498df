//! Tells a job's commit why the job waits, by a check run, if `REPORT_TO_GITHUB` says so.
//!
//! Nothing is stored. The message of a job that waits carries the check run's id; where it does not, because the message is
//! another one or the last answer was lost, the check run is found again by its external id, the job's. So repeats write the
//! same check run. Only two messages of one job that both look before either writes make two of them. GitHub shows the later
//! one, and each of the two messages ends its own.
//!
//! A report never holds a job up:
//! - It takes [`WITHIN`] at most, and its failure is one log line.
//! - It is made only while launches leave points over (`Pace::Spare` of the client), and only [`MOST_A_MINUTE`] times a minute.
//! - What a waiting job did not tell, it tells when it is deferred again. What comes last is sent as a message of its own to
//!   be told later, a few times.

mod news;
mod plan;
mod text;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration as RealDuration;

use jitgate::classes::Asked;
use jitgate::github::{CheckSubject, GitHubError};
use jitgate::ids::CheckRunId;
use jitgate::job::{Message, Purpose};
use jitgate::report::{News, OnCommit, Told, Wait};
use time::{Duration, OffsetDateTime};
use tokio::time::timeout;

use self::plan::{Plan, plan};
use self::text::{name, text};
use crate::context::Context;
use crate::swaps::repository;

pub(crate) use self::news::{of_error, of_wait};

/// The longest time that a report takes. A look and a write take half a second.
const WITHIN: RealDuration = RealDuration::from_secs(3);

/// How many reports a process makes in a minute. The five processes that `WorkerConcurrency` usually allows make 60, and GitHub
/// permits 80 requests a minute that create content. Source: GitHub's "Rate limits for the REST API".
const MOST_A_MINUTE: usize = 12;

/// How many check runs a process makes in an hour. Five processes make 500, which is what GitHub permits. Those that there are
/// can be written as often as the minute permits, so that none stays open for long.
const MOST_NEW_AN_HOUR: usize = 100;

/// After a refusal, so long is nothing reported for the owner, or the commit, that was refused. A person has to grant the
/// permission, and nobody waits for a report.
const AFTER_REFUSAL: Duration = Duration::HOUR;

/// How much later a last report is tried again, give or take a quarter.
const LATER: Duration = Duration::minutes(5);

/// How often: for about an hour.
const MOST_TRIES: u32 = 12;

/// What this process remembers of its reports.
#[derive(Debug, Default)]
pub(crate) struct Reports(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    /// The reports of the last hour, and whether each may have made a check run.
    made: Vec<(OffsetDateTime, bool)>,
    /// Owners and commits that GitHub refuses, and until when they are left alone.
    refused: HashMap<String, OffsetDateTime>,
}

impl Reports {
    fn is_refused(&self, keys: &[&str], now: OffsetDateTime) -> bool {
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.iter().any(|key| memory.refused.get(*key).is_some_and(|until| *until > now))
    }

    /// Whether this was not known.
    fn refuse(&self, key: String, now: OffsetDateTime) -> bool {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.refused.retain(|_, until| *until > now);
        memory.refused.insert(key, now + AFTER_REFUSAL).is_none()
    }

    /// Whether one more may be made, and counts it.
    fn admit(&self, plan: Plan, now: OffsetDateTime) -> bool {
        let is_new = plan.known.is_none() && plan.may_create;
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.made.retain(|(at, _)| now - *at < Duration::HOUR);
        let lately = memory.made.iter().filter(|(at, _)| now - *at < Duration::MINUTE).count();
        let new = memory.made.iter().filter(|(_, is_new)| *is_new).count();
        let may = lately < MOST_A_MINUTE && (!is_new || new < MOST_NEW_AN_HOUR);
        if may {
            memory.made.push((now, is_new));
        }
        may
    }
}

/// A job waits: notes why in its message, and tells its commit when it has waited for long.
pub(crate) async fn waits(context: &Context, mut message: Message, news: News) -> Message {
    let is_told = context.config.reports && message.purpose == Purpose::Launch && message.job.commit.is_some();
    if is_told {
        let now = context.clock.now();
        message.progress.wait = Some(Wait::noted(message.progress.wait, news, now));
        if let Outcome::Told(check) = tell(context, &message, news).await {
            let told = Some(Told { check, news, at: now });
            message.progress.wait = message.progress.wait.map(|wait| Wait { told, ..wait });
        }
    }
    message
}

/// Nothing follows for a job: tells its commit, now or later.
pub(crate) async fn ends(context: &Context, message: &Message, news: News) {
    let Outcome::Later = tell(context, message, news).await else { return };
    let now = context.clock.now();
    let tries = if message.purpose == Purpose::Report { message.progress.deferrals + 1 } else { 1 };
    if tries > MOST_TRIES {
        return tracing::warn!(news = ?news, "job not reported: GitHub had no calls to spare");
    }
    let mut later = message.clone().saying(news, now);
    later.progress.deferrals = tries;
    let at = now + LATER * (0.75 + 0.5 * context.clock.chance());
    if let Err(error) = context.queue.send_at(&later, at, now).await {
        tracing::warn!(error = %error, "job not reported");
    }
}

/// What became of a report.
enum Outcome {
    /// There was nothing to say, or nobody may say it.
    Nothing,
    /// The check run says it.
    Told(CheckRunId),
    /// Another time.
    Later,
}

async fn tell(context: &Context, message: &Message, news: News) -> Outcome {
    let now = context.clock.now();
    let Some(commit) = message.job.commit.as_ref().filter(|_| context.config.reports) else { return Outcome::Nothing };
    let Some(plan) = plan(message, news, now) else { return Outcome::Nothing };
    let reason = reason(context, message, news);
    if news == News::Refused && reason.is_none() {
        return Outcome::Nothing;
    }
    let of_commit = format!("{}@{}", message.job.full_name(), commit.sha);
    if context.reports.is_refused(&[&message.job.owner, &of_commit], now) {
        return Outcome::Nothing;
    }
    if !context.reports.admit(plan, now) {
        return Outcome::Later;
    }
    let written = timeout(WITHIN, write(context, message, commit, plan, news, reason.as_deref())).await;
    let error = match written {
        Ok(Ok(Some(check))) => {
            tracing::info!(check_run.id = check.0, news = ?news, "job reported");
            return Outcome::Told(check);
        }
        Ok(Ok(None)) => return Outcome::Nothing,
        Ok(Err(error)) => error,
        Err(_) => GitHubError::Silent { cause: format!("none within {} s", WITHIN.as_secs()) },
    };
    let refused = match &error {
        // Nothing has failed: launches go first.
        GitHubError::RateLimited { .. } | GitHubError::Paced { .. } | GitHubError::TokenTooNew { .. } => {
            return Outcome::Later;
        }
        GitHubError::Unavailable { .. } | GitHubError::Silent { .. } => None,
        GitHubError::Denied { .. } | GitHubError::Secret(_) => Some(message.job.owner.clone()),
        GitHubError::NotFound { .. }
        | GitHubError::Refused { .. }
        | GitHubError::Rejected { .. }
        | GitHubError::BadName { .. }
        | GitHubError::Full { .. } => Some(of_commit),
    };
    let outcome = if refused.is_some() { Outcome::Nothing } else { Outcome::Later };
    // Other messages of the batch may have met the same refusal.
    if refused.is_none_or(|key| context.reports.refuse(key, now)) {
        tracing::warn!(error = %error, news = ?news, "job not reported");
    }
    outcome
}

/// One look at most, and one write. `None` if nothing had to be written.
async fn write(
    context: &Context,
    message: &Message,
    commit: &OnCommit,
    Plan { known, may_create }: Plan,
    news: News,
    reason: Option<&str>,
) -> Result<Option<CheckRunId>, GitHubError> {
    let place = context.github.place_of(&message.job);
    let repository = repository(context, &place, message);
    let (name, external_id) = (name(commit), format!("{}-{}", context.config.name_prefix.as_str(), message.job.id));
    let details_url = message.job.html_url.as_deref().filter(|url| url.starts_with("https://"));
    let subject = CheckSubject { sha: &commit.sha, name: &name, external_id: &external_id, details_url };
    let text = text(message, news, reason);
    let found = match known {
        Some(id) => Some(id),
        None => match repository.check_run(subject).await? {
            Some(run) if run.says(&text) => return Ok(Some(run.id)),
            // The job has its runner. What is final stays as it is.
            Some(run) if !may_create && run.is_final() => return Ok(None),
            found => found.map(|run| run.id),
        },
    };
    match found {
        Some(id) => repository.update_check_run(id, &text).await.map(|()| Some(id)),
        None if may_create => repository.create_check_run(subject, &text).await.map(Some),
        None => Ok(None),
    }
}

/// Why no class takes the job, in words for those who wait; absent if one does. A job that was not taken yet may be for another
/// fleet, and then it hears nothing.
fn reason(context: &Context, message: &Message, news: News) -> Option<String> {
    let (classes, asked) = (&context.config.classes, Asked::from(&message.job));
    match (news, classes.fit_again(&message.job.class, &asked)) {
        (News::Refused, Err(misfit)) => classes.refusal(&asked, &misfit),
        (News::Refused, Ok(fit)) => {
            message.job.provenance().check(fit.class).err().map(|unwelcome| unwelcome.to_string())
        }
        (News::GivenUp, Err(misfit)) => Some(misfit.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
