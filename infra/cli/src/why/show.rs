//! What the user reads.

use serde_json::{Value, json};

use super::cause::Cause;
use super::sources::{Seen, Sources};
use super::timeline::{self, Entry};
use crate::answer::fill;

/// The fewest columns in which a timeline can be read.
const NARROWEST: usize = 40;

/// The text, wrapped to a terminal of this width.
pub(super) fn text(sources: &Sources, timeline: &[Entry], cause: &Cause, width: usize) -> String {
    let width = width.max(NARROWEST);
    let mut text = String::new();
    fill(&mut text, "", "", &heading(sources), width);
    text.push('\n');
    let from = sources.job.known().and_then(|job| job.as_ref()?.created_at);
    let from = from.or(timeline.first().map(|first| first.at)).unwrap_or(sources.now);
    for entry in timeline {
        let times = if entry.times > 1 { format!(" ({} times)", entry.times) } else { String::new() };
        let head = format!("{:>8}  {:<8} ", timeline::relative(entry.at, from), entry.source);
        fill(&mut text, &head, &" ".repeat(19), &format!("{}{times}", entry.what), width);
    }
    if !timeline.is_empty() {
        text.push('\n');
    }
    fill(&mut text, "Because: ", "         ", &cause.because, width);
    fill(&mut text, "Do:      ", "         ", &cause.todo, width);
    let unseen = unseen(sources);
    if !unseen.is_empty() {
        text.push('\n');
    }
    for (what, why) in unseen {
        fill(&mut text, "Not looked at: ", "  ", &format!("{what}: {why}"), width);
    }
    text
}

/// The same for programs.
pub(super) fn json(sources: &Sources, timeline: &[Entry], cause: &Cause) -> Value {
    let job = sources.job.known().and_then(Option::as_ref);
    let unseen = unseen(sources);
    json!({
        "job": sources.job_id,
        "repository": sources.repository,
        "name": job.map(|job| &job.name),
        "status": job.map(|job| &job.status),
        "labels": job.map(|job| &job.labels),
        "cause": cause,
        "timeline": timeline,
        "not_looked_at": unseen.iter().map(|(what, why)| json!({ "source": what, "reason": why })).collect::<Vec<_>>(),
    })
}

fn heading(sources: &Sources) -> String {
    let of = sources.repository.as_ref().map_or_else(String::new, |repository| format!(" of {repository}"));
    let Some(Some(job)) = sources.job.known() else { return format!("Job {}{of}", sources.job_id) };
    let age = job.created_at.map_or_else(String::new, |at| format!(", {} old", timeline::age(at, sources.now)));
    format!("Job {} {:?}{of}: {}{age}, labels {}", sources.job_id, job.name, job.status, job.labels.join(", "))
}

/// The sources that could not be asked and might have had more to say.
fn unseen(sources: &Sources) -> Vec<(&'static str, &str)> {
    fn why<T>(seen: &Seen<T>) -> Option<&str> {
        match seen {
            Seen::Known(_) => None,
            Seen::Unknown(why) => Some(why),
        }
    }
    let gone = sources.installation.known().is_some_and(|state| *state != super::sources::Installed::Yes);
    let all = [
        ("GitHub", why(&sources.installation)),
        ("the job", why(&sources.job).filter(|_| sources.installation.known().is_some() && !gone)),
        ("deliveries", why(&sources.delivery).filter(|_| sources.job.known().is_some())),
        ("log lines", why(&sources.lines)),
        ("tasks", why(&sources.tasks)),
        ("the runner's output", why(&sources.output)),
        ("dead letters", why(&sources.dead_letter)),
        ("the worker's event source", why(&sources.event_source)),
    ];
    all.into_iter().filter_map(|(what, why)| Some((what, why?))).collect()
}
