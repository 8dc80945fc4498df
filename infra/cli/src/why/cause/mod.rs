//! From the sources to the cause: the first that explains why the job has no runner, or what became of it.

mod delivery;
mod task;

use std::collections::BTreeMap;

use serde::Serialize;
use time::{Duration, OffsetDateTime};

use self::delivery::{of_app, of_delivery};
use self::task::of_task;
use super::sources::{EventSource, Job, Line, Sources};
use super::words::{self, Meaning};

/// A message reaches the worker within seconds.
const SLOW_QUEUE: Duration = Duration::minutes(2);

/// What opens a runner group to a repository.
const OPEN_GROUP: &str = "in the settings of the class's runner group, select the repository, or allow public repositories; \
                          or give the class another runner_group";

/// Why a job waits, or what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// A name that programs can rely on.
    pub kind: &'static str,
    /// What holds it up, in a sentence.
    pub because: String,
    /// What to do.
    pub todo: String,
}

impl Cause {
    fn new(kind: &'static str, because: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { kind, because: because.into(), todo: todo.into() }
    }

    fn of(meaning: Meaning, words: &str) -> Self {
        Self::new(meaning.kind, format!("{}: {words}", meaning.because), meaning.todo)
    }
}

/// The cause.
pub fn find(sources: &Sources) -> Cause {
    of_status(sources)
        .or_else(|| of_dead_letter(sources))
        .or_else(|| of_refusal(sources))
        .or_else(|| of_github(sources))
        .or_else(|| of_task(sources))
        .or_else(|| of_lines(sources))
        .or_else(|| of_delivery(sources))
        .or_else(|| of_app(sources))
        .unwrap_or_else(|| {
            Cause::new(
                "unknown",
                "no source that could be asked knows of this job",
                "run it again with --verbose; see what could not be looked at below",
            )
        })
}

/// A job that does not wait needs no other source.
fn of_status(sources: &Sources) -> Option<Cause> {
    let job = sources.job.known()?.as_ref()?;
    let runner = job.runner_name.as_deref().filter(|name| !name.is_empty());
    let nothing = "nothing";
    Some(match (job.status.as_str(), runner) {
        ("completed", None) => Cause::new(
            "ended-without-runner",
            format!("it ended without a runner: {}", conclusion(job)),
            "run the job again if it is still needed",
        ),
        ("completed", Some(runner)) => {
            Cause::new("ended", format!("it ended on runner {runner}: {}", conclusion(job)), nothing)
        }
        ("in_progress", runner) => {
            let on = runner.map_or_else(String::new, |runner| format!(" on runner {runner}"));
            Cause::new("runs", format!("it runs{on}"), nothing)
        }
        ("waiting", _) => Cause::new(
            "waits-at-github",
            "GitHub holds it until a deployment is approved",
            "approve it on the run's page",
        ),
        ("pending" | "requested", _) => Cause::new(
            "waits-at-github",
            "GitHub holds it until other runs of its concurrency group end",
            "wait for them, or cancel them",
        ),
        _ => return None,
    })
}

fn conclusion(job: &Job) -> &str {
    job.conclusion.as_deref().unwrap_or("no conclusion")
}

fn of_dead_letter(sources: &Sources) -> Option<Cause> {
    let given_up =
        last(sources, |line| line.message.starts_with("job given up") || line.message.starts_with("job dropped"));
    let in_queue = sources.dead_letter.known().and_then(Option::as_ref);
    let later = |line: &&Line| !was_taken_up_since(sources, line.at);
    let words = match (in_queue, given_up.filter(later)) {
        (Some(reason), _) => reason.clone(),
        (None, Some(line)) => {
            let own = line.text("error").or(line.text("reason")).or(line.text("stopped_reason"));
            own.map_or_else(|| line.message.clone(), str::to_owned)
        }
        (None, None) => return None,
    };
    let mend = words::of_stop(&words).unwrap_or_else(|| words::of_error(&words));
    let todo = match mend.kind {
        "other" => "mend what the reason names".to_owned(),
        _ => mend.todo.to_owned(),
    };
    let redrive = "`jitgate dead-letters --redrive`";
    let todo = if todo.contains(redrive) { todo } else { format!("{todo}; then send it back by {redrive}") };
    Some(Cause::new("given-up", format!("it was given up and is a dead letter: {words}"), todo))
}

/// The webhook or the worker does not take the job.
fn of_refusal(sources: &Sources) -> Option<Cause> {
    let of_job = |line: &Line| match line.message.as_str() {
        "job refused" => true,
        // GitHub tells of each step of a job. That a later one needs no runner is no refusal.
        "delivery ignored" => !["action ", "the job had its runner", "a skipped job"]
            .iter()
            .any(|later| line.text("reason").is_some_and(|reason| reason.starts_with(later))),
        _ => false,
    };
    let line = last(sources, of_job)?;
    // A re-delivery or a later line may have overtaken it.
    if was_taken_up_since(sources, line.at) {
        return None;
    }
    Some(refused(sources, line.text("reason").unwrap_or_default()))
}

fn refused(sources: &Sources, reason: &str) -> Cause {
    let mut cause = Cause::of(words::of_reason(reason), reason);
    match sources.classes.known() {
        // They say the same, and then which class is nearest.
        Some(Err(own)) if cause.kind == "no-class" => {
            cause.because.push_str(own.strip_prefix(reason).unwrap_or_default());
        }
        Some(Ok(class)) if matches!(cause.kind, "no-class" | "misfit" | "no-labels") => {
            cause.todo = format!("class {class} takes it now: have GitHub repeat the delivery, or run the job again");
        }
        _ => {}
    }
    cause
}

/// What the cleaner has heard from GitHub about why no runner helps, unless there is a newer launch.
fn of_github(sources: &Sources) -> Option<Cause> {
    let says = |line: &Line, words: &str| line.function == "cleaner" && line.message.contains(words);
    let (closed, ended) = ("runner group does not admit the repository", "queued in a run that has ended");
    let line = last(sources, |line| says(line, closed) || says(line, ended))?;
    let latest = sources.tasks.known().and_then(|tasks| tasks.last()?.created_at);
    if latest.is_some_and(|launched| launched > line.at) {
        return None;
    }
    Some(if says(line, closed) {
        Cause::new("group-closed", line.message.clone(), OPEN_GROUP)
    } else {
        Cause::new(
            "run-ended",
            "its run has ended, and GitHub keeps it queued all the same",
            "cancel it on the run's page, and run the job again if it is needed",
        )
    })
}

/// The worker's last word.
fn of_lines(sources: &Sources) -> Option<Cause> {
    let line = last(sources, |line| {
        is_launched_again(line)
            || matches!(
                line.message.as_str(),
                "job deferred"
                    | "job queued"
                    | "runner launched"
                    | "job waits no longer"
                    | "task ended"
                    | "job goes on under its next attempt"
                    | "job not queued"
            )
    })?;
    let age = sources.now - line.at;
    Some(match line.message.as_str() {
        "job deferred" => {
            let error = line.text("error").unwrap_or("no words");
            let mut cause = Cause::of(words::of_error(error), error);
            if let Some(shares) = sources.shares.known().filter(|shares| !shares.is_empty()) {
                cause.because = format!("{}; {}", cause.because, holders(shares));
            }
            if let Some(since) = deferred_since(sources, cause.kind) {
                cause.because = format!("{}; so for {}", cause.because, words_of(sources.now - since));
            }
            cause
        }
        "job not queued" => Cause::new(
            "queue-refuses",
            format!("the job queue did not take it: {}", line.text("error").unwrap_or("no words")),
            "mend what it names; the cleaner has the delivery repeated",
        ),
        "runner launched" | "task ended" => {
            let stop = ["stop_code", "stopped_reason"].into_iter().filter_map(|field| line.text(field));
            let exit = line.number("exit_code").map(|code| format!("exit code {code}"));
            let all = stop.map(str::to_owned).chain(exit).collect::<Vec<_>>().join(", ");
            match (line.message.as_str(), words::of_stop(&all)) {
                ("task ended", Some(meaning)) => Cause::of(meaning, &all),
                ("task ended", None) => Cause::new(
                    "runner-ended",
                    format!("its runner ended without taking the job: {all}"),
                    "nothing: the cleaner launches it again within five minutes",
                ),
                _ => Cause::new("starting", "its runner was launched", "wait a minute"),
            }
        }
        "job waits no longer" => Cause::new(
            "gone",
            "GitHub said that it waits no longer",
            "see the job's page; run it again if it is needed",
        ),
        _ => {
            let cause = in_queue(sources, age);
            match line.number("swapped.job.id") {
                // Runners with the same labels are interchangeable.
                Some(other) => Cause { because: format!("its runner did job {other}; {}", cause.because), ..cause },
                None => cause,
            }
        }
    })
}

/// Who has the runners: the three that have most.
fn holders(shares: &BTreeMap<String, u64>) -> String {
    let mut all: Vec<_> = shares.iter().collect();
    all.sort_by_key(|(_, runners)| std::cmp::Reverse(**runners));
    let told: Vec<String> = all.iter().take(3).map(|(name, runners)| format!("{runners} for {name}")).collect();
    let others: u64 = all.iter().skip(3).map(|(_, runners)| **runners).sum();
    let others = if others > 0 { format!(", {others} for others") } else { String::new() };
    format!("of them {}{others}", told.join(", "))
}

/// The message is on the queue.
fn in_queue(sources: &Sources, age: Duration) -> Cause {
    match sources.event_source.known() {
        Some(EventSource::Off) => Cause::new(
            "worker-off",
            "the worker takes no messages: its event source is disabled",
            "enable it: `jitgate doctor --fix`, or `aws lambda update-event-source-mapping --enabled --uuid UUID`",
        ),
        Some(EventSource::Missing) => {
            Cause::new("worker-off", "the worker takes no messages: it has no event source", "run `jitgate upgrade`")
        }
        _ if age > SLOW_QUEUE => Cause::new(
            "worker-late",
            format!("it has been on the queue for {}, and the worker has not begun with it", words_of(age)),
            "see whether the worker is throttled or fails: `jitgate doctor`",
        ),
        _ => Cause::new("queued", "it is on its way to the worker", "wait some seconds"),
    }
}

/// The cleaner's words have an ending where another job has the runner.
fn is_launched_again(line: &Line) -> bool {
    line.message.starts_with("job launched again")
}

/// The latest line that fits.
fn last(sources: &Sources, fits: impl Fn(&Line) -> bool) -> Option<&Line> {
    sources.lines.known()?.iter().rev().find(|line| fits(line))
}

fn was_taken_up_since(sources: &Sources, at: OffsetDateTime) -> bool {
    let later = |line: &Line| {
        line.at > at
            && (is_launched_again(line)
                || matches!(line.message.as_str(), "job queued" | "runner launched" | "job deferred"))
    };
    last(sources, later).is_some()
}

fn was_deferred_since(sources: &Sources, at: OffsetDateTime) -> bool {
    last(sources, |line| line.at > at && line.message == "job deferred").is_some()
}

/// Since when it has been deferred without a break for this kind of cause.
fn deferred_since(sources: &Sources, kind: &str) -> Option<OffsetDateTime> {
    let lines = sources.lines.known()?.iter().rev().filter(|line| line.function == "worker");
    let same = lines.take_while(|line| {
        line.message != "runner launched" && line.text("error").is_none_or(|error| words::of_error(error).kind == kind)
    });
    let first = same.filter(|line| line.message == "job deferred").last()?;
    Some(first.at)
}

/// `12 minutes`, `3 hours`.
pub fn words_of(interval: Duration) -> String {
    let (number, unit) = match interval.whole_seconds().max(0) {
        seconds @ 0..=119 => (seconds, "second"),
        seconds @ 120..=7199 => (seconds / 60, "minute"),
        seconds => (seconds / 3600, "hour"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}
