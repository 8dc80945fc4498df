//! Deliveries that never arrived.
//!
//! GitHub is asked to repeat a failed delivery 1, 5, 25, 125 and 625 minutes after the attempt before: six attempts with
//! GitHub's own, in about 13 hours. A seventh would come after [`LOOK_BACK`]. How often a delivery was tried, GitHub's log
//! of failures says, which is short. Whether one has been repeated since, only the whole log says, which is long: a large
//! organization adds thousands of deliveries an hour. So a pass reads it back to the oldest failure that became due within
//! [`REPEATED_WITHIN`], and no further: what became due before that was repeated by the passes before. Once an hour, a pass
//! takes none of that for granted, should there have been no passes.

use std::collections::HashMap;

use jitgate::github::{DeliveryAttempt, Log};
use time::{Duration, OffsetDateTime};

use super::interval::PASS_INTERVAL;

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

/// A delivery is repeated by a pass within this time from the moment at which its next attempt is due. A pass repeats a
/// hundred, so the thousand that an outage of 20 minutes leaves take 50 minutes.
const REPEATED_WITHIN: Duration = Duration::hours(2);

/// A delivery whose next attempt is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// `X-GitHub-Delivery`
    guid: String,
    /// The id of its latest attempt, which failed.
    id: u64,
    at: OffsetDateTime,
}

impl Due {
    /// From here on the log says whether the delivery was repeated. Its second attempt comes [`FIRST_WAIT`] after the first.
    fn needs_log_since(&self) -> OffsetDateTime {
        self.at - FIRST_WAIT
    }
}

/// What to repeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redeliveries {
    /// The failed attempts to repeat, those that are due for longest first.
    pub attempts: Vec<u64>,
    /// How many may have been repeated or not: what was read of the log does not reach back to them.
    pub out_of_reach: usize,
}

/// The deliveries that are due, those that are due for longest first, by the log of failures.
pub fn due(now: OffsetDateTime, failures: &Log) -> Vec<Due> {
    let within = if is_thorough(now) { LOOK_BACK } else { REPEATED_WITHIN };
    let mut due: Vec<_> = by_guid(&failures.attempts).into_values().filter_map(|all| due_of(now, &all)).collect();
    due.retain(|due| now - due.at < within);
    due.sort_unstable_by_key(|due| (due.at, due.id));
    due
}

/// The moment back to which the whole log is needed to tell which of them were repeated; `None` if none is due.
pub fn log_needed(due: &[Due]) -> Option<OffsetDateTime> {
    due.iter().map(Due::needs_log_since).min()
}

/// What to repeat. Heals: the webhook was down, throttled, or could not reach its secret or its queue. One later attempt
/// settles a delivery, for if that one failed, it is the latest itself.
pub fn plan_redeliveries(due: &[Due], log: &Log) -> Redeliveries {
    let mut latest: HashMap<&str, u64> = HashMap::new();
    for attempt in &log.attempts {
        let id = latest.entry(&attempt.guid).or_default();
        *id = attempt.id.max(*id);
    }
    let mut planned = Redeliveries::default();
    for each in due.iter().filter(|due| latest.get(due.guid.as_str()).is_none_or(|latest| *latest <= due.id)) {
        if each.needs_log_since() >= log.complete_since {
            planned.attempts.push(each.id);
        } else {
            planned.out_of_reach += 1;
        }
    }
    planned
}

/// One pass an hour is thorough.
fn is_thorough(now: OffsetDateTime) -> bool {
    i64::from(now.minute()) < PASS_INTERVAL.whole_minutes()
}

fn by_guid(log: &[DeliveryAttempt]) -> HashMap<&str, Vec<&DeliveryAttempt>> {
    let mut by_guid: HashMap<&str, Vec<&DeliveryAttempt>> = HashMap::new();
    for delivery in log.iter().filter(|delivery| is_ours(delivery)) {
        by_guid.entry(&delivery.guid).or_default().push(delivery);
    }
    by_guid
}

fn due_of(now: OffsetDateTime, attempts: &[&DeliveryAttempt]) -> Option<Due> {
    let latest = attempts.iter().max_by_key(|delivery| (delivery.delivered_at, delivery.id))?;
    // If the first attempt is not in the log any more, the delivery is too old, and its attempts cannot be counted.
    let first = attempts.iter().find(|delivery| !delivery.redelivery)?;
    let tries = u32::try_from(attempts.len()).unwrap_or(u32::MAX);
    let at = latest.delivered_at + FIRST_WAIT * GROWTH.pow(tries.saturating_sub(1).min(5));
    let is_due = at <= now && now - first.delivered_at < LOOK_BACK;
    is_due.then(|| Due { guid: latest.guid.clone(), id: latest.id, at })
}
