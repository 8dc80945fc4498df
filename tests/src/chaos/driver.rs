//! Moves time from one event to the next, and makes everything happen that the seed decides.

mod calls;
mod deliveries;
mod incidents;
mod parts;
mod processes;
mod setup;
mod tasks;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use cleaner::{Cleaner, Event as CleanerEvent};
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use jitgate::job::JobId;
use time::OffsetDateTime;
use tokio::sync::mpsc::UnboundedReceiver;
use webhook::Webhook;
use worker::Worker;

use self::parts::{AtWork, Call, Event, Finished, Slot};
use super::diary::Diary;
use super::incidents::INTERRUPTED;
use super::judge::Judge;
use super::plan::{Chance, Knobs, Plan};
use super::report::Report;
use super::turnstile::{Arrivals, Process};
use crate::aws::ecs::{Limit, Provider, TaskChange};
use crate::aws::sqs::mapping::EventSource;
use crate::github::JobStatus;
use crate::world::{JOB_QUEUE, START, World};

/// The interval of the cleaner's schedule. Source: `template.yaml`.
const CLEANER_PAUSE: Duration = Duration::from_mins(5);

/// The cleaner heals what only it can find within this time, although most of its passes meet a fault.
const CLEANER_MENDS: Duration = Duration::from_mins(75);

/// The longest run: longer than the day for which GitHub queues a job.
const LONGEST_RUN: Duration = Duration::from_hours(30);

/// A run without progress for this long is stuck: the longest pause is the hour of GitHub's hourly limit.
const LONGEST_STANDSTILL: Duration = Duration::from_hours(3);

/// More messages per job than this mean that they multiply: the run stops.
const MOST_MESSAGES: usize = 10;

/// How long to wait at the end for late effects, and for the cleaner to remove what is left. Idle runners take longest:
/// the cleaner observes them twice, ten minutes apart.
const QUIET_TIME: Duration = Duration::from_mins(40);

/// How long the cleaner's last messages may take: it asks about tasks until ECS forgets them.
const LAST_WORDS: Duration = Duration::from_mins(75);

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
    /// How many of them, counted from the first, are known to have ended.
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
    /// Whether a process got an answer or an event and can continue.
    stirred: bool,
    calls: BTreeMap<u64, Call>,
    agenda: BTreeMap<(OffsetDateTime, u64), Event>,
    serial: u64,
    changes: UnboundedReceiver<TaskChange>,
    runners: BTreeMap<String, AtWork>,
    /// Tasks whose runners cannot reach GitHub, with their variables.
    cut_off: BTreeMap<String, BTreeMap<String, String>>,
    idle: BTreeSet<String>,
    working: HashMap<String, JobId>,
    /// After which time GitHub announces a job again.
    again: HashMap<JobId, Duration>,
    chance: Chance,
    mishaps: Chance,
    deaths: Chance,
    receives: HashMap<String, BTreeSet<u64>>,
    /// How many copies of messages each job had.
    copies: HashMap<JobId, u32>,
    /// The twins of processes that died, whose calls may still arrive.
    twins_of_dead: BTreeMap<Process, BTreeSet<JobId>>,
    /// How often each delivery was tried, by its GUID.
    tries: HashMap<String, usize>,
    /// When a job last made progress.
    progress: OffsetDateTime,
    /// Whether all jobs are done and only the cleaner still runs.
    is_quiet: bool,
}

impl Driver {
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

    /// Runs until all jobs are done, and then until late effects would have shown.
    pub(super) async fn run(&mut self) {
        let stop = START + LONGEST_RUN;
        while !self.is_done() && self.now() - self.progress < LONGEST_STANDSTILL {
            let Some(moment) = self.next_moment().await else { break };
            let messages = self.world.aws.sqs.depth(JOB_QUEUE).total();
            if moment > stop || messages > self.knobs.jobs * MOST_MESSAGES {
                self.judge.complain(None, format!("it never ends: {messages} messages for {} jobs", self.jobs.len()));
                return;
            }
            self.turn_to(moment).await;
        }
        self.is_quiet = true;
        let end = self.now() + QUIET_TIME;
        while let Some(moment) = self.next_moment().await {
            // Messages that the cleaner sent at the end are handled too.
            let is_over = self.running.is_empty() && self.world.aws.sqs.depth(JOB_QUEUE).total() == 0;
            if moment > end && (is_over || moment > end + LAST_WORDS) {
                break;
            }
            self.turn_to(moment).await;
        }
        self.world.clock.advance_to(end);
        self.pump();
    }

    /// Turns the clock to that moment, and lets happen what is due.
    async fn turn_to(&mut self, moment: OffsetDateTime) {
        self.stirred |= self.world.clock.next_wake().is_some_and(|at| at <= moment);
        self.world.clock.advance_to(moment);
        self.settle().await;
        self.happen().await;
    }

    /// Whether every job has ended, and no message or delivery is left.
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

    /// When the next event happens, if any.
    async fn next_moment(&mut self) -> Option<OffsetDateTime> {
        self.settle().await;
        self.poll().await;
        let own = self.agenda.first_key_value().map(|((moment, _), _)| *moment);
        let task = self.world.aws.ecs.next_due_at();
        let is_free =
            self.workers.len() < self.plan.workers || self.workers.iter().any(|slot| slot.invocation.is_none());
        let message = self.world.aws.sqs.next_visible_at(JOB_QUEUE).filter(|_| is_free);
        [own, task, message, self.world.clock.next_wake()].into_iter().flatten().min()
    }

    /// Does everything that is due by now.
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
                        self.report.struck(INTERRUPTED);
                        self.world.aws.ecs.reclaim_spot(&task);
                    }
                }
                Event::Clean(Some(event)) => self.clean(event).await,
                Event::Clean(None) => {
                    self.clean(CleanerEvent::Schedule).await;
                    self.after(CLEANER_PAUSE, Event::Clean(None));
                }
                Event::Limit(limit) => self.set_limit(&limit),
                Event::Outage(outage) => self.begin(&outage),
                Event::Recovery(kind) => self.recover(kind),
                Event::Elsewhere => {
                    self.world.github.write_elsewhere("installation 77");
                    self.after(Duration::from_mins(1) / self.knobs.elsewhere_writes, Event::Elsewhere);
                }
            }
            self.pump();
            // Processes that got an answer continue before the next event. Otherwise their order would not be the
            // seed's.
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
