//! Deliveries that never arrived.
//!
//! GitHub is asked to repeat a failed delivery 1, 5, 25, 125 and 625 minutes after the attempt before: six attempts with
//! GitHub's own, in about 13 hours. A seventh would come after [`LOOK_BACK`]. How often a delivery was tried, GitHub's log
//! says.

use std::collections::HashMap;

use jitgate::github::{DeliveryAttempt, Log};
use time::{Duration, OffsetDateTime};

/// Older deliveries are left alone: GitHub fails a job that has waited for a day.
pub const LOOK_BACK: Duration = Duration::hours(24);

/// The wait after the first attempt; each further wait is [`GROWTH`] times as long. So six attempts outlast a night,
/// and a webhook that is down for good is not called all day.
const FIRST_WAIT: Duration = Duration::minutes(1);
const GROWTH: i32 = 5;

/// Whether the webhook acts on such a delivery: only then is it worth a repeat.
fn is_ours(delivery: &DeliveryAttempt) -> bool {
    delivery.event == "workflow_job" && matches!(delivery.action.as_deref(), Some("queued" | "completed"))
}

/// Since when the whole log is needed to tell whether the failed attempts were made good; `None` if none of them is due.
pub fn candidates(now: OffsetDateTime, failed: &[DeliveryAttempt]) -> Option<OffsetDateTime> {
    let due = by_guid(failed).into_values().filter(|attempts| latest_if_due(now, attempts).is_some());
    due.flatten().map(|delivery| delivery.delivered_at).min()
}

/// The attempts to repeat. Heals: the webhook was down, throttled, or could not reach its secret or its queue. One
/// successful attempt settles its GUID, so a GUID is left alone if a part of its attempts may be missing from the log.
pub fn plan_redeliveries(now: OffsetDateTime, log: &Log) -> Vec<u64> {
    let mut repeated: Vec<u64> = by_guid(&log.attempts)
        .into_values()
        .filter(|attempts| attempts.iter().all(|delivery| !delivery.succeeded()))
        .filter_map(|attempts| latest_if_due(now, &attempts).filter(|_| is_whole(&attempts, log)))
        .map(|latest| latest.id)
        .collect();
    repeated.sort_unstable();
    repeated
}

fn by_guid(log: &[DeliveryAttempt]) -> HashMap<&str, Vec<&DeliveryAttempt>> {
    let mut by_guid: HashMap<&str, Vec<&DeliveryAttempt>> = HashMap::new();
    for delivery in log.iter().filter(|delivery| is_ours(delivery)) {
        by_guid.entry(&delivery.guid).or_default().push(delivery);
    }
    by_guid
}

fn is_whole(attempts: &[&DeliveryAttempt], log: &Log) -> bool {
    attempts.iter().all(|delivery| delivery.delivered_at >= log.complete_since)
}

/// The latest attempt, if the next one may follow now.
fn latest_if_due<'a>(now: OffsetDateTime, attempts: &[&'a DeliveryAttempt]) -> Option<&'a DeliveryAttempt> {
    let latest = attempts.iter().max_by_key(|delivery| delivery.delivered_at)?;
    // If the first attempt is not in the log any more, the delivery is too old, and its attempts cannot be counted.
    let first = attempts.iter().find(|delivery| !delivery.redelivery)?;
    let tries = u32::try_from(attempts.len()).unwrap_or(u32::MAX);
    let wait = FIRST_WAIT * GROWTH.pow(tries.saturating_sub(1).min(5));
    let is_due = now - latest.delivered_at >= wait && now - first.delivered_at < LOOK_BACK;
    is_due.then_some(*latest)
}
