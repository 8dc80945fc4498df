//! What follows from the interval between passes. A test compares it with `template.yaml` and the Terraform module.

use time::{Duration, OffsetDateTime};

/// How often the schedule invokes the cleaner.
pub const PASS_INTERVAL: Duration = Duration::minutes(5);

/// A pass acts on a moment for this long after it: the interval between passes, and a reserve for a pass that takes longer
/// than the one before. So each moment falls into at least one pass. If it falls into two, a message is sent twice, which is
/// harmless.
const WINDOW: Duration = PASS_INTERVAL.saturating_add(Duration::seconds(30));

/// A task is stopped once its registration has been missing for this long. After a job GitHub deletes the registration
/// first, and the runner exits a little later. Shorter than the interval, so that the pass after the one that noted it acts.
pub const GONE_FOR: Duration = PASS_INTERVAL.saturating_sub(Duration::minutes(1));

/// Whether a pass now acts on one of the moments, given as times since the same event as `since`.
pub(super) fn falls_on(since: Duration, moments: &[Duration]) -> bool {
    moments.iter().any(|moment| (*moment..*moment + WINDOW).contains(&since))
}

/// Lets each pass begin elsewhere in a list, so that no element always comes after the time or the points have run out.
pub(crate) fn rotate<T>(now: OffsetDateTime, list: &mut [T]) {
    let pass = now.unix_timestamp() / PASS_INTERVAL.whole_seconds();
    list.rotate_left(beginning(usize::try_from(pass).unwrap_or(0), list.len()));
}

/// Where a pass begins: about a third of the list further on than the pass before, since a pass may come that far. Step and
/// length have no common divisor, so each element is the first in turn.
pub(super) fn beginning(pass: usize, len: usize) -> usize {
    let is_coprime = |step: &usize| greatest_common_divisor(*step, len) == 1;
    let step = (len / 3 + 1..=len).find(is_coprime).unwrap_or(1);
    if len == 0 { 0 } else { pass * step % len }
}

fn greatest_common_divisor(one: usize, other: usize) -> usize {
    if other == 0 { one } else { greatest_common_divisor(other, one % other) }
}
