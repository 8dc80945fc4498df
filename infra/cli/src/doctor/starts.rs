//! What became of the last hour's launches: failed starts by reason, and where a start's time goes.

use std::collections::BTreeMap;

use jitgate::ecs::{NEVER_CONNECTED, VERSION_REFUSED};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use super::finding::{Look, Wrong};
use crate::aws::Aws;
use crate::fleet::Deployed;
use crate::trouble::Trouble;
use crate::why::words::{self, Meaning};

/// A start waits 11 to 17 seconds for capacity and its network interface, whatever the image. Source: ARM tasks on Fargate,
/// measured 2026-10 from ECS's own moments.
const SLOW_WAIT: f64 = 40.0;

/// An image of 1.5 GB takes about 30 seconds from the same region. Source: the same; about 20 to 25 seconds a compressed GB.
const SLOW_PULL: f64 = 60.0;

/// The container starts within seconds of the pull.
const SLOW_REST: f64 = 20.0;

/// While a class is held back, its retries say so every minute or so.
const HELD_BACK: Duration = Duration::minutes(5);

/// A line `task ended`, with its moment.
pub(super) type Ended = (OffsetDateTime, Value);

/// The cleaner's last warning of a day that GitHub will turn a runner's version away.
pub(super) async fn version_warning(aws: &Aws, fleet: &Deployed) -> Result<Option<Value>, Trouble> {
    let since = OffsetDateTime::now_utc() - Duration::DAY;
    let lines = aws.log_lines(&fleet.cleaner.log_group, "turn this version of the runner away", since).await?;
    Ok(lines.last().and_then(|(_, line)| serde_json::from_str(line).ok()))
}

/// The lines `task ended` of the last hour, oldest first.
pub(super) async fn ended(aws: &Aws, fleet: &Deployed) -> Result<Vec<Ended>, Trouble> {
    let since = OffsetDateTime::now_utc() - Duration::HOUR;
    let lines = aws.log_lines(&fleet.cleaner.log_group, "task ended", since).await?;
    let parsed = lines.iter().filter_map(|(at, line)| Some((*at, serde_json::from_str::<Value>(line).ok()?)));
    Ok(parsed.filter(|(_, line)| line["message"] == "task ended").collect())
}

/// What became of the tasks of the last hour.
pub(super) async fn failed(aws: &Aws, fleet: &Deployed, ended: Result<&[Ended], Trouble>) -> Look {
    let since = OffsetDateTime::now_utc() - Duration::HOUR;
    let to_mend = aws.log_lines(&fleet.worker.log_group, "until this is mended", since).await?;
    let held_back = aws.log_lines(&fleet.worker.log_group, "held back", OffsetDateTime::now_utc() - HELD_BACK).await?;
    let ended: Vec<&Value> = ended?.iter().map(|(_, line)| line).collect();
    Ok(of_starts(&ended, last_error(&to_mend).as_deref(), last_error(&held_back).as_deref()))
}

fn last_error(lines: &[(OffsetDateTime, String)]) -> Option<String> {
    let line: Value = serde_json::from_str(&lines.last()?.1).ok()?;
    line["error"].as_str().map(str::to_owned)
}

fn of_starts(ended: &[&Value], to_mend: Option<&str>, held_back: Option<&str>) -> Result<String, Wrong> {
    if let Some(error) = to_mend {
        return Err(Wrong::new(format!("nothing can be launched: {error}"), words::of_error(error).todo));
    }
    if let Some(error) = held_back {
        return Err(Wrong::new(format!("a class is {error}"), words::of_error(error).todo));
    }
    let mut reasons: BTreeMap<&str, (usize, Meaning)> = BTreeMap::new();
    for line in ended.iter().filter(|line| did_not_start(line)) {
        let meaning = meaning(line);
        reasons.entry(meaning.kind).or_insert((0, meaning)).0 += 1;
    }
    let Some((_, commonest)) = reasons.values().max_by_key(|(times, _)| *times) else {
        return Ok(format!("{} ended, all had started", ended.len()));
    };
    let all: Vec<String> = reasons.values().map(|(times, meaning)| format!("{times} × {}", meaning.because)).collect();
    let failed: usize = reasons.values().map(|(times, _)| times).sum();
    Err(Wrong::new(format!("{failed} of {} tasks did not start: {}", ended.len(), all.join("; ")), commonest.todo))
}

fn did_not_start(line: &Value) -> bool {
    let never_connected = line["stopped_reason"].as_str().is_some_and(|reason| reason.contains(NEVER_CONNECTED));
    line["stop_code"] == "TaskFailedToStart" || line["exit_code"] == VERSION_REFUSED || never_connected
}

fn meaning(line: &Value) -> Meaning {
    let code = line["exit_code"].as_i64().map_or_else(String::new, |code| format!("exit code {code}"));
    let reason = line["stopped_reason"].as_str().unwrap_or_default();
    words::of_stop(&format!("{reason} {code}")).unwrap_or(Meaning {
        kind: "other",
        because: "for a reason of its own",
        todo: "see it by the job of one: `jitgate why JOB_ID`",
    })
}

/// Where the time of a start goes.
pub(super) fn times(ended: &[Ended]) -> Result<String, Wrong> {
    let median = |field: &str| {
        let mut all: Vec<f64> = ended.iter().filter_map(|(_, line)| line[field].as_f64()).collect();
        all.sort_unstable_by(f64::total_cmp);
        all.get(all.len().saturating_sub(1) / 2).copied()
    };
    let parts = [
        (
            "capacity and network",
            median("start_wait_seconds"),
            SLOW_WAIT,
            "add subnets in more zones, and for Spot a second capacity; a task on a provider waits for an instance",
        ),
        (
            "the image",
            median("image_pull_seconds"),
            SLOW_PULL,
            "use a smaller image, keep it in ECR in the same region, and index it with SOCI: docs/START.md",
        ),
        ("the container", median("start_rest_seconds"), SLOW_REST, "see what the image does before its first output"),
    ];
    let told: Vec<String> =
        parts.iter().filter_map(|(name, median, ..)| median.map(|median| format!("{name} {median:.0} s"))).collect();
    if told.is_empty() {
        return Ok("no task has ended in the last hour".to_owned());
    }
    let told = format!("{} (medians)", told.join(", "));
    match parts.iter().find(|(_, median, slow, _)| median.is_some_and(|median| median > *slow)) {
        None => Ok(told),
        Some((.., todo)) => Err(Wrong::new(told, *todo)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn not_started(reason: &str) -> Value {
        json!({ "stop_code": "TaskFailedToStart", "stopped_reason": reason })
    }

    #[test]
    fn what_holds_all_launches_up_comes_first() {
        let ended = not_started("CannotPullContainerError: x: not found");
        let to_mend = "secret \"s\" is unusable: private_key is missing";
        let held_back = "held back: the last runners of the class failed: jitgate: its runner never connected";
        let says = format!("{:?}", of_starts(&[&ended], Some(to_mend), Some(held_back)));
        assert!(says.contains("private_key is missing"), "{says}");
        let says = format!("{:?}", of_starts(&[&ended], None, Some(held_back)));
        assert!(says.contains("a class is held back") && says.contains("let the subnet reach GitHub"), "{says}");
    }

    #[test]
    fn failed_starts_are_counted_by_reason_and_the_commonest_is_mended() {
        let lost = not_started("CannotPullContainerError: dial tcp 1.2.3.4:443: i/o timeout");
        let missing = not_started("CannotPullContainerError: x: not found");
        let refused = json!({ "stop_code": "EssentialContainerExited", "exit_code": 7 });
        let unknown = not_started("something new");
        let cut_off = json!({ "stop_code": "UserInitiated", "stopped_reason": NEVER_CONNECTED, "exit_code": 0 });
        let good = json!({ "stop_code": "EssentialContainerExited", "exit_code": 0 });
        let wrong =
            of_starts(&[&lost, &missing, &missing, &refused, &unknown, &cut_off, &good], None, None).unwrap_err();
        let says = format!("{wrong:?}");
        for part in
            ["6 of 7 tasks did not start", "2 × the image does not exist", "1 × GitHub turns this version", "--image"]
        {
            assert!(says.contains(part), "{part}: {says}");
        }
        assert_eq!(of_starts(&[&good], None, None), Ok("1 ended, all had started".to_owned()));
    }

    #[test]
    fn the_part_that_takes_too_long_is_named() {
        let of = |wait: f64, pull: f64| {
            let line = json!({ "start_wait_seconds": wait, "image_pull_seconds": pull, "start_rest_seconds": 1.5 });
            times(&[(OffsetDateTime::UNIX_EPOCH, line)])
        };
        assert_eq!(
            of(14.0, 30.5),
            Ok("capacity and network 14 s, the image 30 s, the container 2 s (medians)".to_owned())
        );
        assert!(format!("{:?}", of(14.0, 90.0)).contains("SOCI"));
        assert!(format!("{:?}", of(120.0, 30.0)).contains("zones"));
        assert_eq!(times(&[]), Ok("no task has ended in the last hour".to_owned()));
    }
}
