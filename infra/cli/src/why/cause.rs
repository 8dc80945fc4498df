//! From the sources to the cause: the first that explains why the job has no runner, or what became of it.

use serde::Serialize;
use time::{Duration, OffsetDateTime};

use super::sources::{Announced, EventSource, Installed, Job, Line, Seen, Sources, Task};
use super::words::{self, Meaning};

/// A task's start takes about a minute, most of it for the image. One that takes longer is worth a word.
const SLOW_START: Duration = Duration::minutes(5);

/// A message reaches the worker within seconds.
const SLOW_QUEUE: Duration = Duration::minutes(2);

/// A runner takes its job within seconds of its start.
const SLOW_RUNNER: Duration = Duration::minutes(3);

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

/// What its latest launch came to.
fn of_task(sources: &Sources) -> Option<Cause> {
    let task = sources.tasks.known()?.last()?;
    let begun = task.created_at.unwrap_or(sources.now);
    if was_deferred_since(sources, begun) {
        return None;
    }
    if task.is_over() {
        return Some(stopped(sources, task));
    }
    let age = sources.now - begun;
    let Some(started) = task.started_at else {
        let part = match (task.pull_started_at, task.pull_stopped_at) {
            (None, _) => "ECS prepares it",
            (Some(_), None) => "its image is pulled",
            (Some(_), Some(_)) => "its containers start",
        };
        return Some(if age < SLOW_START {
            Cause::new("starting", format!("its task has been starting for {}: {part}", words_of(age)), "wait a minute")
        } else {
            Cause::new(
                "starts-slowly",
                format!("its task has been starting for {}: {part}", words_of(age)),
                "use a smaller image, keep it in ECR in the same region, and index it with SOCI; if it never starts, see docs/NETWORK.md",
            )
        });
    };
    Some(running(sources, sources.now - started))
}

/// The task runs, and the job waits all the same.
fn running(sources: &Sources, age: Duration) -> Cause {
    if says(sources, &["not supported", "deprecated", "too old", "must be updated"]) {
        return Cause::of(words::of_error("held back exit code 7"), "the runner's output says so");
    }
    match sources.runner.known() {
        Some(Some(runner)) if runner.is_busy => Cause::new(
            "swapped",
            format!("its runner {} does another job with the same labels", runner.name),
            "nothing: that job's runner is next for this one, or the cleaner launches another within five minutes; \
             `run=` labels keep jobs and runners together",
        ),
        Some(Some(runner)) if runner.is_online && age > SLOW_RUNNER => Cause::new(
            "github-assigns-nothing",
            format!("its runner {} has been idle for {}, and GitHub gives it no job", runner.name, words_of(age)),
            "see githubstatus.com; if GitHub is well, admit the repository in the settings of the class's runner group",
        ),
        Some(Some(runner)) if !runner.is_online && age > SLOW_RUNNER => Cause::new(
            "runner-offline",
            format!("its task has run for {}, and runner {} does not connect to GitHub", words_of(age), runner.name),
            "let the subnet reach GitHub; see docs/NETWORK.md, and the runner's output",
        ),
        Some(None) if age > SLOW_RUNNER => Cause::new(
            "registration-gone",
            "its task runs, and its registration is gone",
            "nothing: the cleaner stops the task and launches the job again within five minutes",
        ),
        _ => Cause::new(
            "connecting",
            format!("its task has run for {}, and its runner connects", words_of(age)),
            "wait a minute",
        ),
    }
}

fn stopped(sources: &Sources, task: &Task) -> Cause {
    let reason = task.stopped_reason.as_deref().unwrap_or_default();
    let code = task.stop_code.as_deref().unwrap_or_default();
    let exit = task.exit_code.map_or_else(String::new, |exit| format!("exit code {exit}"));
    let all = [code, reason, &exit].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
    let again = match sources.now - task.stopped_at.unwrap_or(sources.now) {
        since if since < Duration::minutes(6) => "it is launched again within minutes",
        _ => "it should have been launched again: is the cleaner on? Run `jitgate doctor`",
    };
    if let Some(meaning) = words::of_stop(&all) {
        return Cause::of(meaning, &all);
    }
    Cause::new("runner-ended", format!("its runner ended without taking the job: {all}"), again)
}

/// The worker's last word.
fn of_lines(sources: &Sources) -> Option<Cause> {
    let line = last(sources, |line| {
        matches!(
            line.message.as_str(),
            "job deferred"
                | "job launched again"
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
        _ => in_queue(sources, age),
    })
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

fn of_delivery(sources: &Sources) -> Option<Cause> {
    if let Some(Installed::No | Installed::Suspended) = sources.installation.known() {
        return of_app(sources);
    }
    match sources.delivery.known()? {
        Announced::Delivered { status: 200..=299, reason: Some(reason), .. } => Some(refused(sources, reason)),
        Announced::Delivered { status, reason, attempts, .. } => {
            Some(failed(sources, *status, reason.as_deref(), *attempts))
        }
        Announced::Never => of_app(sources).or_else(|| {
            let class = match sources.classes.known() {
                Some(Err(reason)) => return Some(Cause::of(words::of_reason(reason), reason)),
                Some(Ok(class)) => format!(", though class {class} would take it"),
                None => String::new(),
            };
            Some(Cause::new(
                "never-delivered",
                format!("GitHub has not delivered it{class}"),
                "nothing: the cleaner finds such jobs within minutes; if it does not, run the job again",
            ))
        }),
        Announced::Forgotten => None,
    }
}

fn failed(sources: &Sources, status: u16, reason: Option<&str>, attempts: usize) -> Cause {
    let errors = sources.webhook_errors.known().and_then(|lines| lines.last()).and_then(|line| line.text("error"));
    let words = reason.or(errors).map_or_else(String::new, |words| format!(": {words}"));
    let (kind, because, todo) = match status {
        401 => (
            "secrets-differ",
            "the webhook refuses GitHub's deliveries: the webhook secrets differ",
            "copy webhook_secret from the secret into the App's settings, or run `jitgate app --replace`",
        ),
        403 => (
            "webhook-closed",
            "AWS answers in the webhook's place: its Function URL is closed to the public",
            "let nothing in your organisation forbid public Function URLs, then run `jitgate upgrade`",
        ),
        404 => (
            "webhook-elsewhere",
            "there is no webhook at the App's webhook URL",
            "run `jitgate doctor`, and correct the URL in the App's settings",
        ),
        415 => {
            ("content-type", "the App delivers forms", "set the content type to application/json in the App's settings")
        }
        429 => (
            "webhook-throttled",
            "Lambda had no concurrency left for the webhook",
            "raise the account's concurrency, or WebhookConcurrency; the cleaner has the delivery repeated",
        ),
        0 => {
            ("webhook-silent", "GitHub got no answer from the webhook", "check the App's webhook URL: `jitgate doctor`")
        }
        503 => (
            "webhook-fails",
            "the webhook could not take it",
            "mend what it names; the cleaner has the delivery repeated",
        ),
        _ => {
            ("delivery-failed", "its delivery failed", "read the webhook's log; the cleaner has the delivery repeated")
        }
    };
    let times = if attempts > 1 { format!(", {attempts} times") } else { String::new() };
    Cause::new(kind, format!("{because} (answer {status}{times}){words}"), todo)
}

fn of_app(sources: &Sources) -> Option<Cause> {
    let there = sources.repository.as_deref().unwrap_or("its repository");
    match (sources.installation.known(), sources.is_subscribed.known()) {
        (Some(Installed::No), _) => Some(Cause::new(
            "not-installed",
            format!("the App is not installed on {there}"),
            "install it there, or add the repository to its installation; then run the job again",
        )),
        (Some(Installed::Suspended), _) => Some(Cause::new(
            "suspended",
            format!("the App's installation on {there} is suspended"),
            "unsuspend it in the organisation's settings under GitHub Apps",
        )),
        (_, Some(false)) => Some(Cause::new(
            "event-off",
            "the App does not subscribe to the event Workflow job",
            "switch it on in the App's settings under Permissions & events",
        )),
        _ => match &sources.job {
            Seen::Known(None) => Some(Cause::new(
                "no-such-job",
                format!("GitHub shows no such job in {there}"),
                "check the address; the App needs Actions: Read-only",
            )),
            _ => None,
        },
    }
}

/// The latest line that fits.
fn last(sources: &Sources, fits: impl Fn(&Line) -> bool) -> Option<&Line> {
    sources.lines.known()?.iter().rev().find(|line| fits(line))
}

fn was_taken_up_since(sources: &Sources, at: OffsetDateTime) -> bool {
    let later = |line: &Line| {
        line.at > at
            && matches!(line.message.as_str(), "job queued" | "runner launched" | "job deferred" | "job launched again")
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

fn says(sources: &Sources, words: &[&str]) -> bool {
    let lines = sources.output.known().into_iter().flatten();
    lines
        .map(|line| line.text.to_lowercase())
        .any(|text| text.contains("version") && words.iter().any(|word| text.contains(word)))
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
