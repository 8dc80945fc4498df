//! Chaos: one runner for each job, whatever fails.
//!
//! The ordinary tests run a few seeds. To run more, one per processor at a time:
//!
//! ```sh
//! cargo test --profile bench -p jitgate-tests --test chaos -- --ignored --nocapture
//! CHAOS_SEEDS=1000-1999 CHAOS_JOBS=200 cargo test --profile bench -p jitgate-tests --test chaos -- --ignored --nocapture
//! ```
//!
//! - `CHAOS_SEEDS`: one seed, or the first and the last; default 1-100.
//! - `CHAOS_JOBS`: jobs per seed; default 100. A seed with another number of jobs is another run.
//! - `CHAOS_JOB`: the id of a job whose diary is printed in any case.
//! - `CHAOS_SLOW`: prints the diaries of jobs that waited longer than so many seconds.
//! - `CHAOS_LEFTOVERS`: if set, prints each registration that a launch left to the cleaner. That is no failure.
//!
//! For a seed that fails, the test prints the command that repeats it and the diaries of its jobs.

use std::env;
use std::ops::RangeInclusive;
use std::time::Duration;

use jitgate_tests::chaos::{Arrival, Knobs, Report, run_alone, side_by_side};

/// How many complaints are printed: later ones usually follow from earlier ones.
const MOST_COMPLAINTS: usize = 6;

/// Runs the seeds, one thread per processor, and fails with their complaints.
fn storm(seeds: RangeInclusive<u64>, knobs: &Knobs) -> Report {
    let seeds: Vec<_> = seeds.collect();
    let (mut report, mut complaints) = (Report::default(), Vec::new());
    for (seed, verdict) in seeds.iter().zip(side_by_side(&seeds, |seed| run_alone(*seed, knobs))) {
        report.add(&verdict.report);
        let again = format!(
            "again: CHAOS_SEEDS={seed} CHAOS_JOBS={} cargo test -p jitgate-tests --test chaos -- --ignored",
            knobs.jobs
        );
        complaints.extend(verdict.complaints.into_iter().map(|complaint| format!("seed {seed}: {complaint}{again}\n")));
    }
    assert!(
        complaints.is_empty(),
        "{report}\n{} violations:\n\n{}",
        complaints.len(),
        complaints[..complaints.len().min(MOST_COMPLAINTS)].join("\n")
    );
    report
}

#[test]
fn every_job_runs_once_whatever_fails() {
    let report = storm(1..=8, &Knobs::storm(25));
    assert_eq!((report.jobs, report.lost, report.ran_twice), (200, 0, 0));
    assert!(
        report.crashes > 100 && report.repeats > 100 && report.told_twice > 10,
        "too few faults for a storm: {report}"
    );
    assert!(
        report.incidents.len() >= 9 && report.incidents.values().all(|count| *count > 0),
        "each kind of incident strikes: {report}"
    );
}

#[test]
#[ignore = "takes many minutes; see above"]
fn every_job_runs_once_in_many_storms() {
    let seeds = env::var("CHAOS_SEEDS").unwrap_or_else(|_| "1-100".to_owned());
    let (first, last) = seeds.split_once('-').unwrap_or((&seeds, &seeds));
    let number = |text: &str| text.parse::<u64>().unwrap_or_else(|_| panic!("CHAOS_SEEDS={seeds}: expected N or N-M"));
    let jobs = env::var("CHAOS_JOBS").map_or(100, |jobs| jobs.parse().expect("CHAOS_JOBS is a number"));
    let report = storm(number(first)..=number(last), &Knobs::storm(jobs));
    eprintln!("{report}");
}

#[test]
fn a_calm_day_costs_the_calls_it_must_and_no_more() {
    let report = run_alone(1, &Knobs { jobs: 60, workers: Some(1), ..Knobs::calm(60) }).report;
    let calls = |operation: &str| report.calls.get(operation).copied().unwrap_or_default();
    assert_eq!((report.lost, calls("generate-jitconfig"), calls("RunTask")), (0, 60, 60));
    assert_eq!((calls("access-token"), calls("delete-runner"), calls("get-job")), (1, 0, 0));
}

#[test]
fn with_warm_runners_jobs_start_at_once_none_starves_and_surplus_stays_bounded() {
    const WARM: u32 = 4;
    // The first warm runners are ready after half an hour; then come a job a minute and a burst of twelve.
    let trickle = (30..90).map(Duration::from_mins);
    let burst = std::iter::repeat_n(Duration::from_hours(1), 12);
    let mut arrivals: Vec<_> = trickle.chain(burst).map(|at| Arrival { at, repository: 0 }).collect();
    arrivals.sort();
    let knobs = Knobs { cleaner: true, warm: Some(WARM), arrivals, ..Knobs::calm(72) };
    let verdict = run_alone(3, &knobs);
    assert!(verdict.complaints.is_empty(), "{}", verdict.complaints.join("\n"));
    let waits = verdict.waits.iter().map(|wait| wait.started_at.expect("it ran") - wait.queued_at);
    let mut waits: Vec<_> = waits.collect();
    waits.sort();
    assert!(waits[waits.len() / 2] < Duration::from_secs(1), "half of the jobs found a warm runner: {waits:?}");
    assert!(
        waits[waits.len() - 1] < Duration::from_mins(3),
        "no job waited longer than without warm runners: {waits:?}"
    );
    let report = verdict.report;
    assert_eq!((report.jobs, report.lost, report.ran_twice), (72, 0, 0));
    assert!((4..=6).contains(&report.most_idle), "{report}");
    let started = report.calls["RunTask"];
    assert!((72..=72 + 12).contains(&started), "{started} tasks for {} jobs: {report}", report.jobs);
}

#[test]
fn a_seed_repeats_a_run_call_by_call() {
    let knobs = Knobs::storm(20);
    let [first, second] = [run_alone(7, &knobs), run_alone(7, &knobs)];
    assert_eq!(first.launches, second.launches);
    assert_eq!(first.report.to_string(), second.report.to_string());
}
