//! Deliveries that never arrived.

use std::collections::HashMap;

use jitgate::github::Delivery;
use time::{Duration, OffsetDateTime};

/// Older deliveries are left: GitHub fails a job that has waited for a day.
pub const LOOK_BACK: Duration = Duration::hours(24);

/// Attempts for one delivery, GitHub's own included. The log itself counts them.
pub const MOST_TRIES: usize = 6;

/// The first wait after a failed attempt; each next one is twice as long.
const FIRST_WAIT: Duration = Duration::minutes(1);

/// Which attempts to repeat, of all that the log has since a moment. Heals: the webhook was down, throttled, or could
/// not reach its secret or its queue. One attempt that succeeded settles all of its GUID.
pub fn plan_redeliveries(now: OffsetDateTime, log: &[Delivery]) -> Vec<u64> {
    let mut by_guid: HashMap<&str, Vec<&Delivery>> = HashMap::new();
    for delivery in log {
        by_guid.entry(&delivery.guid).or_default().push(delivery);
    }
    let mut repeated: Vec<u64> = by_guid
        .into_values()
        .filter_map(|attempts| {
            let latest = attempts.iter().max_by_key(|delivery| delivery.delivered_at)?;
            let first = attempts.iter().map(|delivery| delivery.delivered_at).min()?;
            let tries = u32::try_from(attempts.len()).unwrap_or(u32::MAX);
            let wait = FIRST_WAIT * 2_i32.pow(tries.saturating_sub(1).min(10));
            let is_wanted = latest.event == "workflow_job"
                && matches!(latest.action.as_deref(), Some("queued" | "completed"))
                && attempts.iter().all(|delivery| !delivery.succeeded())
                && attempts.len() < MOST_TRIES
                && now - latest.delivered_at >= wait
                && now - first < LOOK_BACK;
            is_wanted.then_some(latest.id)
        })
        .collect();
    repeated.sort_unstable();
    repeated
}
