//! Moves time from one event to the next, and lets everything happen that a seed wants to happen.

mod calls;
mod deliveries;
mod processes;
mod tasks;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use cleaner::{Cleaner, Event as CleanerEvent};
use futures::future::{AbortHandle, LocalBoxFuture};
use futures::stream::FuturesUnordered;
use jitgate::job::JobId;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use webhook::{HttpResponse, Webhook};
use worker::Worker;

use super::diary::Diary;
use super::faults::Mishap;
use super::gateway::Gateway;
use super::judge::Judge;
use super::plan::{COMMON_LABEL, Chance, Knobs, LABELS, OTHER_OWNER, Plan, label};
use super::report::Report;
use super::turnstile::{Arrivals, Process};
use crate::aws::ecs::{Limit, Provider, Rate, TaskChange};
use crate::aws::sqs::mapping::{Batch, EventSource};
use crate::github::{HookTarget, JobStatus, Limits};
use crate::runner::Runner;
use crate::wire::{Answer, Request, Service};
use crate::world::{self, JOB_QUEUE, START, World};

/// How often the cleaner's schedule comes, as the template has it.
const CLEANER_PAUSE: Duration = Duration::from_mins(5);

/// What nobody but the cleaner finds, it finds within this time, although most of its passes fail somewhere.
const CLEANER_MENDS: Duration = Duration::from_mins(75);

/// Nothing that jitgate does takes longer than a job can wait.
const LONGEST_RUN: Duration = Duration::from_hours(30);

/// When no job has come any further for this long, none will: no pause is longer than the hour of GitHub's limit.
const LONGEST_STANDSTILL: Duration = Duration::from_hours(3);

/// Messages for each job at which we stop: they have begun to multiply.
const MOST_MESSAGES: usize = 10;

/// What is still under way when all is done would show in this time, and the cleaner has taken away what is left: an
/// idle runner needs the most, ten minutes between two of its looks.
const QUIET_TIME: Duration = Duration::from_mins(40);

/// How long the cleaner's last messages may take: it asks until ECS has forgotten the tasks.
const LAST_WORDS: Duration = Duration::from_mins(75);

type Finished = (Process, Option<Ended>);

enum Ended {
    Batch(Result<Value, serde_json::Error>),
    Delivery(HttpResponse),
    Cleaned,
}

/// A delivery on its way.
#[derive(Clone, Debug)]
struct Parcel {
    /// GitHub's own id of it; none for those that this driver made up.
    id: Option<u64>,
    guid: String,
    body: Arc<[u8]>,
    job: JobId,
}

enum Event {
    /// A planned job is queued.
    Come(usize),
    Cancel(JobId),
    Deliver(Parcel),
    /// A call reaches its service.
    Work(u64),
    /// Its answer reaches the caller.
    Answer(u64),
    /// Lambda ends an invocation that takes too long.
    Expire(Process, u64),
    /// The cleaner hears of a task that has stopped; or of nothing, as its schedule has it.
    Clean(Option<CleanerEvent>),
    /// A runner looks up.
    Step(String),
    /// Spot takes a task back, unless it works already.
    Reclaim(String),
    Limit(Limit),
    /// Another client calls GitHub.
    Elsewhere,
}

/// A call between its caller and its service, or back.
struct Call {
    process: Process,
    /// Which of its invocation's calls it is.
    ordinal: u32,
    operation: String,
    request: Request,
    service: Arc<dyn Service>,
    reply: Option<oneshot::Sender<Answer>>,
    mishap: Option<(&'static str, Mishap)>,
    back: Duration,
    answer: Option<Answer>,
    jobs: BTreeSet<JobId>,
    /// Of a message that SQS delivers twice, if its job is known.
    is_twin: bool,
}

/// Where an invocation's process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    /// And if there is no such call: when all is done, but nobody knows yet.
    Before(u32),
    After(u32),
}

struct Invocation {
    number: u64,
    task: AbortHandle,
    calls: u32,
    death: Option<Death>,
    /// Nothing goes wrong: a message's last receive and a delivery's last tries go well, or it would rightly be lost.
    spared: bool,
    batch: Option<Batch>,
    parcel: Option<Parcel>,
    jobs: BTreeSet<JobId>,
    /// Jobs whose messages SQS delivers twice: once one of the two is done with, the other does not come again.
    twins: BTreeSet<JobId>,
}

struct Slot<F> {
    process: Process,
    function: Arc<F>,
    gateway: Gateway,
    invocation: Option<Invocation>,
}

/// A runner, and how long its job will take.
struct AtWork {
    runner: Runner,
    work: Duration,
}

/// One run.
pub(super) struct Driver {
    pub(super) knobs: Knobs,
    plan: Plan,
    pub(super) world: World,
    source: EventSource,
    pub(super) diary: Diary,
    pub(super) report: Report,
    pub(super) judge: Judge,
    pub(super) jobs: Vec<JobId>,
    /// So many of them, from the first on, are known to be over.
    over: usize,
    /// When each task was started.
    pub(super) launches: Vec<OffsetDateTime>,
    /// When each job's first task was started.
    pub(super) launched: HashMap<JobId, OffsetDateTime>,
    arrivals: Arrivals,
    workers: Vec<Slot<Worker>>,
    webhooks: Vec<Slot<Webhook>>,
    cleaners: Vec<Slot<Cleaner>>,
    running: FuturesUnordered<LocalBoxFuture<'static, Finished>>,
    /// Whether somebody was given something to go on with.
    stirred: bool,
    calls: BTreeMap<u64, Call>,
    agenda: BTreeMap<(OffsetDateTime, u64), Event>,
    serial: u64,
    changes: UnboundedReceiver<TaskChange>,
    runners: BTreeMap<String, AtWork>,
    idle: BTreeSet<String>,
    working: HashMap<String, JobId>,
    /// After how long GitHub will tell of a job once more.
    again: HashMap<JobId, Duration>,
    chance: Chance,
    mishaps: Chance,
    deaths: Chance,
    receives: HashMap<String, BTreeSet<u64>>,
    /// How many copies of its messages each job has had.
    copies: HashMap<JobId, u32>,
    /// The twins of processes that died, whose calls may still arrive.
    twins_of_dead: BTreeMap<Process, BTreeSet<JobId>>,
    /// How often each delivery was tried, by its GUID.
    tries: HashMap<String, usize>,
    /// When a job last came any further.
    progress: OffsetDateTime,
    /// All is done; only the cleaner still looks.
    is_quiet: bool,
}

impl Driver {
    pub(super) async fn new(seed: u64, knobs: &Knobs) -> Self {
        let plan = Plan::draw(seed, knobs);
        let scope = if plan.repository_scope { "repo" } else { "org" };
        let world = World::unchecked(&[("RUNNER_CLASSES", &classes(&plan, knobs.warm)), ("RUNNER_SCOPE", scope)]).await;
        world.github.add_organization(OTHER_OWNER);
        world.github.install_app(OTHER_OWNER);
        world.github.add_hook(HookTarget::App, "https://jitgate.example/");
        let weather = knobs.weather;
        world.github.behave(|behaviour| {
            behaviour.keep_payloads = false;
            if weather {
                behaviour.busy_lag = Duration::from_secs(40);
                behaviour.deletion_refused_after_job = Duration::from_secs(30);
                behaviour.deregistration_lag = Duration::from_secs(3);
            }
        });
        let repositories: HashSet<_> = knobs.arrivals.iter().map(|arrival| arrival.repository).collect();
        world.github.limit(|limits| {
            limits.primary = Limits::primary_for(repositories.len());
            if let Some(secondary) = &mut limits.secondary {
                secondary.counting = knobs.counting;
            }
        });
        if !knobs.as_benchmarked {
            world.aws.ecs.set_rate("RunTask", Rate::RUN_TASK);
        }
        let source = EventSource::new(Arc::clone(&world.aws.sqs), JOB_QUEUE).allow_loops();
        let source = if knobs.repeats > 0.0 { source.disorderly(seed, 0.0) } else { source };
        let changes = world.aws.ecs.changes();
        let mut driver = Self {
            source,
            changes,
            knobs: knobs.clone(),
            diary: Diary::default(),
            report: Report { seeds: 1, ..Report::default() },
            judge: Judge::default(),
            jobs: Vec::new(),
            over: 0,
            launches: Vec::new(),
            launched: HashMap::new(),
            arrivals: Arrivals::default(),
            workers: Vec::new(),
            webhooks: Vec::new(),
            cleaners: Vec::new(),
            running: FuturesUnordered::new(),
            stirred: false,
            calls: BTreeMap::new(),
            agenda: BTreeMap::new(),
            serial: 0,
            runners: BTreeMap::new(),
            idle: BTreeSet::new(),
            working: HashMap::new(),
            again: HashMap::new(),
            chance: Chance::new(seed, "ways"),
            mishaps: Chance::new(seed, "mishaps"),
            deaths: Chance::new(seed, "deaths"),
            receives: HashMap::new(),
            copies: HashMap::new(),
            twins_of_dead: BTreeMap::new(),
            tries: HashMap::new(),
            progress: START,
            is_quiet: false,
            world,
            plan,
        };
        driver.schedule();
        driver
    }

    fn schedule(&mut self) {
        for (index, job) in self.plan.jobs.clone().iter().enumerate() {
            self.at(START + job.at, Event::Come(index));
        }
        let first = self.chance.seconds(0, CLEANER_PAUSE.as_secs());
        if self.knobs.cleaner {
            self.after(first, Event::Clean(None));
        }
        if self.knobs.elsewhere_writes > 0 {
            self.at(START, Event::Elsewhere);
        }
        let ordinary = match self.knobs.vcpus {
            Some(vcpus) => Limit::vcpus(vcpus),
            None => self.plan.most_tasks.map_or(Limit::default(), Limit::tasks),
        };
        self.set_limit(&ordinary);
        for shortage in self.plan.shortages.clone() {
            let short = if shortage.tasks == 0 { Limit::exhausted() } else { Limit::tasks(shortage.tasks) };
            self.at(START + shortage.at, Event::Limit(short));
            self.at(START + shortage.at + shortage.lasts, Event::Limit(ordinary.clone()));
        }
    }

    fn now(&self) -> OffsetDateTime {
        self.world.clock.now()
    }

    fn at(&mut self, moment: OffsetDateTime, event: Event) {
        self.serial += 1;
        self.agenda.insert((moment.max(self.now()), self.serial), event);
    }

    fn after(&mut self, delay: Duration, event: Event) {
        self.at(self.now() + delay, event);
    }

    /// Goes on until all jobs are done, and then as long as anything could still show.
    pub(super) async fn run(&mut self) {
        let stop = START + LONGEST_RUN;
        while !self.is_done() && self.now() - self.progress < LONGEST_STANDSTILL {
            let Some(moment) = self.next_moment().await else { break };
            let messages = self.world.aws.sqs.depth(JOB_QUEUE).total();
            if moment > stop || messages > self.knobs.jobs * MOST_MESSAGES {
                self.judge.complain(None, format!("it never ends: {messages} messages for {} jobs", self.jobs.len()));
                return;
            }
            self.world.clock.advance_to(moment);
            self.happen().await;
        }
        self.is_quiet = true;
        let end = self.now() + QUIET_TIME;
        while let Some(moment) = self.next_moment().await {
            // A message that the cleaner has sent right before is worked on, too.
            let is_over = self.running.is_empty() && self.world.aws.sqs.depth(JOB_QUEUE).total() == 0;
            if moment > end && (is_over || moment > end + LAST_WORDS) {
                break;
            }
            self.world.clock.advance_to(moment);
            self.happen().await;
        }
        self.world.clock.advance_to(end);
        self.pump();
    }

    /// Every job is over, and nothing tells of one any more.
    fn is_done(&mut self) -> bool {
        if self.jobs.len() < self.plan.jobs.len() || !self.running.is_empty() {
            return false;
        }
        let is_over = |job| self.world.github.job(job).is_some_and(|job| job.status == JobStatus::Completed);
        while self.jobs.get(self.over).is_some_and(|job| is_over(*job)) {
            self.over += 1;
        }
        self.over == self.jobs.len()
            && self.world.aws.sqs.depth(JOB_QUEUE).total() == 0
            && !self.agenda.values().any(|event| matches!(event, Event::Deliver(_) | Event::Work(_)))
    }

    /// When something happens next; nothing, if it never does.
    async fn next_moment(&mut self) -> Option<OffsetDateTime> {
        self.settle().await;
        self.poll().await;
        let own = self.agenda.first_key_value().map(|((moment, _), _)| *moment);
        let task = self.world.aws.ecs.next_due_at();
        let is_free =
            self.workers.len() < self.plan.workers || self.workers.iter().any(|slot| slot.invocation.is_none());
        let message = self.world.aws.sqs.next_visible_at(JOB_QUEUE).filter(|_| is_free);
        [own, task, message].into_iter().flatten().min()
    }

    /// Everything that is due by now.
    async fn happen(&mut self) {
        self.pump();
        while let Some(entry) = self.agenda.first_entry() {
            if entry.key().0 > self.world.clock.now() {
                break;
            }
            match entry.remove() {
                Event::Come(index) => self.come(index),
                Event::Cancel(job) => self.cancel(job),
                Event::Deliver(parcel) => self.deliver(parcel).await,
                Event::Work(call) => self.work(call).await,
                Event::Answer(call) => self.answer(call),
                Event::Expire(process, number) => {
                    if self.invocation(process).is_some_and(|invocation| invocation.number == number) {
                        self.kill(process, "timed out").await;
                    }
                }
                Event::Step(task) => self.step(&task),
                Event::Reclaim(task) => {
                    if !self.working.contains_key(&task) {
                        self.world.aws.ecs.reclaim_spot(&task);
                    }
                }
                Event::Clean(Some(event)) => self.clean(event).await,
                Event::Clean(None) => {
                    self.clean(CleanerEvent::Schedule).await;
                    self.after(CLEANER_PAUSE, Event::Clean(None));
                }
                Event::Limit(limit) => self.set_limit(&limit),
                Event::Elsewhere => {
                    self.world.github.write_elsewhere("installation 77");
                    self.after(Duration::from_mins(1) / self.knobs.elsewhere_writes, Event::Elsewhere);
                }
            }
            self.pump();
            // Who was answered goes on before the next thing happens, or their order would not be the seed's.
            self.settle().await;
        }
    }

    fn set_limit(&mut self, limit: &Limit) {
        for provider in [Provider::OnDemand, Provider::Spot] {
            self.world.aws.ecs.set_limit(provider, limit.clone());
        }
        self.diary.note(self.now(), [], format!("capacity: {limit:?}"));
    }
}

/// One class for all labels, on Spot first or not at all, of which so many runners may live, or are kept ready.
fn classes(plan: &Plan, warm: Option<u32>) -> String {
    let mut classes = world::runner_classes();
    let labels: Vec<_> = (0..LABELS).map(label).chain([COMMON_LABEL.to_owned()]).collect();
    classes[0]["labels"] = json!(labels);
    if let Some(count) = warm {
        classes[0]["labels"] = json!([COMMON_LABEL]);
        classes[0]["warm"] = json!([{ "count": count, "for": crate::github::ORGANIZATION }]);
    }
    if let Some(limit) = plan.max_runners {
        classes[0]["max_runners"] = json!(limit);
    }
    if plan.spot_first {
        classes[0]["capacity"] = json!(["spot", "on-demand"]);
    }
    classes.to_string()
}
