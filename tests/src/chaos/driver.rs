//! Moves time from one event to the next, and lets everything happen that a seed wants to happen.

mod calls;
mod deliveries;
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
use super::judge::Judge;
use super::plan::{Chance, Knobs, Plan};
use super::report::Report;
use super::turnstile::{Arrivals, Process};
use crate::aws::ecs::{Limit, Provider, TaskChange};
use crate::aws::sqs::mapping::EventSource;
use crate::github::JobStatus;
use crate::world::{JOB_QUEUE, START, World};

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
