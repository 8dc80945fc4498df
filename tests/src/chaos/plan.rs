//! What a seed decides before the run: which jobs come when, what they need, and what happens to them.

use std::ops::RangeInclusive;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::incidents::Incidents;
use crate::github::Counting;

/// A job that a test plans itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival {
    /// The time since the start.
    pub at: Duration,
    /// The number of the job's repository.
    pub repository: u32,
}

/// The parameters of a run besides its seed. Shares are between 0 and 1.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each turns something of its own on")]
pub struct Knobs {
    /// How many jobs.
    pub jobs: usize,
    /// How many worker processes there are; absent for 1 to 5 by the seed.
    pub workers: Option<usize>,
    /// The time within which the jobs come; absent for a burst, a trickle or anything between, by the seed.
    pub within: Option<Duration>,
    /// When the jobs come, if the seed does not decide it. They then all have the same labels.
    pub arrivals: Vec<Arrival>,
    /// How many warm runners the class keeps. All jobs must then have the same labels.
    pub warm: Option<u32>,
    /// The account's quota for Fargate On-Demand in vCPUs, one per job; absent for no quota.
    pub vcpus: Option<u32>,
    /// How long a job takes, in seconds.
    pub work: RangeInclusive<u64>,
    /// The share of jobs that belong to a second organisation.
    pub elsewhere: f64,
    /// The share of jobs that have the same labels, so that each of their runners can take any of them.
    pub alike: f64,
    /// The share of jobs that GitHub announces twice, with two delivery ids.
    pub told_twice: f64,
    /// The share of messages that SQS delivers twice, and out of order. Deferring a copy makes it a message of its own,
    /// so a job gets at most four copies, which keeps them from multiplying.
    pub repeats: f64,
    /// The share of invocations whose process dies.
    pub crashes: f64,
    /// The share of calls to GitHub and AWS that meet a fault.
    pub faults: f64,
    /// The share of calls that meet each of the benchmark's four faults: GitHub's 502 and 403 for a second, ECS's throttling
    /// and lack of capacity. There is then neither a limit of GitHub's nor pacing.
    pub four_faults: f64,
    /// The share of jobs that are cancelled while they wait.
    pub cancelled: f64,
    /// The share of tasks that die before they take a job: they fail to start, or AWS reclaims Spot capacity.
    pub deaths: f64,
    /// Whether there are incidents after the launch: of GitHub's, of AWS's, of runners and of tokens.
    pub incidents: bool,
    /// Whether the cleaner runs, by schedule and for stopped tasks.
    pub cleaner: bool,
    /// Whether capacity is short at times, and lists, `busy` and deletions lag.
    pub weather: bool,
    /// How GitHub counts its secondary limit.
    pub counting: Counting,
    /// How many changes a minute another client of the first organisation's installation makes.
    pub elsewhere_writes: u32,
    /// Whether calls take as long as in the benchmarks, deliveries take 100 ms, and `RunTask` is not throttled.
    pub as_benchmarked: bool,
}

/// The most copies of a job's messages, from SQS's repeats and from lost answers of `SendMessage`.
pub(super) const MOST_COPIES: u32 = 4;

impl Knobs {
    /// All faults, as often as jitgate must cope with.
    pub fn storm(jobs: usize) -> Self {
        Self {
            jobs,
            workers: None,
            within: None,
            arrivals: Vec::new(),
            vcpus: None,
            warm: None,
            work: 30..=600,
            elsewhere: 0.2,
            alike: 0.4,
            told_twice: 0.1,
            repeats: 0.1,
            crashes: 0.05,
            faults: 0.2,
            four_faults: 0.0,
            cancelled: 0.05,
            deaths: 0.04,
            incidents: true,
            cleaner: true,
            weather: true,
            counting: Counting::Sliding,
            elsewhere_writes: 0,
            as_benchmarked: false,
        }
    }

    /// No faults.
    pub fn calm(jobs: usize) -> Self {
        Self {
            jobs,
            workers: None,
            within: None,
            arrivals: Vec::new(),
            vcpus: None,
            warm: None,
            work: 30..=600,
            elsewhere: 0.0,
            alike: 0.0,
            told_twice: 0.0,
            repeats: 0.0,
            crashes: 0.0,
            faults: 0.0,
            four_faults: 0.0,
            cancelled: 0.0,
            deaths: 0.0,
            incidents: false,
            cleaner: false,
            weather: false,
            counting: Counting::Sliding,
            elsewhere_writes: 0,
            as_benchmarked: false,
        }
    }
}

/// Random numbers from a seed.
pub(super) struct Chance(StdRng);

impl Chance {
    /// A stream of a seed. Streams are independent: a further draw from one does not change the others.
    pub(super) fn new(seed: u64, stream: &str) -> Self {
        let mut mixed = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for byte in stream.bytes() {
            mixed = (mixed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Self(StdRng::seed_from_u64(mixed))
    }

    pub(super) fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && self.0.random_bool(share.min(1.0))
    }

    /// Less than `bound`, which is above zero.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0.random_range(0..bound)
    }

    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        self.0.random_range(least..=most)
    }

    pub(super) fn seconds(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.between(least * 1000, most * 1000))
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        items.shuffle(&mut self.0);
    }
}

/// A planned job.
#[derive(Clone, Debug)]
pub(super) struct PlannedJob {
    /// The time since the start.
    pub(super) at: Duration,
    pub(super) owner: &'static str,
    pub(super) repository: String,
    pub(super) labels: Vec<String>,
    /// How long after the first delivery GitHub announces it again.
    pub(super) told_again_after: Option<Duration>,
    /// It is cancelled if it still waits after this time.
    pub(super) cancelled_after: Option<Duration>,
}

impl PlannedJob {
    fn ordinary(arrival: Arrival) -> Self {
        Self {
            at: arrival.at,
            owner: crate::github::ORGANIZATION,
            repository: format!("repo-{}", arrival.repository),
            labels: vec![COMMON_LABEL.to_owned()],
            told_again_after: None,
            cancelled_after: None,
        }
    }
}

/// A time in which ECS has capacity for only so many tasks.
#[derive(Clone, Debug)]
pub(super) struct Shortage {
    pub(super) at: Duration,
    pub(super) lasts: Duration,
    pub(super) tasks: u32,
}

/// Everything that the seed decides before the run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) jobs: Vec<PlannedJob>,
    pub(super) workers: usize,
    pub(super) shortages: Vec<Shortage>,
    /// The most tasks of On-Demand and of Spot; absent for no limit.
    pub(super) most_tasks: Option<u32>,
    /// The class's limit of runners; absent for none.
    pub(super) max_runners: Option<u32>,
    pub(super) repository_scope: bool,
    pub(super) spot_first: bool,
    /// Whether the workers' SDK retries, as in production.
    pub(super) sdk_retries: bool,
    /// By how much ECS's lists lag at most.
    pub(super) appear: Duration,
    pub(super) incidents: Incidents,
}

/// The second organisation, besides the default one.
pub(super) const OTHER_OWNER: &str = "other-org";

/// The labels of the runner class.
pub(super) const LABELS: usize = 14;

/// How many labels a job with labels of its own has. No such set contains another, so a runner never fits two jobs.
const OWN_LABELS: u32 = 6;

/// The common label of jobs without labels of their own. It is not among [`LABELS`]: their runners fit no other job.
pub(super) const COMMON_LABEL: &str = "common";

pub(super) fn label(number: usize) -> String {
    format!("l{number}")
}

impl Plan {
    pub(super) fn draw(seed: u64, knobs: &Knobs) -> Self {
        let mut chance = Chance::new(seed, "plan");
        let workers = usize::try_from(chance.between(1, 5)).expect("few");
        let number = u64::try_from(knobs.jobs).expect("not that many");
        let within = [10, 60 + number, 600 + 6 * number, 1800 + 10 * number];
        let within = Duration::from_secs(within[usize::try_from(chance.below(4)).expect("few")]);
        let within = knobs.within.unwrap_or(within);
        let is_drawn = knobs.arrivals.is_empty();
        let jobs = if is_drawn {
            Self::draw_jobs(&mut chance, knobs, within)
        } else {
            knobs.arrivals.iter().copied().map(PlannedJob::ordinary).collect()
        };
        let most_tasks = u32::try_from(number / 3 + 2).expect("not that many");
        let mut shortages = Vec::new();
        if knobs.weather {
            for _ in 0..chance.below(4) {
                shortages.push(Shortage {
                    at: Duration::from_millis(chance.below(u64::try_from(within.as_millis()).expect("short") + 1)),
                    lasts: chance.seconds(20, 900),
                    tasks: u32::try_from(chance.below(u64::from(most_tasks))).expect("not that many"),
                });
            }
        }
        Self {
            jobs,
            workers: knobs.workers.unwrap_or(workers),
            shortages,
            most_tasks: (knobs.weather && chance.happens(0.7)).then_some(most_tasks),
            max_runners: Self::draw_limit(seed, knobs),
            repository_scope: is_drawn && chance.happens(0.3),
            spot_first: is_drawn && chance.happens(0.5),
            sdk_retries: !is_drawn || chance.happens(0.5),
            appear: if knobs.weather { chance.seconds(0, 8) } else { Duration::ZERO },
            incidents: if knobs.incidents { Incidents::draw(seed, within) } else { Incidents::default() },
        }
    }

    fn draw_jobs(chance: &mut Chance, knobs: &Knobs, within: Duration) -> Vec<PlannedJob> {
        let mut sets = label_sets();
        chance.shuffle(&mut sets);
        assert!(knobs.jobs <= sets.len(), "no more than {} jobs have labels of their own", sets.len());
        let sets = sets.into_iter().take(knobs.jobs);
        let mut jobs: Vec<_> = sets.map(|labels| Self::draw_job(chance, knobs, within, labels)).collect();
        jobs.sort_by_key(|job| job.at);
        jobs
    }

    fn draw_limit(seed: u64, knobs: &Knobs) -> Option<u32> {
        let mut chance = Chance::new(seed, "limit");
        let limit = u32::try_from(knobs.jobs / 4 + 3).expect("not that many");
        (knobs.weather && chance.happens(0.4)).then_some(limit)
    }

    fn draw_job(chance: &mut Chance, knobs: &Knobs, within: Duration, labels: Vec<String>) -> PlannedJob {
        let alike = chance.happens(knobs.alike);
        let latest = u64::try_from(within.as_millis()).expect("short") + 1;
        let at = Duration::from_millis(chance.below(latest));
        let owner = if chance.happens(knobs.elsewhere) { OTHER_OWNER } else { crate::github::ORGANIZATION };
        let told_again_after = chance.happens(knobs.told_twice).then(|| {
            // Mostly at once, as GitHub does by accident; sometimes after the job has ended.
            let latest = if chance.happens(0.5) { 5 } else { 900 };
            chance.seconds(0, latest)
        });
        let cancelled_after = chance.happens(knobs.cancelled).then(|| chance.seconds(0, 180));
        PlannedJob {
            at,
            owner,
            repository: format!("repo-{}", chance.below(3)),
            labels: if alike { vec![COMMON_LABEL.to_owned()] } else { labels },
            told_again_after,
            cancelled_after,
        }
    }
}

fn label_sets() -> Vec<Vec<String>> {
    (0_u32..1 << LABELS)
        .filter(|bits| bits.count_ones() == OWN_LABELS)
        .map(|bits| (0..LABELS).filter(|number| bits & (1 << number) != 0).map(label).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn some_of_the_usual_storms_have_a_limit_and_some_have_none() {
        let limits: Vec<_> = (1..=8).map(|seed| Plan::draw(seed, &Knobs::storm(25)).max_runners).collect();
        assert!(limits.iter().any(Option::is_some) && limits.contains(&None), "{limits:?}");
    }

    #[test]
    fn the_usual_storms_have_an_incident_of_each_kind_between_them() {
        let plans: Vec<_> = (1..=8).map(|seed| Plan::draw(seed, &Knobs::storm(25)).incidents).collect();
        let kinds: BTreeSet<_> = plans.iter().flat_map(|plan| &plan.outages).map(|outage| outage.kind).collect();
        assert_eq!(kinds.len(), 4, "{kinds:?}");
        assert!(plans.iter().any(|plan| plan.sidecar) && plans.iter().any(|plan| plan.token_lag > Duration::ZERO));
    }
}
