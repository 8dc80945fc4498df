//! The launches of the last hour, and how long their jobs waited.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

/// The launches of the last hour.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Launches {
    pub(super) count: usize,
    pub(super) p50_seconds: Option<u64>,
    pub(super) p90_seconds: Option<u64>,
    /// Why launches were deferred, with how often.
    pub(super) deferred: BTreeMap<String, u64>,
}

/// From the worker's lines.
pub(super) fn summary<'a>(launched: &[Value], deferred: impl Iterator<Item = &'a Value>) -> Launches {
    let mut waits: Vec<u64> = launched.iter().filter_map(|line| line["waited_seconds"].as_u64()).collect();
    waits.sort_unstable();
    let mut reasons = BTreeMap::new();
    for line in deferred {
        let kind = crate::why::words::of_error(line["error"].as_str().unwrap_or_default()).kind;
        *reasons.entry(kind.to_owned()).or_default() += 1;
    }
    Launches {
        count: launched.len(),
        p50_seconds: quantile(&waits, 50),
        p90_seconds: quantile(&waits, 90),
        deferred: reasons,
    }
}

/// In how many seconds the first deferred job comes back, by what the worker logged.
pub(super) fn next_deferred(lines: &[(OffsetDateTime, Value)], now: OffsetDateTime) -> Option<u64> {
    let due = lines.iter().filter_map(|(at, line)| {
        let delay = i64::try_from(line["delay_seconds"].as_u64()?).ok()?;
        u64::try_from((*at - now).whole_seconds() + delay).ok()
    });
    due.min()
}

/// The smallest value that so many per cent do not exceed.
fn quantile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::Duration;

    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        assert_eq!((quantile(&[], 50), quantile(&[3], 90), quantile(&[1, 9], 50)), (None, Some(3), Some(1)));
    }

    #[test]
    fn a_deferral_that_is_over_does_not_come_back() {
        let now = OffsetDateTime::from_unix_timestamp(1_793_534_400).unwrap();
        let of = |ago: i64, delay: u64| (now - Duration::seconds(ago), json!({ "delay_seconds": delay }));
        assert_eq!(next_deferred(&[of(100, 60), of(10, 300), of(10, 40)], now), Some(30));
        assert_eq!(next_deferred(&[of(100, 60)], now), None);
    }
}
