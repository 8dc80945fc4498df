//! Worker processes that launch jobs from one queue.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::pin::Pin;

use reqwest::header::HeaderMap;
use time::{Duration, OffsetDateTime};

use crate::call::CredentialKey;
use crate::clock::{Clock, START, all};
use crate::github::{GitHub, Limited, Others, Rules, others_call};

/// A worker's batch.
const BATCH: usize = 10;

/// What GitHub and ECS take for a call.
const GITHUB: Duration = Duration::milliseconds(120);
const ECS: Duration = Duration::milliseconds(180);

/// Others call from so long before the first job.
const BEFORE: Duration = Duration::minutes(2);

/// Something that paces a process.
pub(crate) trait Pacing {
    type Permit;

    fn new(points: u32, processes: usize) -> Self;

    async fn admit(
        &self,
        key: CredentialKey,
        has_waited: bool,
        now: impl Fn() -> OffsetDateTime,
    ) -> Result<Self::Permit, OffsetDateTime>;

    fn answered(&self, key: CredentialKey, headers: &HeaderMap, now: OffsetDateTime);

    fn refused(&self, key: CredentialKey, until: OffsetDateTime, now: OffsetDateTime);
}

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) processes: usize,
    pub(crate) installations: usize,
    pub(crate) jobs: usize,
    /// Jobs come so many a second; all at once where absent.
    pub(crate) rate: Option<f64>,
    pub(crate) others: Others,
    pub(crate) rules: Rules,
    /// A process is replaced after about so many seconds.
    pub(crate) life: f64,
    pub(crate) seed: u64,
}

impl Scenario {
    pub(crate) fn burst(jobs: usize) -> Self {
        let rules = Rules::default();
        Self {
            processes: 1,
            installations: 1,
            jobs,
            rate: None,
            others: Others::NONE,
            rules,
            life: f64::INFINITY,
            seed: 0,
        }
    }

    pub(crate) fn steady(jobs: usize, rate: f64) -> Self {
        Self { rate: Some(rate), ..Self::burst(jobs) }
    }
}

pub(crate) struct Outcome {
    /// The last launch, in seconds after the first job came.
    pub(crate) last: f64,
    /// The share of calls that GitHub refused.
    pub(crate) refused: f64,
    /// How often a job was sent back to wait.
    pub(crate) deferrals: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Job {
    visible_at: OffsetDateTime,
    installation: usize,
    has_waited: bool,
}

struct World<'a> {
    scenario: &'a Scenario,
    clock: &'a Clock,
    github: Vec<GitHub>,
    queue: RefCell<BinaryHeap<Reverse<Job>>>,
    launched: Cell<usize>,
    last: Cell<f64>,
    calls: Cell<u32>,
    refused: Cell<u32>,
    deferrals: Cell<u32>,
}

/// What one process remembers of a refusal, as the client's gate does.
#[derive(Clone, Copy)]
struct Gate {
    until: OffsetDateTime,
    strikes: i32,
}

fn count(cell: &Cell<u32>) {
    cell.set(cell.get() + 1);
}

pub(crate) fn run<P: Pacing>(scenario: &Scenario) -> Outcome {
    let clock = Clock::new(scenario.seed);
    let begin = START + BEFORE;
    let jobs = (0..scenario.jobs).map(|number| {
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        let at = scenario.rate.map_or(0.0, |rate| number as f64 / rate);
        let visible_at = begin + Duration::seconds_f64(at);
        Reverse(Job { visible_at, installation: number % scenario.installations, has_waited: false })
    });
    let world = World {
        scenario,
        clock: &clock,
        github: (0..scenario.installations).map(|_| GitHub::new(scenario.rules, &clock)).collect(),
        queue: RefCell::new(jobs.collect()),
        launched: Cell::new(0),
        last: Cell::new(0.0),
        calls: Cell::new(0),
        refused: Cell::new(0),
        deferrals: Cell::new(0),
    };
    let mut tasks: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = vec![Box::pin(async {
        while world.launched.get() < scenario.jobs {
            world.clock.sleep(Duration::SECOND).await;
            if world.clock.seconds() > 3600.0 {
                world.last.set(f64::INFINITY);
                break;
            }
        }
    })];
    for _ in 0..scenario.processes {
        tasks.push(Box::pin(world.process::<P>()));
    }
    tasks.push(Box::pin(others_call(scenario.others, &world.github[0], &clock)));
    clock.run(tasks);
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let jobs = scenario.jobs as f64;
    Outcome {
        last: world.last.get(),
        refused: f64::from(world.refused.get()) / f64::from(world.calls.get()),
        deferrals: f64::from(world.deferrals.get()) / jobs,
    }
}

impl World<'_> {
    /// Invoked with a batch as soon as it has answered the last one.
    async fn process<P: Pacing>(&self) {
        // 900 points: what GitHub documents, whatever it does.
        let new = || {
            let gates = vec![Cell::new(Gate { until: START, strikes: 0 }); self.scenario.installations];
            let end = self.clock.seconds() + self.scenario.life * (0.5 + self.clock.chance());
            (P::new(900, self.scenario.processes), gates, end)
        };
        let (mut pacer, mut gates, mut end) = new();
        self.clock.sleep(BEFORE + Duration::milliseconds(400) * self.clock.chance()).await;
        loop {
            // Receiving takes a moment, so that others get the next batch.
            self.clock.sleep(Duration::milliseconds(20) * (1.0 + 3.0 * self.clock.chance())).await;
            let batch = self.batch();
            if self.clock.seconds() > end {
                (pacer, gates, end) = new();
            }
            let (pacer, gates) = (&pacer, &gates);
            let launches = batch
                .into_iter()
                .map(|job| async move { (job.installation, self.launch(pacer, &gates[job.installation], job).await) });
            for (installation, again) in all(launches).await {
                let Err(again) = again else { continue };
                count(&self.deferrals);
                // SQS delays for whole seconds.
                let delay = (again - self.clock.now()).as_seconds_f64().ceil().max(0.0);
                let visible_at = self.clock.now() + Duration::seconds_f64(delay);
                self.queue.borrow_mut().push(Reverse(Job { visible_at, installation, has_waited: true }));
            }
        }
    }

    fn batch(&self) -> Vec<Job> {
        let mut queue = self.queue.borrow_mut();
        let mut batch = Vec::new();
        while batch.len() < BATCH
            && let Some(Reverse(job)) = queue.peek().filter(|Reverse(job)| job.visible_at <= self.clock.now())
        {
            batch.push(*job);
            queue.pop();
        }
        batch
    }

    /// Or says when to come back.
    async fn launch<P: Pacing>(&self, pacer: &P, gate: &Cell<Gate>, job: Job) -> Result<(), OffsetDateTime> {
        let now = || self.clock.now();
        let key = CredentialKey::Installation(job.installation);
        // As the worker's verdict spreads them.
        let check = || {
            let spread = Duration::seconds(4) * (0.75 + 0.5 * self.clock.chance());
            if gate.get().until > now() { Err(gate.get().until + spread) } else { Ok(()) }
        };
        check()?;
        let permit = pacer.admit(key, job.has_waited, now).await;
        check()?;
        let permit = permit?;
        let (there, back) = (0.45 + 0.15 * self.clock.chance(), 0.45 + 0.15 * self.clock.chance());
        count(&self.calls);
        self.clock.sleep(GITHUB * there).await;
        let github = &self.github[job.installation];
        let outcome = github.call(5.0, now());
        let headers = github.headers(self.clock);
        self.clock.sleep(GITHUB * back).await;
        pacer.answered(key, &headers, now());
        let Gate { until, strikes } = gate.get();
        match outcome {
            Err(Limited(named)) => {
                count(&self.refused);
                let strikes = strikes + i32::from(named.is_none() && until <= now());
                let named = named
                    .unwrap_or_else(|| now() + Duration::MINUTE * 2_i32.pow(strikes.unsigned_abs().saturating_sub(1)));
                gate.set(Gate { until: until.max(named), strikes });
                pacer.refused(key, gate.get().until, now());
                check()?;
            }
            Ok(()) => gate.set(Gate { until, strikes: 0 }),
        }
        drop(permit);
        self.clock.sleep(ECS).await;
        self.launched.set(self.launched.get() + 1);
        self.last.set(self.clock.seconds() - BEFORE.as_seconds_f64());
        Ok(())
    }
}
