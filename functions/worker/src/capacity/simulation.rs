//! A thousand jobs and five processes in simulated time: GitHub answers after 120 ms, ECS after 180 ms.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use super::*;

const START: OffsetDateTime = time::macros::datetime!(2026-11-01 12:00:07 UTC);
const JOBS: usize = 1000;
const PROCESSES: usize = 5;
const BATCH: usize = 10;
const GITHUB: i64 = 120;
const ECS: i64 = 180;
const POLL: i64 = 20;
/// As in `launch.rs` and `verdict.rs`.
const REPEATS: [i64; 2] = [150, 450];
const FIRST_DELAY: i64 = 10_000;
const LONGEST_DELAY: i64 = 300_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Poll,
    Registered(usize),
    /// The answer to the first `RunTask` of a launch, or to a repeat.
    Answered(usize, usize),
    TakenBack(usize),
}

/// What happened, in milliseconds since the start.
#[derive(Default)]
struct Report {
    launches: Vec<i64>,
    calls: Vec<(usize, i64)>,
    registrations: usize,
    deferrals: usize,
}

impl Report {
    fn seconds(&self) -> f64 {
        self.launches.iter().copied().max().map_or(f64::INFINITY, |last| Duration::milliseconds(last).as_seconds_f64())
    }
}

struct Simulation<'a> {
    has_capacity: &'a mut dyn FnMut(i64, f64) -> bool,
    shortages: &'a [Shortages],
    clock: Clock,
    now: i64,
    events: BinaryHeap<Reverse<(i64, usize, usize, Event)>>,
    serial: usize,
    /// Messages, by the moment at which they become visible.
    queue: BTreeMap<(i64, usize), usize>,
    backoffs: Vec<u32>,
    turns: Vec<HashMap<usize, Turn<'a>>>,
    waiting: Vec<Vec<usize>>,
    report: Report,
}

impl Simulation<'_> {
    fn moment(&self) -> OffsetDateTime {
        START + Duration::milliseconds(self.now)
    }

    fn after(&mut self, delay: i64, process: usize, event: Event) {
        self.serial += 1;
        self.events.push(Reverse((self.now + delay, self.serial, process, event)));
    }

    fn defer(&mut self, job: usize, until: i64) {
        self.report.deferrals += 1;
        self.serial += 1;
        // SQS delays by whole seconds.
        self.queue.insert((self.now + (until - self.now + 999) / 1000 * 1000, self.serial), job);
    }

    /// Asks for all jobs that wait for a turn, and ends the invocation when it has none left.
    fn ask(&mut self, process: usize) {
        let shortages = &self.shortages[process];
        for job in std::mem::take(&mut self.waiting[process]) {
            let kinds = vec!["a".to_owned()];
            match shortages.ask(&kinds, self.moment(), || self.clock.chance()) {
                Answer::Go => {
                    self.turns[process].insert(job, Turn { shortages, kinds });
                    self.after(GITHUB, process, Event::Registered(job));
                }
                Answer::Wait => self.waiting[process].push(job),
                Answer::Later(until, _) => {
                    let until = (until - START).whole_milliseconds();
                    self.defer(job, i64::try_from(until).expect("minutes"));
                }
            }
        }
        if self.turns[process].is_empty() && self.waiting[process].is_empty() {
            self.after(POLL, process, Event::Poll);
        }
    }

    fn handle(&mut self, process: usize, event: Event) {
        let shortages = &self.shortages[process];
        match event {
            Event::Poll => {
                let visible: Vec<_> = self.queue.range(..=(self.now, usize::MAX)).take(BATCH).collect();
                let keys: Vec<_> = visible.into_iter().map(|(key, _)| *key).collect();
                self.waiting[process] = keys.iter().filter_map(|key| self.queue.remove(key)).collect();
            }
            Event::Registered(job) => {
                self.report.registrations += 1;
                let goes = shortages.is_worth_trying("a", self.moment());
                let (delay, next) = if goes { (ECS, Event::Answered(job, 0)) } else { (GITHUB, Event::TakenBack(job)) };
                return self.after(delay, process, next);
            }
            Event::Answered(job, repeats) => {
                self.report.calls.push((process, self.now));
                if (self.has_capacity)(self.now, self.clock.chance()) {
                    shortages.found("a");
                    self.report.launches.push(self.now);
                    self.turns[process].remove(&job);
                } else {
                    shortages.missing("a", "none", self.moment());
                    match REPEATS.get(repeats).filter(|_| !shortages.is_at_standstill("a")) {
                        Some(pause) => self.after(pause + ECS, process, Event::Answered(job, repeats + 1)),
                        None => self.after(GITHUB, process, Event::TakenBack(job)),
                    }
                }
            }
            Event::TakenBack(job) => {
                self.turns[process].remove(&job);
                let delay = (FIRST_DELAY << self.backoffs[job].min(16)).min(LONGEST_DELAY);
                self.backoffs[job] += 1;
                #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "minutes")]
                let delay = (delay as f64 * (0.75 + 0.5 * self.clock.chance())) as i64;
                self.defer(job, self.now + delay);
            }
        }
        self.ask(process);
    }
}

/// Simulates until all jobs are launched, or until that second.
fn simulate(seed: usize, seconds: i64, has_capacity: &mut dyn FnMut(i64, f64) -> bool) -> Report {
    let shortages: Vec<_> = (0..PROCESSES).map(|_| Shortages::default()).collect();
    let mut simulation = Simulation {
        has_capacity,
        shortages: &shortages,
        clock: Clock::manual(START),
        now: 0,
        events: BinaryHeap::new(),
        serial: JOBS,
        queue: (0..JOBS).map(|job| ((0, job), job)).collect(),
        backoffs: vec![0; JOBS],
        turns: (0..PROCESSES).map(|_| HashMap::new()).collect(),
        waiting: vec![Vec::new(); PROCESSES],
        report: Report::default(),
    };
    (0..seed * 10_000).for_each(|_| _ = simulation.clock.chance());
    for process in 0..PROCESSES {
        simulation.after(0, process, Event::Poll);
    }
    while let Some(Reverse((at, _, process, event))) = simulation.events.pop() {
        if at > seconds * 1000 || simulation.report.launches.len() == JOBS {
            break;
        }
        simulation.now = at;
        simulation.handle(process, event);
    }
    simulation.report
}

#[test]
fn the_more_answers_have_capacity_the_sooner_all_jobs_are_launched() {
    for (share, most_seconds, most_deferrals) in
        [(0.0, 7.0, 0), (0.03, 20.0, 5), (0.1, 30.0, 20), (0.3, 60.0, 100), (0.5, 600.0, 1500)]
    {
        for seed in 0..5 {
            let report = simulate(seed, 600, &mut |_, chance| chance >= share);
            let figures = format!(
                "{} launched, {:.1} s, {} deferrals",
                report.launches.len(),
                report.seconds(),
                report.deferrals
            );
            eprintln!("{share}: {figures}");
            assert_eq!(report.launches.len(), JOBS, "{share}: {figures}");
            assert!(report.seconds() <= most_seconds && report.deferrals <= most_deferrals, "{share}: {figures}");
        }
    }
}

#[test]
fn without_capacity_each_process_tries_once_a_minute_and_when_it_returns_all_go_within_seconds() {
    const RETURNS: i64 = 600_000;
    let report = simulate(0, 1200, &mut |now, _| now >= RETURNS);
    let quiet: Vec<_> = report.calls.iter().filter(|(_, at)| (120_000..RETURNS).contains(at)).collect();
    assert!(quiet.len() <= PROCESSES * 9, "{} calls in 8 minutes", quiet.len());
    let first = report.launches[0];
    let within = |seconds: i64| report.launches.iter().filter(|at| **at <= first + seconds * 1000).count();
    eprintln!("{} calls; {} launched within 10 s, {} within 15 s of the first", quiet.len(), within(10), within(15));
    assert!(first <= RETURNS + 61_000, "{first}");
    assert!(within(15) >= JOBS * 9 / 10, "{} of {JOBS}", within(15));
    let a_job = report.deferrals / JOBS;
    assert!(a_job <= 15, "{a_job} deferrals a job in ten minutes");
}

/// A quota: one task ends every two seconds, and makes room for one.
#[test]
fn where_capacity_trickles_little_is_registered_in_vain() {
    let mut taken = 0;
    let report = simulate(0, 600, &mut |now, _| {
        let has_capacity = taken < 50 + now / 2000;
        taken += i64::from(has_capacity);
        has_capacity
    });
    let (launched, registered) = (report.launches.len(), report.registrations);
    eprintln!("{launched} launched with {registered} registrations, {} deferrals", report.deferrals);
    assert!(launched >= 50 + 250, "{launched} of 350");
    assert!(registered <= 3 * launched, "{registered}");
}
