//! Whether the account may run as many runners as the fleet may have, and as it lately had.

use jitgate::classes::Capacity;
use time::Duration;

use super::finding::{Look, Wrong};
use super::starts::Ended;
use super::tasks::Origin;
use crate::aws::{Aws, Quota};
use crate::fleet::Deployed;
use crate::trouble::Trouble;

/// CPU units of one vCPU.
const UNIT: f64 = 1024.0;

/// From this share of a quota on, the next burst will wait.
const CLOSE: f64 = 0.8;

/// What is known of one kind of capacity.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Use {
    /// How many runners may be; none if there is no limit.
    limit: Option<f64>,
    /// vCPUs of the smallest runner, if no job chooses its size.
    smallest: Option<f64>,
    /// The most vCPUs that ran at once in the last hour.
    peak: f64,
}

pub(super) async fn fit(aws: &Aws, fleet: &Deployed, origins: &[Origin], ended: Result<&[Ended], Trouble>) -> Look {
    let ended = ended?;
    let limit = fleet.setting("MAX_RUNNERS").ok().and_then(|limit| limit.parse().ok()).filter(|limit| *limit > 0.0);
    let mut told = Vec::new();
    for (quota, capacity, name) in
        [(Quota::OnDemand, Capacity::OnDemand, "FARGATE"), (Quota::Spot, Capacity::Spot, "FARGATE_SPOT")]
    {
        let of_capacity = origins.iter().filter(|origin| origin.class.capacity.contains(&capacity));
        let sizes = of_capacity.filter_map(vcpus);
        let Some(smallest) = sizes.min_by(f64::total_cmp) else { continue };
        let used = Use { limit, smallest: Some(smallest), peak: peak(ended, name) };
        match of_quota(quota, aws.quota(quota).await?, used) {
            Ok(words) => told.push(words),
            wrong => return Ok(wrong),
        }
    }
    Ok(Ok(told.join("; ")))
}

/// vCPUs of a class's runner whose job does not choose.
fn vcpus(origin: &Origin) -> Option<f64> {
    let own = origin.class.size.map(|size| size.cpu.0);
    let units = own.or(origin.definition.as_ref().and_then(|definition| definition.cpu))?;
    Some(f64::from(units) / UNIT)
}

fn of_quota(quota: Quota, vcpus: f64, used: Use) -> Result<String, Wrong> {
    let name = quota.name();
    let todo = format!("ask AWS to raise {name:?}, in Service Quotas under AWS Fargate, or lower MaxRunners");
    if let (Some(limit), Some(smallest)) = (used.limit, used.smallest)
        && limit * smallest > vcpus
    {
        let need = limit * smallest;
        return Err(Wrong::new(
            format!(
                "MAX_RUNNERS permits {limit} runners of {smallest} vCPU or more, so {need} vCPU; {name} is {vcpus}"
            ),
            todo,
        ));
    }
    let told = format!("{name}: at most {} of {vcpus} in the last hour", used.peak);
    if used.peak >= CLOSE * vcpus { Err(Wrong::new(told, todo)) } else { Ok(told) }
}

/// The most vCPUs at once, from the lines of the tasks that ended.
fn peak(ended: &[Ended], capacity: &str) -> f64 {
    let mut changes = Vec::new();
    for (at, line) in ended.iter().filter(|(_, line)| line["capacity"] == capacity) {
        let Some(units) = line["cpu"].as_str().and_then(|units| units.parse::<f64>().ok()) else { continue };
        let parts = ["start_wait_seconds", "image_pull_seconds", "start_rest_seconds", "ran_seconds"];
        let lived: f64 = parts.iter().filter_map(|part| line[*part].as_f64()).sum();
        changes.push((*at - Duration::seconds_f64(lived), units / UNIT));
        changes.push((*at, -units / UNIT));
    }
    // What ends at a moment makes room for what begins then.
    changes.sort_by(|(at, change), (other, change_of_other)| at.cmp(other).then(change.total_cmp(change_of_other)));
    let mut now = 0.0;
    changes.iter().fold(0.0, |most: f64, (_, change)| {
        now += change;
        most.max(now)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use time::OffsetDateTime;

    use super::*;

    fn ended(at: i64, ran: f64, cpu: &str, capacity: &str) -> (OffsetDateTime, Value) {
        let at = OffsetDateTime::from_unix_timestamp(1_793_534_400 + at).unwrap();
        (at, json!({ "cpu": cpu, "capacity": capacity, "ran_seconds": ran }))
    }

    #[test]
    fn the_peak_is_what_ran_at_once() {
        let lines = [
            ended(100, 100.0, "1024", "FARGATE"),
            ended(150, 100.0, "2048", "FARGATE"),
            // It began when the first had ended.
            ended(200, 100.0, "512", "FARGATE"),
            ended(150, 100.0, "4096", "FARGATE_SPOT"),
        ];
        assert!((peak(&lines, "FARGATE") - 3.0).abs() < 1e-9);
        assert!((peak(&lines, "FARGATE_SPOT") - 4.0).abs() < 1e-9);
        assert!(peak(&[], "FARGATE").abs() < 1e-9);
    }

    #[test]
    fn a_quota_is_held_against_the_limit_and_against_what_ran() {
        let of = |vcpus, limit, peak| of_quota(Quota::OnDemand, vcpus, Use { limit, smallest: Some(2.0), peak });
        assert!(of(100.0, Some(50.0), 10.0).is_ok());
        let wrong = format!("{:?}", of(6.0, Some(50.0), 0.0));
        assert!(
            wrong.contains("permits 50 runners of 2 vCPU or more, so 100 vCPU") && wrong.contains("Service Quotas")
        );
        assert!(of(6.0, None, 1.0).is_ok(), "without a limit, what ran counts");
        assert!(of(6.0, None, 5.0).is_err());
    }
}
