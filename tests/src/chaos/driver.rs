//! Moves time from one event to the next, and lets everything happen that a seed wants to happen.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use cleaner::{Cleaner, Event as CleanerEvent};
use futures::StreamExt as _;
use futures::future::{AbortHandle, Abortable, LocalBoxFuture};
use futures::stream::FuturesUnordered;
use jitgate::job::{JobId, JobMessage, RunnerId};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use webhook::{HttpResponse, Webhook};
use worker::Worker;

use super::diary::Diary;
use super::faults::{self, Mishap};
use super::gateway::Gateway;
use super::judge::Judge;
use super::plan::{COMMON_LABEL, Chance, Knobs, LABELS, MOST_COPIES, OTHER_OWNER, Plan, label};
use super::report::Report;
use super::turnstile::{Arrivals, Held, Kind, Process, Turnstile};
use crate::aws::ecs::{Limit, Pace, Provider, StopCode, TaskChange};
use crate::aws::sqs::mapping::{Batch, EventSource};
use crate::github::{HookTarget, JobSpec, JobStatus, Outcome};
use crate::lambda::http_event::Front;
use crate::payloads::sign;
use crate::runner::{JIT_CONFIG_VARIABLE, Runner, Step};
use crate::wire::{Answer, Request, Service};
use crate::world::{self, JOB_QUEUE, MOST_RECEIVES, START, VISIBILITY, WEBHOOK_SECRET, World};

/// So many looks in a row that find nothing new mean that everybody waits for the driver. What goes over a socket takes
/// two to ten of them.
const QUIET_LOOKS: usize = 20;

/// How long the worker's invocations may take, as the template has it.
const WORKER_TIMEOUT: Duration = Duration::from_mins(1);

/// The same of the cleaner.
const CLEANER_TIMEOUT: Duration = Duration::from_mins(5);

/// How often the cleaner's schedule comes, as the template has it.
const CLEANER_PAUSE: Duration = Duration::from_mins(5);

/// How long a delivery is on its way, and its message after it.
const LONGEST_DELIVERY: Duration = Duration::from_secs(15);

/// What nobody but the cleaner finds, it finds within this time, although most of its passes fail somewhere.
const CLEANER_MENDS: Duration = Duration::from_mins(75);

/// How long callers wait for an answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(6);

/// Nothing that jitgate does takes longer than a job can wait.
const LONGEST_RUN: Duration = Duration::from_hours(30);

/// When no job has come any further for this long, none will: no pause is longer than the hour of GitHub's limit.
const LONGEST_STANDSTILL: Duration = Duration::from_hours(3);

/// Tries of one delivery, the first included, as the cleaner has it.
const MOST_TRIES: usize = 6;

/// Messages for each job at which we stop: they have begun to multiply.
const MOST_MESSAGES: usize = 10;

/// What is still under way when all is done would show in this time, and the cleaner has taken away what is left: an
/// idle runner needs the most, ten minutes between two of its looks.
const QUIET_TIME: Duration = Duration::from_mins(40);

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
    knobs: Knobs,
    plan: Plan,
    pub(super) world: World,
    source: EventSource,
    pub(super) diary: Diary,
    pub(super) report: Report,
    pub(super) judge: Judge,
    pub(super) jobs: Vec<JobId>,
    /// When each task was started.
    pub(super) launches: Vec<OffsetDateTime>,
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
        let world = World::unchecked(&[("RUNNER_CLASSES", &classes(plan.spot_first)), ("RUNNER_SCOPE", scope)]).await;
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
            launches: Vec::new(),
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
        let ordinary = self.plan.most_tasks.map_or(Limit::default(), Limit::tasks);
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
        while let Some(moment) = self.next_moment().await.filter(|moment| *moment <= end) {
            self.world.clock.advance_to(moment);
            self.happen().await;
        }
        self.world.clock.advance_to(end);
        self.pump();
    }

    /// Every job is over, and nothing tells of one any more.
    fn is_done(&self) -> bool {
        self.jobs.len() == self.plan.jobs.len()
            && self.running.is_empty()
            && self.world.aws.sqs.depth(JOB_QUEUE).total() == 0
            && !self.agenda.values().any(|event| matches!(event, Event::Deliver(_) | Event::Work(_)))
            && self
                .jobs
                .iter()
                .all(|job| self.world.github.job(*job).is_some_and(|job| job.status == JobStatus::Completed))
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

/// Jobs and deliveries.
impl Driver {
    fn come(&mut self, index: usize) {
        let planned = self.plan.jobs[index].clone();
        let spec = JobSpec::labels(planned.labels).in_repository(planned.owner, &planned.repository);
        let job = self.world.github.queue_job(spec);
        self.jobs.push(job);
        self.report.jobs += 1;
        self.progress = self.now();
        self.diary.note(self.now(), [job], "queued");
        self.promise(job, LONGEST_DELIVERY);
        if let Some(delay) = planned.cancelled_after {
            self.after(delay, Event::Cancel(job));
        }
        if let Some(delay) = planned.told_again_after {
            self.again.insert(job, delay);
        }
        self.offer();
    }

    fn cancel(&mut self, job: JobId) {
        if self.world.github.job(job).is_some_and(|job| job.status == JobStatus::Queued) {
            self.world.github.cancel_job(job);
            self.judge.cancelled(job);
            self.report.cancelled += 1;
            self.diary.note(self.now(), [job], "cancelled");
        }
    }

    /// What GitHub has to tell is on its way.
    fn collect_deliveries(&mut self) {
        for delivery in self.world.github.take_deliveries() {
            let Some(job) = delivery.job_id else { continue };
            let action = action_of(&delivery.body);
            if action == "in_progress" {
                // Nobody acts on it.
                self.world.github.delivered(delivery.id, Outcome { status: 200, body: String::new() });
                continue;
            }
            let parcel = Parcel { id: Some(delivery.id), guid: delivery.guid, body: delivery.body, job };
            if action == "queued" {
                if let Some(delay) = self.again.remove(&job) {
                    let again = Parcel { id: None, guid: format!("{}-again", parcel.guid), ..parcel.clone() };
                    self.report.told_twice += 1;
                    self.after(delay, Event::Deliver(again));
                }
            }
            let delay = Duration::from_millis(self.chance.between(100, 3000));
            self.after(delay, Event::Deliver(parcel));
        }
    }

    async fn deliver(&mut self, parcel: Parcel) {
        let slot = if let Some(slot) = self.webhooks.iter().position(|slot| slot.invocation.is_none()) {
            slot
        } else {
            let process = Process { kind: Kind::Webhook, slot: self.webhooks.len(), life: 0 };
            let gateway = self.gateway(process).await;
            let function = Arc::new(gateway.webhook(&self.world));
            self.webhooks.push(Slot { process, function, gateway, invocation: None });
            process.slot
        };
        let process = self.webhooks[slot].process;
        let signature = sign(WEBHOOK_SECRET, &parcel.body);
        let request = world::Delivery::new("workflow_job", parcel.body.to_vec())
            .signature(&signature)
            .header("X-GitHub-Delivery", &parcel.guid);
        let event = request.event().to_event(Front::FunctionUrl);
        let function = Arc::clone(&self.webhooks[slot].function);
        let work = async move { Ended::Delivery(world::answer(&function, event).await) };
        let mut invocation = self.invoke(process, Box::pin(work), 1);
        let tries = self.tries.entry(parcel.guid.clone()).or_default();
        *tries += 1;
        self.report.redelivered += u64::from(*tries > 1);
        // The cleaner has it delivered six times at most.
        invocation.spared = *tries + 2 >= MOST_TRIES;
        if invocation.spared {
            invocation.death = None;
        }
        invocation.jobs = [parcel.job].into();
        invocation.parcel = Some(parcel);
        self.webhooks[slot].invocation = Some(invocation);
    }

    async fn clean(&mut self, event: CleanerEvent) {
        let slot = if let Some(slot) = self.cleaners.iter().position(|slot| slot.invocation.is_none()) {
            slot
        } else {
            let process = Process { kind: Kind::Cleaner, slot: self.cleaners.len(), life: 0 };
            let gateway = self.gateway(process).await;
            let function = Arc::new(gateway.cleaner(&self.world));
            self.cleaners.push(Slot { process, function, gateway, invocation: None });
            process.slot
        };
        let process = self.cleaners[slot].process;
        let function = Arc::clone(&self.cleaners[slot].function);
        let until = self.now() + CLEANER_TIMEOUT;
        let work = async move {
            // It says whether all could be done, and has logged what could not.
            let _ = function.handle_until(&event, Some(until)).await;
            Ended::Cleaned
        };
        let invocation = self.invoke(process, Box::pin(work), 5);
        let number = invocation.number;
        self.cleaners[slot].invocation = Some(invocation);
        self.after(CLEANER_TIMEOUT, Event::Expire(process, number));
    }

    /// Something comes of what is under way for a job within this time.
    fn promise(&mut self, job: JobId, within: Duration) {
        self.judge.promise(job, self.now() + within);
    }

    fn delivered(&mut self, parcel: &Parcel, status: u16) {
        if !(200..300).contains(&status) {
            self.promise(parcel.job, CLEANER_MENDS);
        }
        self.diary.note(self.now(), [parcel.job], format!("delivery {} → {status}", parcel.guid));
        if let Some(id) = parcel.id {
            self.world.github.delivered(id, Outcome { status, body: String::new() });
        }
    }
}

/// Invocations, from start to end.
impl Driver {
    async fn gateway(&self, process: Process) -> Gateway {
        let arrivals = self.arrivals.clone();
        let guard = |service: Arc<dyn Service>| -> Arc<dyn Service> {
            Arc::new(Turnstile { process, service, arrivals: arrivals.clone() })
        };
        // The worker has to do without at times: what the SDK's repeats heal would otherwise hardly ever be seen.
        let retries = process.kind != Kind::Worker || self.plan.sdk_retries;
        Gateway::open(&self.world, guard).await.with_retries(retries)
    }

    fn invocation(&self, process: Process) -> Option<&Invocation> {
        let of = |own: Process, invocation| if own == process { invocation } else { None };
        match process.kind {
            Kind::Webhook => {
                self.webhooks.get(process.slot).and_then(|slot| of(slot.process, slot.invocation.as_ref()))
            }
            Kind::Worker => self.workers.get(process.slot).and_then(|slot| of(slot.process, slot.invocation.as_ref())),
            Kind::Cleaner => {
                self.cleaners.get(process.slot).and_then(|slot| of(slot.process, slot.invocation.as_ref()))
            }
        }
    }

    fn invocation_mut(&mut self, process: Process) -> Option<&mut Invocation> {
        self.invocation(process)?;
        match process.kind {
            Kind::Webhook => self.webhooks[process.slot].invocation.as_mut(),
            Kind::Worker => self.workers[process.slot].invocation.as_mut(),
            Kind::Cleaner => self.cleaners[process.slot].invocation.as_mut(),
        }
    }

    fn take_invocation(&mut self, process: Process) -> Option<Invocation> {
        self.invocation(process)?;
        match process.kind {
            Kind::Webhook => self.webhooks[process.slot].invocation.take(),
            Kind::Worker => self.workers[process.slot].invocation.take(),
            Kind::Cleaner => self.cleaners[process.slot].invocation.take(),
        }
    }

    fn invoke(&mut self, process: Process, work: LocalBoxFuture<'static, Ended>, messages: u64) -> Invocation {
        self.report.invocations += 1;
        self.serial += 1;
        let death = (self.deaths.happens(self.knobs.crashes) && !self.is_quiet).then(|| {
            let call = u32::try_from(self.deaths.between(1, 2 * messages + 3)).expect("few");
            if self.deaths.happens(0.5) { Death::Before(call) } else { Death::After(call) }
        });
        let (task, registration) = AbortHandle::new_pair();
        let work = Abortable::new(work, registration);
        self.running.push(Box::pin(async move { (process, work.await.ok()) }));
        self.stirred = true;
        Invocation {
            number: self.serial,
            task,
            calls: 0,
            death,
            spared: false,
            batch: None,
            parcel: None,
            jobs: BTreeSet::new(),
            twins: BTreeSet::new(),
        }
    }

    /// Free workers take what is visible.
    async fn poll(&mut self) {
        loop {
            let mut free: Vec<_> = (0..self.plan.workers)
                .filter(|slot| self.workers.get(*slot).is_none_or(|slot| slot.invocation.is_none()))
                .collect();
            if free.is_empty() {
                break;
            }
            let Some(batch) = self.source.take() else { break };
            self.chance.shuffle(&mut free);
            let slot = free[0].min(self.workers.len());
            if slot == self.workers.len() {
                let process = Process { kind: Kind::Worker, slot, life: 0 };
                let gateway = self.gateway(process).await;
                let function = Arc::new(gateway.worker(&self.world));
                self.workers.push(Slot { process, function, gateway, invocation: None });
            }
            self.start_batch(slot, batch);
            self.settle().await;
        }
    }

    fn start_batch(&mut self, slot: usize, batch: Batch) {
        let process = self.workers[slot].process;
        let event = batch.event().clone();
        let (mut jobs, mut twins, mut spared) = (BTreeSet::new(), BTreeSet::new(), false);
        for (number, record) in event["Records"].as_array().into_iter().flatten().enumerate() {
            let body = record["body"].as_str().unwrap_or_default();
            let receive: u64 =
                record["attributes"]["ApproximateReceiveCount"].as_str().and_then(|n| n.parse().ok()).unwrap_or(1);
            spared |= receive + 1 >= u64::from(MOST_RECEIVES);
            let id = record["messageId"].as_str().unwrap_or_default().to_owned();
            let receives = self.receives.entry(id).or_default();
            let is_repeat = !receives.insert(receive);
            if is_repeat {
                self.report.repeats += 1;
            } else if receive > 1 {
                self.report.returns += 1;
            }
            if let Ok(message) = JobMessage::parse(body) {
                jobs.insert(message.job_id);
                self.promise(message.job_id, WORKER_TIMEOUT + VISIBILITY);
                let will_repeat = self.mishaps.happens(self.knobs.repeats) && self.may_copy(message.job_id);
                if will_repeat {
                    self.source.repeat(&batch, number);
                }
                if is_repeat || will_repeat {
                    twins.insert(message.job_id);
                }
            }
        }
        self.diary.note(self.now(), jobs.iter().copied(), format!("{process} takes {} messages", batch.len()));
        let function = Arc::clone(&self.workers[slot].function);
        let work = async move { Ended::Batch(world::invoke(&function, event).await) };
        let mut invocation = self.invoke(process, Box::pin(work), batch.len() as u64);
        if spared {
            invocation.death = None;
        }
        let number = invocation.number;
        invocation.spared = spared;
        invocation.batch = Some(batch);
        (invocation.jobs, invocation.twins) = (jobs, twins);
        self.workers[slot].invocation = Some(invocation);
        self.after(WORKER_TIMEOUT, Event::Expire(process, number));
    }

    /// Whether one more copy of a job's message may come into the world; if so, it will.
    fn may_copy(&mut self, job: JobId) -> bool {
        let copies = self.copies.entry(job).or_default();
        let may = *copies < MOST_COPIES && !self.is_quiet;
        *copies += u32::from(may);
        may
    }

    /// Lets everybody go on until all wait for the driver.
    async fn settle(&mut self) {
        while self.stirred {
            self.stirred = false;
            let mut finished = Vec::new();
            let mut quiet = 0;
            let mut arrived = self.arrivals.count();
            while quiet < QUIET_LOOKS && !(self.running.is_empty() && arrived == 0) {
                let ready: Vec<Finished> = poll_fn(|context| {
                    let mut ready = Vec::new();
                    while let Poll::Ready(Some(one)) = self.running.poll_next_unpin(context) {
                        ready.push(one);
                    }
                    Poll::Ready(ready)
                })
                .await;
                let now_arrived = self.arrivals.count();
                quiet = if ready.is_empty() && now_arrived == arrived { quiet + 1 } else { 0 };
                arrived = now_arrived;
                finished.extend(ready);
                if self.running.is_empty() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            for held in self.arrivals.take() {
                self.receive(held).await;
            }
            finished.sort_by_key(|(process, _)| *process);
            for (process, ended) in finished {
                if let Some(ended) = ended {
                    self.finish(process, ended).await;
                }
            }
        }
    }

    async fn finish(&mut self, process: Process, ended: Ended) {
        let Some(invocation) = self.invocation(process) else { return };
        if invocation.death.is_some() {
            self.kill(process, "died when all was done").await;
            return;
        }
        let Some(invocation) = self.take_invocation(process) else { return };
        match ended {
            Ended::Batch(answer) => {
                if let Some(batch) = &invocation.batch {
                    let outcome = self.source.settle(batch, &answer);
                    let text = format!("{process} is done, {} messages return", outcome.returned.len());
                    self.diary.note(self.now(), invocation.jobs, text);
                }
                self.workers[process.slot].gateway.forget_calls();
            }
            Ended::Delivery(response) => {
                if let Some(parcel) = invocation.parcel {
                    self.delivered(&parcel, response.status_code);
                }
                self.webhooks[process.slot].gateway.forget_calls();
            }
            // What it could not do the next pass does; the template has none repeated.
            Ended::Cleaned => self.cleaners[process.slot].gateway.forget_calls(),
        }
    }

    /// The process is gone, with all it knew. What it had sent may still arrive.
    async fn kill(&mut self, process: Process, how: &str) {
        let Some(invocation) = self.take_invocation(process) else { return };
        invocation.task.abort();
        self.report.crashes += 1;
        self.stirred = true;
        self.diary.note(self.now(), invocation.jobs.iter().copied(), format!("{process} {how}"));
        let orphans: Vec<_> =
            self.calls.iter().filter(|(_, call)| call.process == process).map(|(number, _)| *number).collect();
        for number in orphans {
            let arrives = self.deaths.happens(0.5);
            let call = self.calls.get_mut(&number).expect("just listed");
            call.reply = None;
            if !arrives {
                self.calls.remove(&number);
            }
        }
        if let Some(parcel) = invocation.parcel {
            self.delivered(&parcel, 502);
        }
        let process = Process { life: process.life + 1, ..process };
        let gateway = self.gateway(process).await;
        match process.kind {
            Kind::Webhook => {
                let function = Arc::new(gateway.webhook(&self.world));
                self.webhooks[process.slot] = Slot { process, function, gateway, invocation: None };
            }
            Kind::Worker => {
                let function = Arc::new(gateway.worker(&self.world));
                self.workers[process.slot] = Slot { process, function, gateway, invocation: None };
            }
            Kind::Cleaner => {
                let function = Arc::new(gateway.cleaner(&self.world));
                self.cleaners[process.slot] = Slot { process, function, gateway, invocation: None };
            }
        }
    }
}

/// Calls, there and back.
impl Driver {
    async fn receive(&mut self, held: Held) {
        let Held { process, operation, request, service, reply } = held;
        *self.report.calls.entry(operation.clone()).or_default() += 1;
        let jobs = self.diary.jobs_in(&request);
        let (mut ordinal, mut spared, mut death) = (0, false, None);
        let is_alive = self.invocation(process).is_some();
        if let Some(invocation) = self.invocation_mut(process) {
            invocation.calls += 1;
            (ordinal, spared, death) = (invocation.calls, invocation.spared, invocation.death);
        }
        let (there, mut back) = self.latency(&operation);
        let mut there = there;
        let may_fail = !(spared && matches!(operation.as_str(), "SendMessage" | "GetSecretValue"));
        let mishap = (self.mishaps.happens(self.knobs.faults) && may_fail && !self.is_quiet).then(|| {
            let now = self.world.clock.now();
            faults::choose(&operation, &mut self.mishaps, now)
        });
        let makes_copy = operation == "SendMessage"
            && matches!(mishap, Some((_, Mishap::LoseAnswer | Mishap::Late)))
            && process.kind != Kind::Webhook;
        let mishap = mishap.filter(|_| !makes_copy || jobs.first().is_some_and(|job| self.may_copy(*job)));
        if let Some((name, mishap)) = &mishap {
            self.report.fault(name);
            if let Mishap::Slow(more_there, more_back) = mishap {
                there += *more_there;
                back += *more_back;
            }
        }
        let is_late = matches!(mishap, Some((_, Mishap::Late)));
        self.serial += 1;
        let number = self.serial;
        let reply = is_alive.then_some(reply);
        let call = Call { process, ordinal, operation, request, service, reply, mishap, back, answer: None, jobs };
        if death == Some(Death::Before(ordinal)) && is_alive {
            let text = format!("{process} dies before {}", call.operation);
            self.diary.note(self.now(), call.jobs, text);
            self.kill(process, "died").await;
            return;
        }
        if !is_alive && self.deaths.happens(0.5) {
            return;
        }
        self.calls.insert(number, call);
        if is_late {
            self.after(CALL_TIMEOUT, Event::Answer(number));
            there = CALL_TIMEOUT + Duration::from_millis(self.mishaps.between(1, 8000));
        }
        self.after(there, Event::Work(number));
    }

    fn latency(&mut self, operation: &str) -> (Duration, Duration) {
        let most = match operation {
            "SendMessage" => 15,
            "GetSecretValue" => 30,
            "RunTask" => 300,
            "DescribeTasks" | "ListTasks" | "StopTask" => 60,
            _ => 250,
        };
        let mut one_way = || Duration::from_millis(self.chance.between(most / 5, most));
        (one_way(), one_way())
    }

    async fn work(&mut self, number: u64) {
        let Some(call) = self.calls.get(&number) else { return };
        let (process, ordinal, operation) = (call.process, call.ordinal, call.operation.clone());
        let is_done = !matches!(call.mishap, Some((_, Mishap::Refuse(_) | Mishap::Drop)));
        let mut truth = None;
        if is_done {
            let start = if operation == "RunTask" { self.prepare_task() } else { Duration::ZERO };
            let call = &self.calls[&number];
            let (service, mut request) = (Arc::clone(&call.service), call.request.clone());
            if let Some(trace) = self.trace(process) {
                request.headers_mut().insert("x-amzn-trace-id", trace);
            }
            let answer = service.answer(&request).await;
            self.witness(number, &answer, start);
            truth = Some(answer);
        }
        let now = self.now();
        let Some(call) = self.calls.get_mut(&number) else { return };
        let truth_status = truth.as_ref().map(|answer| answer.status().as_u16());
        let (heard, mishap) = match call.mishap.take() {
            None => (truth, ""),
            Some((name, Mishap::Slow(..))) => (truth, name),
            Some((name, Mishap::Refuse(answer) | Mishap::Misreport(answer))) => (Some(answer), name),
            Some((name, Mishap::Drop | Mishap::LoseAnswer | Mishap::Late)) => (None, name),
        };
        let orphan = if call.reply.is_none() { " (its caller is gone)" } else { "" };
        let text = format!(
            "{process}: {operation} {} → {} {mishap}{orphan}",
            call.request.uri().path().rsplit("/actions/").next().unwrap_or_default(),
            truth_status.map_or("not done".to_owned(), |status| status.to_string()),
        );
        self.diary.note(now, call.jobs.iter().copied(), text);
        call.answer = heard;
        let back = call.back;
        if call.reply.is_none() {
            self.calls.remove(&number);
        } else {
            self.after(back, Event::Answer(number));
        }
        if self.invocation(process).is_some_and(|invocation| invocation.death == Some(Death::After(ordinal))) {
            self.kill(process, &format!("died after {operation}")).await;
        }
    }

    /// As Lambda gives it to the function, and its SDK on to SQS.
    fn trace(&self, process: Process) -> Option<http::HeaderValue> {
        let batch = self.invocation(process)?.batch.as_ref()?;
        batch.trace().parse().ok()
    }

    fn answer(&mut self, number: u64) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        // An answer that is not there is one that is not heard, since the call's sender is dropped.
        if let (Some(reply), answer) = (call.reply.take(), call.answer.take()) {
            self.stirred = true;
            let is_worked = answer.is_some() || call.mishap.is_none();
            if let Some(answer) = answer {
                let _ = reply.send(answer);
            }
            if is_worked {
                self.calls.remove(&number);
            }
        }
    }

    /// What a call has brought about.
    fn witness(&mut self, number: u64, answer: &Answer, start: Duration) {
        let call = &self.calls[&number];
        let now = self.now();
        let is_cleaner = call.process.kind == Kind::Cleaner;
        match call.operation.as_str() {
            "generate-jitconfig" if answer.status() == 201 => {
                let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
                if let (Some(runner), Some(job)) = (body["runner"]["id"].as_u64(), call.jobs.first().copied()) {
                    self.diary.made_runner(RunnerId(runner), job);
                    self.diary.note(now, [job], format!("registered {}", body["runner"]["name"]));
                    let is_late = matches!(call.mishap, Some((_, Mishap::Late)));
                    let is_twin =
                        self.invocation(call.process).is_some_and(|invocation| invocation.twins.contains(&job));
                    if is_late {
                        self.judge.excuse(RunnerId(runner), "GitHub made it after we had given up waiting");
                    } else if is_twin {
                        self.judge
                            .excuse(RunnerId(runner), "its maker died, and a repeat of its message was done with");
                    }
                }
            }
            "RunTask" => {
                let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
                let request: Value = serde_json::from_slice(call.request.body()).unwrap_or_default();
                let (Some(task), Some(token)) = (body["tasks"][0]["taskArn"].as_str(), request["clientToken"].as_str())
                else {
                    return;
                };
                let known = self.diary.job_of_task(task).is_some();
                if let Some(job) = call.jobs.first().copied().filter(|_| !known) {
                    self.diary.made_task(task, job);
                    self.diary.note(now, [job], format!("task {} of {token}", task.rsplit('/').next().unwrap_or("")));
                    self.report.tasks += 1;
                    self.launches.push(now);
                    self.report.relaunches += u64::from(!token.ends_with("-1"));
                    self.judge.started(&self.world, job, task, token);
                    self.judge.promise(job, now + start);
                    self.curse(task, start);
                }
            }
            "delete-runner" if answer.status() == 204 => {
                let id = call.request.uri().path().rsplit('/').next().and_then(|id| id.parse().ok()).map(RunnerId);
                let task = self.runners.iter().find(|(_, at_work)| Some(at_work.runner.id()) == id);
                if let Some((task, _)) = task {
                    // It finds out when it next asks for a job.
                    let event = Event::Step(task.clone());
                    self.after(Duration::from_secs(5), event);
                }
                if let Some(id) = id.filter(|_| is_cleaner) {
                    let job = self.diary.job_of_runner(id);
                    let what = self.judge.cleaned(&self.world, id, job);
                    *self.report.cleaned.entry(what).or_default() += 1;
                }
            }
            "SendMessage" if call.process.kind == Kind::Worker => {
                self.report.deferrals += u64::from(answer.status().is_success());
                let request: Value = serde_json::from_slice(call.request.body()).unwrap_or_default();
                let delay = request["DelaySeconds"].as_u64().unwrap_or(0);
                let body = request["MessageBody"].as_str().unwrap_or_default();
                if let Ok(message) = JobMessage::parse(body) {
                    self.judge.promise(message.job_id, now + Duration::from_secs(delay));
                    let text = format!(
                        "sent anew for {delay} s: attempt {}, {:?}, born {}, {} deferrals, backoff {}{}",
                        message.attempt,
                        message.purpose,
                        message.born_at.unix_timestamp(),
                        message.deferrals,
                        message.backoff,
                        if message.unsettled { ", unsettled" } else { "" }
                    );
                    self.diary.note(now, [message.job_id], text);
                }
            }
            _ => {}
        }
    }
}

/// Tasks and runners.
impl Driver {
    fn prepare_task(&mut self) -> Duration {
        let start = self.chance.seconds(5, 70);
        let stop = self.chance.seconds(0, 30);
        let appear = if self.plan.appear.is_zero() {
            Duration::ZERO
        } else {
            Duration::from_millis(self.chance.below(u64::try_from(self.plan.appear.as_millis()).expect("short") + 1))
        };
        self.world.aws.ecs.set_pace(Pace { start: Some(start), stop, appear });
        start
    }

    /// A task that was just started may be one of those that come to nothing.
    fn curse(&mut self, task: &str, start: Duration) {
        if self.is_quiet || !self.deaths.happens(self.knobs.deaths) {
            return;
        }
        self.report.deaths += 1;
        let most = u64::try_from(start.as_millis()).expect("short") + 2_000;
        let delay = Duration::from_millis(self.deaths.below(most));
        self.after(delay, Event::Reclaim(task.to_owned()));
    }

    /// Lets follow what has happened to tasks and jobs.
    fn pump(&mut self) {
        self.world.aws.ecs.settle();
        while let Ok(change) = self.changes.try_recv() {
            match change {
                TaskChange::Running(started) => self.start_runner(&started.task, &started.environment),
                TaskChange::Stopping { task, .. } => self.end_runner(&task, false),
                TaskChange::Stopped { task } => {
                    self.end_runner(&task, true);
                    // EventBridge loses one now and then.
                    if self.knobs.cleaner && !self.mishaps.happens(self.knobs.faults / 10.0) {
                        let delay = self.chance.seconds(1, 5);
                        let event = self.stop_event(&task);
                        self.after(delay, Event::Clean(Some(event)));
                    }
                }
            }
        }
        self.collect_deliveries();
    }

    /// As much of what EventBridge tells as the cleaner reads.
    fn stop_event(&self, task: &str) -> CleanerEvent {
        let stopped = self.world.aws.ecs.task(task).expect("a task that has just stopped");
        CleanerEvent::from(json!({
            "detail-type": "ECS Task State Change",
            "detail": {
                "taskArn": task,
                "lastStatus": "STOPPED",
                "stopCode": stopped.stop_code.map(StopCode::as_str),
                "containers": [{ "exitCode": stopped.exit_code }],
            },
        }))
    }

    fn start_runner(&mut self, task: &str, environment: &BTreeMap<String, String>) {
        let config = environment.get(JIT_CONFIG_VARIABLE).map(String::as_str).unwrap_or_default();
        let work = self.chance.seconds(*self.knobs.work.start(), *self.knobs.work.end());
        let job = self.diary.job_of_task(task);
        if let Ok(runner) = Runner::start(&self.world.github, config, work) {
            self.diary.note(self.now(), job, "its runner is online");
            self.runners.insert(task.to_owned(), AtWork { runner, work });
            self.step(task);
        } else {
            self.diary.note(self.now(), job, "its runner is refused");
            self.world.aws.ecs.exit(task, 1);
        }
    }

    fn end_runner(&mut self, task: &str, killed: bool) {
        self.idle.remove(task);
        let job = self.diary.job_of_task(task);
        if let Some(working) = self.working.remove(task) {
            self.judge.complain(Some(working), "its runner was stopped while it worked");
        }
        if let Some(job) = job {
            // Its job may still wait.
            self.promise(job, CLEANER_MENDS);
        }
        self.diary.note(self.now(), job, if killed { "its task is over" } else { "its task is told to stop" });
        if let Some(AtWork { runner, .. }) = self.runners.remove(task) {
            if killed {
                runner.kill();
            } else {
                runner.terminate();
            }
        }
    }

    fn step(&mut self, task: &str) {
        let Some(AtWork { runner, work }) = self.runners.get_mut(task) else { return };
        let (step, work) = (runner.step(), *work);
        let own = self.diary.job_of_task(task);
        match step {
            Step::Idle => {
                self.idle.insert(task.to_owned());
            }
            Step::Working(job) => {
                self.idle.remove(task);
                if self.working.insert(task.to_owned(), job).is_none() {
                    let text = if own == Some(job) { "runs on its own runner" } else { "runs on another's runner" };
                    self.diary.note(self.world.clock.now(), own.into_iter().chain([job]), format!("{job} {text}"));
                    self.after(work, Event::Step(task.to_owned()));
                    self.judge.taken(job, self.now());
                    if let Some(robbed) = own.filter(|own| *own != job) {
                        // Its own runner comes, or the launch that finds it running launches the other one again.
                        self.promise(robbed, CLEANER_MENDS);
                    }
                    self.progress = self.now();
                }
            }
            Step::Finished(_) | Step::Gone => {
                self.working.remove(task);
                self.idle.remove(task);
                self.runners.remove(task);
                self.world.aws.ecs.exit(task, 0);
            }
        }
    }

    /// Idle runners look for a job, in no particular order.
    fn offer(&mut self) {
        let mut idle: Vec<_> = self.idle.iter().cloned().collect();
        self.chance.shuffle(&mut idle);
        for task in idle {
            self.step(&task);
        }
    }
}

/// The `action` of a delivery.
fn action_of(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Action {
        action: String,
    }
    serde_json::from_slice::<Action>(body).expect("GitHub's own payload").action
}

/// One class for all labels, on Spot first or not at all.
fn classes(spot_first: bool) -> String {
    let mut classes = world::runner_classes();
    let labels: Vec<_> = (0..LABELS).map(label).chain([COMMON_LABEL.to_owned()]).collect();
    classes[0]["labels"] = json!(labels);
    if spot_first {
        classes[0]["capacity"] = json!(["spot", "on-demand"]);
    }
    classes.to_string()
}
