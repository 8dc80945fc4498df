//! The checks of what moves jobs: the queue, what takes from it, and what calls the cleaner.

use std::collections::BTreeMap;

use serde_json::Value;
use time::{Duration, OffsetDateTime};

use super::finding::{Fix, Look, Wrong};
use crate::aws::{Aws, Caller};
use crate::fleet::Deployed;
use crate::trouble::Trouble;
use crate::why::cause::words_of;

/// The cleaner's schedule is five minutes. The alarm `cleaner-silent` waits as long.
const CLEANER_SILENT: Duration = Duration::minutes(15);

/// A deferred job's message comes back within 15 minutes, and a worker takes it within a few.
const OLD: u64 = 20 * 60;

pub(super) async fn event_source(aws: &Aws, fleet: &Deployed) -> Look {
    let sources = aws.event_sources(&fleet.worker.name).await?;
    Ok(of_sources(&sources))
}

fn of_sources(sources: &[Value]) -> Result<String, Wrong> {
    let Some(source) = sources.first() else {
        return Err(Wrong::new("the worker has no event source", "run `jitgate upgrade`"));
    };
    match source["State"].as_str().unwrap_or_default() {
        "Disabled" | "Disabling" => {
            let id = source["UUID"].as_str().unwrap_or_default().to_owned();
            Err(Wrong::new("disabled, so no job is launched", "run `jitgate doctor --fix`")
                .with(Fix::EnableEventSource(id)))
        }
        _ => Ok(String::new()),
    }
}

/// What calls the cleaner: the schedule for its passes, and the rule for tasks that stop.
pub(super) async fn callers(aws: &Aws, fleet: &Deployed) -> Look {
    let (schedules, rules) =
        tokio::try_join!(aws.schedules_of(&fleet.cleaner.name), aws.rules_of(&fleet.cleaner.name))?;
    Ok(of_callers("schedule", "runs no pass", schedules)
        .and_then(|_| of_callers("rule", "does not hear of tasks that stop", rules)))
}

fn of_callers(kind: &str, so: &str, found: Vec<(Caller, bool)>) -> Result<String, Wrong> {
    if found.is_empty() {
        let todo = "it was deleted: delete the stack and make it anew, or create it by hand as template.yaml has it";
        return Err(Wrong::new(format!("there is no {kind}, so the cleaner {so}"), todo));
    }
    match found.into_iter().find(|(_, is_on)| !is_on) {
        None => Ok(String::new()),
        Some((caller, _)) => {
            let wrong = Wrong::new(format!("its {kind} is off, so the cleaner {so}"), "run `jitgate doctor --fix`");
            Err(wrong.with(Fix::Enable(caller)))
        }
    }
}

pub(super) async fn moves(aws: &Aws, fleet: &Deployed) -> Look {
    let queue = fleet.setting("JOB_QUEUE_URL")?;
    let (numbers, oldest) = tokio::join!(aws.queue_numbers(&queue), aws.oldest_message(&queue));
    of_queue(&numbers?, oldest)
}

fn of_queue(numbers: &BTreeMap<String, u64>, oldest: Result<Option<u64>, Trouble>) -> Look {
    let number = |name: &str| numbers.get(name).copied().unwrap_or_default();
    let (waiting, deferred) = (number("ApproximateNumberOfMessages"), number("ApproximateNumberOfMessagesDelayed"));
    let oldest = match oldest {
        _ if waiting == 0 => return Ok(Ok(format!("none waits, {deferred} deferred"))),
        Ok(oldest) => oldest.ok_or_else(|| {
            let todo = "look again in some minutes: CloudWatch hears of a queue once a minute";
            Trouble::unknown(format!("{waiting} wait, and CloudWatch does not know since when"), todo)
        })?,
        Err(trouble) => return Err(trouble),
    };
    let age = words_of(Duration::seconds(oldest.try_into().unwrap_or(i64::MAX)));
    Ok(if oldest < OLD {
        Ok(format!("{waiting} wait, the oldest for {age}"))
    } else {
        Err(Wrong::new(
            format!("{waiting} wait, the oldest for {age}"),
            "see whether the worker is off, throttled or fails: its event source above, and its log",
        ))
    })
}

pub(super) async fn dead_letters(aws: &Aws, fleet: &Deployed) -> Look {
    let numbers = aws.queue_numbers(&fleet.setting("DEAD_LETTER_QUEUE_URL")?).await?;
    Ok(match numbers.get("ApproximateNumberOfMessages").copied().unwrap_or_default() {
        0 => Ok("none".to_owned()),
        some => Err(Wrong::new(some.to_string(), "see `jitgate dead-letters`")),
    })
}

pub(super) async fn passes(aws: &Aws, fleet: &Deployed) -> Look {
    let since = OffsetDateTime::now_utc() - CLEANER_SILENT;
    let passes = aws.log_lines(&fleet.cleaner.log_group, "clean-up done", since).await?;
    Ok(match passes.last() {
        Some((at, _)) => Ok(format!("the last {} ago", words_of(OffsetDateTime::now_utc() - *at))),
        None => Err(Wrong::new("none within 15 minutes", "is its schedule on, above? Then read the cleaner's log")),
    })
}

pub(super) async fn alarms(aws: &Aws, fleet: &Deployed) -> Look {
    let alarms = aws.alarms(&fleet.stack).await?;
    Ok(if alarms.is_empty() {
        Ok("none".to_owned())
    } else {
        Err(Wrong::new(alarms.join(", "), "docs/OPERATIONS.md says what each means"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_source_that_is_off_can_be_switched_on() {
        let off = of_sources(&[json!({ "UUID": "u", "State": "Disabled" })]).unwrap_err();
        let fixed = Wrong::new("disabled, so no job is launched", "run `jitgate doctor --fix`");
        assert_eq!(off, fixed.with(Fix::EnableEventSource("u".to_owned())));
        assert!(of_sources(&[json!({ "UUID": "u", "State": "Enabled" })]).is_ok() && of_sources(&[]).is_err());
    }

    #[test]
    fn what_calls_the_cleaner_can_be_switched_on_but_not_made() {
        let rule = Caller::Rule("r".to_owned());
        assert!(of_callers("rule", "", vec![(rule.clone(), true)]).is_ok());
        let off = of_callers("rule", "", vec![(rule.clone(), false)]).unwrap_err();
        assert_eq!(off.fix(), Some(&Fix::Enable(rule)));
        assert_eq!(of_callers("rule", "", Vec::new()).unwrap_err().fix(), None);
    }

    #[test]
    fn a_queue_that_stands_still_is_told_by_its_oldest_message() {
        let numbers = |waiting| BTreeMap::from([("ApproximateNumberOfMessages".to_owned(), waiting)]);
        let refused = || Err(Trouble::unknown("AccessDenied", ""));
        assert!(matches!(of_queue(&numbers(0), refused()), Ok(Ok(_))), "an empty queue needs no age");
        assert!(matches!(of_queue(&numbers(3), Ok(Some(60))), Ok(Ok(_))));
        assert!(matches!(of_queue(&numbers(3), Ok(Some(OLD))), Ok(Err(_))));
        assert!(of_queue(&numbers(3), Ok(None)).is_err() && of_queue(&numbers(3), refused()).is_err());
    }
}
