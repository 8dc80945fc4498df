//! A burst far above GitHub's secondary limit is launched at nearly the permitted rate, and few calls are refused.

use jitgate_tests::chaos::{Knobs, Verdict, run};

/// GitHub's secondary limit is 900 points a minute, and a registration costs 5.
const PERMITTED_A_MINUTE: f64 = 180.0;

/// Enough jobs that points saved before the burst do not matter.
fn jobs() -> usize {
    std::env::var("CHAOS_JOBS").map_or(1500, |jobs| jobs.parse().expect("a number"))
}

/// Launches a minute from the first to the last one, and the share of calls that GitHub refused.
#[expect(clippy::cast_precision_loss, reason = "counts of thousands")]
fn figures(verdict: &Verdict) -> (f64, f64) {
    let (first, last) = (verdict.launches.iter().min(), verdict.launches.iter().max());
    let (first, last) = first.zip(last).expect("something was launched");
    let minutes = (*last - *first).as_seconds_f64() / 60.0;
    let meter = &verdict.meters["installation 77"];
    let refused = meter.refused as f64 / (meter.permitted + meter.refused) as f64;
    (verdict.launches.len() as f64 / minutes, refused)
}

async fn burst(workers: usize, work: std::ops::RangeInclusive<u64>) -> (f64, f64) {
    let within = Some(std::time::Duration::from_secs(10));
    let knobs = Knobs { workers: Some(workers), within, work, ..Knobs::calm(jobs()) };
    let verdict = run(1, &knobs).await;
    assert!(verdict.complaints.is_empty(), "{}", verdict.complaints.join("\n"));
    let (rate, refused) = figures(&verdict);
    eprintln!(
        "{workers} workers: {rate:.1} launches a minute, {:.1} % of what is permitted; {:.2} % of calls refused\n{}",
        rate / PERMITTED_A_MINUTE * 100.0,
        refused * 100.0,
        verdict.report
    );
    (rate, refused)
}

#[tokio::test]
async fn a_burst_is_launched_at_nearly_the_permitted_rate_by_one_worker() {
    let (rate, refused) = burst(1, 3600..=7200).await;
    assert!(rate >= 0.9 * PERMITTED_A_MINUTE && refused < 0.05, "{rate} a minute, {refused} refused");
}

#[tokio::test]
async fn a_burst_is_launched_at_nearly_the_permitted_rate_by_five_workers() {
    let (rate, refused) = burst(5, 3600..=7200).await;
    assert!(rate >= 0.9 * PERMITTED_A_MINUTE && refused < 0.05, "{rate} a minute, {refused} refused");
}
