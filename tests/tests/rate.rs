//! Bursts against GitHub's secondary limit: what a quiet minute left is launched at once, the rest at nearly the permitted
//! rate, and hardly a call is refused. The real worker on a clock that costs no time; calls take what the benchmarks have
//! them take.

use std::time::Duration;

use jitgate_tests::chaos::{Arrival, Knobs, Verdict, run};
use jitgate_tests::github::Counting;
use time::OffsetDateTime;

/// 900 points a minute, of which a registration costs 5.
const PERMITTED_A_MINUTE: f64 = 180.0;

/// Jobs come after a minute in which others may have called.
const QUIET: Duration = Duration::from_secs(70);

/// Longer than any burst here takes, so that no runner is free for another job.
const WORK: std::ops::RangeInclusive<u64> = 3600..=7200;

/// What became of a burst.
struct Burst {
    jobs: usize,
    launches: Vec<OffsetDateTime>,
    /// Seconds from the jobs' coming to the last launch.
    last: f64,
    /// The share of calls that GitHub refused.
    refused: f64,
    /// How often a job was sent back to wait.
    deferrals: f64,
}

#[expect(clippy::cast_precision_loss, reason = "counts of thousands")]
impl Burst {
    fn of(verdict: &Verdict) -> Self {
        assert!(verdict.complaints.is_empty(), "{}", verdict.complaints.join("\n"));
        let came = verdict.waits.iter().map(|wait| wait.queued_at).min().expect("a job");
        let mut launches = verdict.launches.clone();
        launches.sort_unstable();
        let last = (*launches.last().expect("a launch") - came).as_seconds_f64();
        let meter = &verdict.meters["installation 77"];
        let refused = meter.refused as f64 / (meter.permitted + meter.refused) as f64;
        let jobs = verdict.waits.len();
        let deferrals = verdict.report.deferrals as f64 / jobs as f64;
        eprintln!("{jobs} jobs: {last:.1} s, {:.1} % refused, {deferrals:.2} deferrals a job", refused * 100.0);
        Self { jobs, launches, last, refused, deferrals }
    }

    /// Launches after the first minute, in which what was saved up is spent, over what is permitted in that time.
    fn rate(&self) -> f64 {
        let begin = self.launches[0] + Duration::from_mins(1);
        let steady = self.launches.iter().filter(|launch| **launch > begin).count() as f64;
        let minutes = (*self.launches.last().expect("a launch") - begin).as_seconds_f64() / 60.0;
        steady / minutes / PERMITTED_A_MINUTE
    }

    #[track_caller]
    fn assert(&self, within: f64, refused: f64) {
        assert!(self.last <= within, "{} jobs: the last after {} s, not {within} s", self.jobs, self.last);
        assert!(self.refused <= refused, "{} jobs: {} refused", self.jobs, self.refused);
    }
}

async fn burst(jobs: usize, workers: usize, change: impl FnOnce(&mut Knobs)) -> Burst {
    let arrivals = vec![Arrival { at: QUIET, repository: 0 }; jobs];
    let mut knobs = Knobs { workers: Some(workers), arrivals, work: WORK, as_benchmarked: true, ..Knobs::calm(jobs) };
    change(&mut knobs);
    Burst::of(&run(1, &knobs).await)
}

#[tokio::test]
async fn a_burst_after_a_quiet_minute_is_launched_at_once() {
    for (jobs, within) in [(20, 1.2), (100, 4.0), (160, 8.0)] {
        for workers in [1, 2, 5] {
            let burst = burst(jobs, workers, |_| {}).await;
            burst.assert(within, 0.0);
            assert!(burst.deferrals < 0.01, "{}", burst.deferrals);
        }
    }
}

#[tokio::test]
async fn a_burst_of_several_minutes_takes_what_is_permitted() {
    for (workers, refused, deferrals) in [(1, 0.0, 1.0), (2, 0.01, 1.5), (5, 0.05, 2.0)] {
        let burst = burst(600, workers, |_| {}).await;
        // 180 jobs at once, and 180 after each of three minutes.
        burst.assert(1.11 * 180.0, refused);
        assert!(burst.deferrals < deferrals, "{}", burst.deferrals);
    }
}

#[tokio::test]
async fn however_github_counts_it_hardly_refuses() {
    for counting in [Counting::Bucket, Counting::Fixed] {
        for workers in [2, 5] {
            burst(600, workers, |knobs| knobs.counting = counting).await.assert(1.11 * 180.0, 0.05);
        }
    }
}

#[tokio::test]
async fn what_another_client_leaves_is_used() {
    for workers in [1, 2, 5] {
        let burst = burst(256, workers, |knobs| knobs.elsewhere_writes = 60).await;
        // 120 jobs at once, and 120 after each minute.
        burst.assert(120.0 / 0.85, 0.1);
    }
}

#[tokio::test]
async fn a_long_burst_is_launched_at_nearly_the_permitted_rate() {
    let jobs = std::env::var("CHAOS_JOBS").map_or(1000, |jobs| jobs.parse().expect("a number"));
    for workers in [1, 2, 5] {
        let burst = burst(jobs, workers, |_| {}).await;
        assert!(burst.rate() >= 0.9 && burst.refused < 0.05, "rate {}, {} refused", burst.rate(), burst.refused);
    }
}

#[tokio::test]
async fn a_tenth_of_four_kinds_of_calls_may_fail_without_sending_jobs_back() {
    let (jobs, workers) = (1000, 5);
    let arrivals = vec![Arrival { at: QUIET, repository: 0 }; jobs];
    let knobs = Knobs { workers: Some(workers), arrivals, work: WORK, as_benchmarked: true, ..Knobs::calm(jobs) };
    let burst = Burst::of(&run(1, &Knobs { four_faults: 0.1, ..knobs }).await);
    // 300 ms a launch without faults: 6 s for fifty at a time.
    assert!(burst.last <= 75.0, "{} s", burst.last);
    assert!(burst.deferrals <= 1.0, "{}", burst.deferrals);
}
