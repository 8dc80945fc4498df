//! What a job's latest task came to, or is about.

use time::Duration;

use super::{Cause, OPEN_GROUP, was_deferred_since, words_of};
use crate::why::sources::{Sources, Task};
use crate::why::words;

/// A task's start takes about a minute, most of it for the image. One that takes longer is worth a word.
const SLOW_START: Duration = Duration::minutes(5);

/// A runner takes its job within seconds of its start.
const SLOW_RUNNER: Duration = Duration::minutes(3);

/// What its latest launch came to.
pub(super) fn of_task(sources: &Sources) -> Option<Cause> {
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
        return Cause::of(words::VERSION, "the runner's output says so");
    }
    match sources.runner.known() {
        Some(Some(runner)) if runner.is_busy => Cause::new(
            "swapped",
            format!("its runner {} does another job with the same labels", runner.name),
            "nothing: that job's runner is next for this one, or the cleaner launches another within five minutes; \
             `run=` labels keep jobs and runners together",
        ),
        Some(Some(runner)) if runner.is_online && sources.group_admits.known() == Some(&false) => Cause::new(
            "group-closed",
            format!("its runner {} is idle: its runner group does not admit the repository", runner.name),
            OPEN_GROUP,
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

fn says(sources: &Sources, words: &[&str]) -> bool {
    let lines = sources.output.known().into_iter().flatten();
    lines
        .map(|line| line.text.to_lowercase())
        .any(|text| text.contains("version") && words.iter().any(|word| text.contains(word)))
}
