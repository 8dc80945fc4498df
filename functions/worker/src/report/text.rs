//! What a check run says: a pure function of the message.
//!
//! Everybody who sees the repository reads it. So it has our own words, the reasons of classes (which speak of labels and class
//! names), times, and the job's name and id; never the words of AWS or GitHub, which name accounts, ARNs and addresses. What
//! strangers wrote, the job's name and labels, is one cut line, and in Markdown always code, where nothing is a link, a mention
//! or markup.

use std::fmt::Write as _;

use jitgate::github::CheckText;
use jitgate::job::Message;
use jitgate::relaunch::LONGEST_WAIT;
use jitgate::report::{News, OnCommit, one_line};
use time::OffsetDateTime;

/// The longest title, in characters. GitHub shows it beside the check run's name, where it cuts it much sooner.
pub(super) const LONGEST_TITLE: usize = 200;

/// The longest reason, in characters: ten lines.
const LONGEST_REASON: usize = 1000;

/// The check run's name, which stands in the list of checks.
pub(super) fn name(commit: &OnCommit) -> String {
    let name = one_line(&commit.job_name, jitgate::report::LONGEST_JOB_NAME);
    format!("jitgate: {}", if name.is_empty() { "job" } else { &name })
}

/// What it says.
pub(super) fn text(message: &Message, news: News, reason: Option<&str>) -> CheckText {
    let Message { job, progress, .. } = message;
    let since = progress.wait.filter(|wait| wait.news == news).map_or(job.queued_at, |wait| wait.since);
    let (what, why) = words(news);
    let title = match news {
        News::Refused | News::GivenUp => format!("{what}: {}", reason.unwrap_or("it cannot be launched as it is")),
        News::Started if progress.failed_starts > 0 => {
            format!("{what}; {} before it did not come up", progress.failed_starts)
        }
        _ if news.is_wait() => {
            format!("{what} since {}; jobs wait up to {} h", moment(since), LONGEST_WAIT.whole_hours())
        }
        _ => what.to_owned(),
    };
    let job_name = job.commit.as_ref().map_or("", |commit| &commit.job_name);
    let mut summary = format!("Job {} asked for a runner at {}.\n\n", code(job_name), moment(job.queued_at));
    match reason.filter(|_| matches!(news, News::Refused | News::GivenUp)) {
        Some(reason) => _ = write!(summary, "**Why:** {}\n\n", code(reason)),
        None if matches!(news, News::Started | News::Ended) => _ = write!(summary, "{why}\n\n"),
        None => _ = write!(summary, "**Why:** {why}\n\n"),
    }
    if news.is_wait() {
        let end = moment(job.queued_at + LONGEST_WAIT);
        let hours = LONGEST_WAIT.whole_hours();
        _ = write!(
            summary,
            "**Until when:** it starts by itself once this is over. GitHub fails a job that has waited for "
        );
        _ = write!(summary, "{hours} hours, this one at {end}.\n\n");
    }
    _ = write!(summary, "Whoever runs the fleet sees more with `jitgate why {}`.", job.id);
    CheckText { is_final: !news.is_wait(), title: one_line(&title, LONGEST_TITLE), summary }
}

/// The beginning of the title, and a sentence.
fn words(news: News) -> (&'static str, &'static str) {
    match news {
        News::NoCapacity => {
            ("No capacity", "AWS has no capacity for its runner at the moment. It is asked again every few minutes.")
        }
        News::LimitReached => (
            "All runners busy",
            "As many runners as the fleet may have are at work. The job gets one of the next free places.",
        ),
        News::Limited => (
            "Slowed down by GitHub's limits",
            "GitHub limits how many runners may be registered in a minute or an hour, and the fleet waits for its turn.",
        ),
        News::GitHubFails => (
            "Held up by GitHub",
            "GitHub does not answer, or refuses to register a runner. It is asked again every few minutes.",
        ),
        News::AwsFails => (
            "Held up by AWS",
            "AWS does not answer, or refuses to start a runner. It is asked again every few minutes.",
        ),
        News::NeedsMending => (
            "Fleet out of order",
            "GitHub or AWS denies the fleet what it needs to start runners. Whoever runs the fleet has to correct that.",
        ),
        News::FailedStarts => (
            "Runners failing to start",
            "The runners that were started lately did not come up. Further ones follow at growing intervals.",
        ),
        News::Unassigned => (
            "Runners left without jobs by GitHub",
            "GitHub gives jobs to none of the runners that were started. Further ones follow at growing intervals.",
        ),
        News::Refused => ("Not taken", "No class of this fleet takes the job."),
        News::GivenUp => ("Given up", "It cannot be launched as it is. Whoever runs the fleet has its message."),
        News::Expired => ("Waited too long", "It had no runner for as long as GitHub keeps a job waiting."),
        News::Started => {
            ("A runner was started for it", "It takes the job within a minute or two, unless another one was faster.")
        }
        News::Ended => ("Waits no longer", "The job has a runner, or it has ended without one."),
    }
}

/// Text by strangers, in Markdown.
fn code(text: &str) -> String {
    let line = one_line(text, LONGEST_REASON).replace('`', "'");
    if line.is_empty() { "without a name".to_owned() } else { format!("`{line}`") }
}

fn moment(at: OffsetDateTime) -> String {
    let (date, time) = (at.date(), at.time());
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", time.hour(), time.minute())
}
