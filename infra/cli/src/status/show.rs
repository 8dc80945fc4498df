//! What the user reads.

use super::Picture;
use crate::answer::fill;

pub(super) fn text(picture: &Picture, width: usize) -> String {
    let mut text = String::new();
    let mut line = |name: &str, words: &str| fill(&mut text, &format!("{name:<14}"), &" ".repeat(14), words, width);
    let version = picture.version.as_ref().map_or_else(String::new, |version| format!(", version {version}"));
    line("fleet", &format!("{}{version}", picture.stack));
    let number = |number: Option<u64>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
    line(
        "queue",
        &format!(
            "{} waiting, {} deferred, {} with the worker",
            number(picture.waiting),
            number(picture.deferred),
            number(picture.in_work)
        ),
    );
    line("dead letters", &number(picture.dead_letters));
    match &picture.runners {
        None => line("runners", "?"),
        Some(classes) => {
            let total: u64 = classes.values().map(|count| count.starting + count.running).sum();
            let limit = picture.limit.filter(|limit| *limit > 0);
            let limit = limit.map_or_else(String::new, |limit| format!(" of {limit}"));
            line("runners", &format!("{total}{limit}"));
            for (class, count) in classes {
                line("", &format!("{class}: {} starting, {} running", count.starting, count.running));
            }
        }
    }
    match &picture.launches {
        None => line("last hour", "?"),
        Some(launches) => {
            let waits = match (launches.p50_seconds, launches.p90_seconds) {
                (Some(half), Some(most)) => format!(": half within {half} s, nine in ten within {most} s"),
                _ => String::new(),
            };
            line("last hour", &format!("{} launches{waits}", launches.count));
            for (reason, times) in &launches.deferred {
                line("", &format!("deferred {times} times: {reason}"));
            }
        }
    }
    match picture.alarms.as_deref() {
        None => line("alarms", "?"),
        Some([]) => line("alarms", "none"),
        Some(alarms) => line("alarms", &alarms.join(", ")),
    }
    for what in &picture.not_looked_at {
        line("not seen", what);
    }
    text
}
