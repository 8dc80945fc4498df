//! What the user reads.

use std::fmt::Write as _;

use time::Duration;

use super::Picture;
use super::runners::Count;
use crate::answer::fill;
use crate::why::cause::words_of;

pub(super) fn text(picture: &Picture, width: usize) -> String {
    let mut text = String::new();
    let mut line = |name: &str, words: &str| fill(&mut text, &format!("{name:<14}"), &" ".repeat(14), words, width);
    let version = picture.version.as_ref().map_or_else(String::new, |version| format!(", version {version}"));
    line("fleet", &format!("{}{version}", picture.stack));
    line("queue", &queue(picture));
    line("dead letters", &number(picture.dead_letters));
    match &picture.runners {
        None => line("runners", "?"),
        Some(classes) => {
            let total: u64 = classes.values().map(|count| count.starting + count.running).sum();
            let limit = picture.limit.filter(|limit| *limit > 0);
            let limit = limit.map_or_else(String::new, |limit| format!(" of {limit}"));
            line("runners", &format!("{total}{limit}"));
            for (class, count) in classes {
                line("", &format!("{class}: {}", runners(count)));
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
    match &picture.github {
        None => line("GitHub", "?"),
        Some(left) if left.is_empty() => line("GitHub", "no limit"),
        Some(left) => {
            let told = left.iter().map(|(account, left)| {
                let renewed = words_of(seconds(left.renewed_in_seconds));
                format!("{} of {} calls left for {account}, renewed in {renewed}", left.calls, left.of)
            });
            line("GitHub", &told.collect::<Vec<_>>().join("; "));
        }
    }
    for what in &picture.not_looked_at {
        line("not seen", what);
    }
    text
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(|| "?".to_owned(), |number| number.to_string())
}

fn seconds(number: u64) -> Duration {
    Duration::seconds(number.try_into().unwrap_or(i64::MAX))
}

fn queue(picture: &Picture) -> String {
    let of = |prefix: &str, age: Option<u64>, of: Option<u64>| {
        let age = age.filter(|_| of.is_some_and(|of| of > 0));
        age.map_or_else(String::new, |age| format!(" ({prefix} {})", words_of(seconds(age))))
    };
    format!(
        "{} waiting{}, {} deferred{}, {} with the worker",
        number(picture.waiting),
        of("the oldest for", picture.oldest_seconds, picture.waiting),
        number(picture.deferred),
        of("the first for another", picture.next_deferred_seconds, picture.deferred),
        number(picture.in_work)
    )
}

fn runners(count: &Count) -> String {
    let Some(seen) = count.at_github else {
        return format!("{} starting, {} running", count.starting, count.running);
    };
    let mut told = format!("{} starting, {} idle, {} busy, {} warm", count.starting, seen.idle, seen.busy, seen.warm);
    for (times, what) in [(seen.connecting, "connecting"), (seen.ending, "ending")] {
        if times > 0 {
            let _ = write!(told, ", {times} {what}");
        }
    }
    told
}

/// What draws a text over the one before: from the top of the screen, each line to its end, and nothing below. It never scrolls:
/// what does not fit is left out. Source: ECMA-48, "CUP", "EL" and "ED".
pub(super) fn frame(text: &str, height: usize, is_first: bool) -> String {
    let begin = if is_first { "\x1b[2J\x1b[H" } else { "\x1b[H" };
    let lines: Vec<&str> = text.lines().collect();
    // The cursor stands on the line after the last.
    let room = height.saturating_sub(1).max(1);
    let cut = lines.len().saturating_sub(room);
    let mut shown: Vec<String> = lines.iter().take(room).map(|line| (*line).to_owned()).collect();
    if let Some(last) = shown.last_mut().filter(|_| cut > 0) {
        *last = format!("… {} more lines", cut + 1);
    }
    let mut drawn = begin.to_owned();
    for line in &shown {
        let _ = writeln!(drawn, "{line}\x1b[K");
    }
    drawn + "\x1b[J"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_drawn_over_the_one_before_and_does_not_scroll() {
        assert_eq!(frame("a\nb\n", 24, true), "\x1b[2J\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
        assert_eq!(frame("a\n", 24, false), "\x1b[Ha\x1b[K\n\x1b[J");
        assert_eq!(frame("a\nb\nc\nd\n", 3, false), "\x1b[Ha\x1b[K\n… 3 more lines\x1b[K\n\x1b[J");
    }
}
