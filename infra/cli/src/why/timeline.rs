//! One timeline from all sources.

use serde::Serialize;
use time::OffsetDateTime;

use super::cause::words_of;
use super::sources::{Announced, Line, Sources, Task};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Who says so.
    pub source: &'static str,
    /// What happened.
    pub what: String,
    /// How often in a row.
    pub times: usize,
}

/// Everything that happened, in order. What repeats itself is told once, from its first time on.
pub fn merge(sources: &Sources) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut note = |at: Option<OffsetDateTime>, source, what: String| {
        entries.extend(at.map(|at| Entry { at, source, what, times: 1 }));
    };
    if let Some(Some(job)) = sources.job.known() {
        note(job.created_at, "GitHub", "the job is created".to_owned());
        let runner = job.runner_name.as_deref().filter(|name| !name.is_empty());
        if let Some(runner) = runner {
            note(job.started_at, "GitHub", format!("runner {runner} begins it"));
        }
        let ending = job.conclusion.as_deref().unwrap_or("completed");
        note(job.completed_at, "GitHub", format!("it ends: {ending}"));
    }
    if let Some(Announced::Delivered { at, attempts, status, reason }) = sources.delivery.known() {
        let again = if *attempts > 1 { format!(", attempt {attempts}") } else { String::new() };
        let reason = reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        note(Some(*at), "GitHub", format!("delivery{again}, answered {status}{reason}"));
    }
    for line in sources.lines.known().into_iter().flatten() {
        let source = match line.function.as_str() {
            "webhook" => "webhook",
            "worker" => "worker",
            _ => "cleaner",
        };
        note(Some(line.at), source, told(line));
    }
    for task in sources.tasks.known().into_iter().flatten() {
        let name = if task.attempt > 1 { format!("task of launch {}", task.attempt) } else { "task".to_owned() };
        note(task.created_at, "ECS", format!("{name} accepted"));
        note(task.pull_started_at, "ECS", "its image is pulled".to_owned());
        note(task.started_at, "ECS", format!("{name} runs"));
        note(task.stopped_at, "ECS", format!("{name} stopped{}", stop_of(task)));
    }
    for line in sources.output.known().into_iter().flatten() {
        note(Some(line.at), "runner", line.text.clone());
    }
    entries.sort_by_key(|entry| entry.at);
    fold(entries)
}

fn fold(entries: Vec<Entry>) -> Vec<Entry> {
    let mut folded: Vec<Entry> = Vec::new();
    for entry in entries {
        match folded.last_mut() {
            Some(last) if last.source == entry.source && last.what == entry.what => last.times += 1,
            _ => folded.push(entry),
        }
    }
    folded
}

fn stop_of(task: &Task) -> String {
    let exit = task.exit_code.map(|code| format!("exit code {code}"));
    let parts = [task.stop_code.clone(), task.stopped_reason.clone(), exit];
    let parts: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) }
}

/// A line in a sentence: its message, and what tells most of its fields.
fn told(line: &Line) -> String {
    let reason = ["error", "reason", "stopped_reason"].into_iter().find_map(|field| line.text(field));
    let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    let detail = match line.message.as_str() {
        "job queued" => line.text("class").map(|class| format!(" for class {class}")),
        "runner launched" => line.text("runner.name").map(|name| format!(": {name}")),
        "task ended" => {
            let exit = line.number("exit_code").map(|code| format!("exit code {code}"));
            let parts = [line.text("stop_code").map(str::to_owned), exit].into_iter().flatten();
            let parts: Vec<String> = parts.collect();
            (!parts.is_empty()).then(|| format!(": {}", parts.join(", ")))
        }
        again if again.starts_with("job launched again") => {
            line.number("swapped.job.id").map(|other| format!(": its runner did job {other}"))
        }
        _ => None,
    };
    format!("{}{}{reason}", line.message, detail.unwrap_or_default())
}

/// The moment of an entry, as seen from the first.
pub fn relative(at: OffsetDateTime, from: OffsetDateTime) -> String {
    let seconds = (at - from).whole_seconds();
    if seconds < 0 {
        return format!("-{} s", -seconds);
    }
    match seconds {
        0..=119 => format!("+{seconds} s"),
        120..=7199 => format!("+{} min", seconds / 60),
        _ => format!("+{} h", seconds / 3600),
    }
}

/// How long something has been going on.
pub fn age(since: OffsetDateTime, now: OffsetDateTime) -> String {
    words_of(now - since)
}
