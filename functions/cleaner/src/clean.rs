//! One pass: look everywhere, plan, act. A failure in one place never stops the rest; it fails the invocation after
//! everything possible has been done.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::SdkConfig;
use futures::{StreamExt, stream};
use jitgate::clock::Clock;
use jitgate::config::FleetConfig;
use jitgate::ecs::{EcsError, TaskArn, TaskView, Tasks};
use jitgate::github::GitHub;
use jitgate::metrics::{Metrics, Unit};
use jitgate::queue::JobQueue;
use jitgate::secret::SecretReader;
use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;

use crate::plan::{
    Cause, SECOND_LOOK_AFTER, Seen, Settings, backoff, beginning, ended_by_itself, needs_second_look, plan_cleanup,
    plan_warm, question_of, questions, without_queued,
};
use crate::tally::{Done, Tally};

/// Calls at the same time. GitHub allows 100 for each installation, ECS 20 a second.
pub(crate) const AT_ONCE: usize = 8;

/// Jobs that one pass asks GitHub about at most, two points each.
const MOST_QUESTIONS: usize = 100;

/// How long before its time is up a pass begins nothing any more: longer than the longest step takes if each of its calls
/// goes unanswered (two questions and a deletion at GitHub, 6 seconds each, and a stop at ECS, 14).
const MARGIN: time::Duration = time::Duration::seconds(35);

/// How far apart passes are, as the template has it.
const PASS_SECONDS: i64 = 300;

/// What invokes the cleaner.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Value")]
pub enum Event {
    /// The schedule, or anybody: a pass over everything.
    Schedule,
    /// A task has stopped: a pass over its job.
    Stopped(TaskArn),
    /// A task has only come further, or has ended as it does after a job: that is one for each job, and is left to the
    /// schedule.
    Progress,
}

impl From<Value> for Event {
    fn from(event: Value) -> Self {
        if event["detail-type"] != "ECS Task State Change" {
            return Self::Schedule;
        }
        let task = &event["detail"];
        let mut containers = task["containers"].as_array().into_iter().flatten();
        let is_ordinary =
            task["stopCode"] == "EssentialContainerExited" && containers.all(|container| container["exitCode"] == 0);
        match (task["lastStatus"].as_str(), task["taskArn"].as_str()) {
            (Some("STOPPED"), Some(arn)) if !is_ordinary => Self::Stopped(TaskArn(arn.to_owned())),
            _ => Self::Progress,
        }
    }
}

/// The cleaner function, alive as long as its process.
pub struct Cleaner {
    pub(crate) config: FleetConfig,
    pub(crate) github: GitHub,
    pub(crate) tasks: Tasks,
    pub(crate) queue: JobQueue,
    pub(crate) clock: Clock,
}

/// What could not be done. Each failure was logged where it happened.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// Without the tasks nobody knows what is alive, so nothing was touched.
    #[error(transparent)]
    Tasks(#[from] EcsError),
    /// Everything else was done.
    #[error("{0} steps of the clean-up failed, see the log")]
    Incomplete(usize),
}

/// One invocation's time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    until: Option<OffsetDateTime>,
}

impl Pass {
    /// Whether what is left must be left to the next pass.
    pub(crate) fn is_over(self, now: OffsetDateTime) -> bool {
        self.until.is_some_and(|until| now + MARGIN >= until)
    }
}

impl Cleaner {
    /// Nothing is read or called before the first pass.
    pub fn new(sdk: &SdkConfig, config: FleetConfig, clock: Clock) -> Self {
        let secret = SecretReader::new(aws_sdk_secretsmanager::Client::new(sdk), config.github_secret_id.clone());
        Self {
            github: GitHub::new(&config.github, secret, clock.clone()),
            tasks: Tasks::new(sdk, config.cluster.clone()),
            queue: JobQueue::new(sdk, config.job_queue_url.clone()),
            config,
            clock,
        }
    }

    /// A pass over everything, or, for a task that has stopped, over its job alone.
    pub async fn handle(&self, event: &Event) -> Result<(), CleanError> {
        self.handle_until(event, None).await
    }

    /// The same, with the time at which the invocation ends.
    pub async fn handle_until(&self, event: &Event, until: Option<OffsetDateTime>) -> Result<(), CleanError> {
        let pass = Pass { until };
        match event {
            Event::Schedule => Box::pin(self.pass(pass)).await,
            Event::Stopped(arn) => Box::pin(self.heal(arn, pass)).await,
            Event::Progress => Ok(()),
        }
    }

    /// One pass over all accounts, without an end of its time.
    pub async fn clean(&self) -> Result<(), CleanError> {
        self.handle(&Event::Schedule).await
    }

    async fn pass(&self, pass: Pass) -> Result<(), CleanError> {
        let mut tally = Tally::of_pass();
        let listed = self.look_at_tasks_and_places(pass, &mut tally).await;
        // Whatever else cannot be seen: the logs of the hooks can.
        tally.add(self.redeliver(pass, listed.as_ref().map_or(&[], |(_, recent)| recent.as_slice())).await);
        let (looked, recent) = match listed {
            Ok(listed) => listed,
            Err(error) => {
                tracing::error!(error = %error, "tasks not listed, nothing is touched");
                self.close(&tally, 0);
                return Err(error.into());
            }
        };
        let (jobs, failed) = self.reconcile(pass, &looked.accounts, &recent).await;
        tally.failed += failed;
        tally.add(self.look_at_versions(pass, &looked.places).await);
        let seen = Seen {
            places: &looked.places,
            live: &looked.live,
            live_later: None,
            stopped: &looked.stopped,
            working: &jobs.working,
            waiting: &jobs.waiting,
        };
        let live_later = self.second_look(pass, seen, looked.at, &mut tally).await;
        let seen = Seen { live_later: live_later.as_deref(), ..seen };
        self.act_on(pass, seen, &mut tally).await;
        self.keep_warm(pass, seen, &mut tally).await;
        self.close(&tally, looked.live.len());
        if tally.failed > 0 { Err(CleanError::Incomplete(tally.failed)) } else { Ok(()) }
    }

    async fn second_look(
        &self,
        pass: Pass,
        seen: Seen<'_>,
        first: OffsetDateTime,
        tally: &mut Tally,
    ) -> Option<Vec<TaskView>> {
        if !needs_second_look(self.clock.now(), self.settings(), seen) {
            return None;
        }
        let at = first + SECOND_LOOK_AFTER;
        if pass.is_over(at) {
            return None;
        }
        self.clock.sleep(Duration::try_from(at - self.clock.now()).unwrap_or_default()).await;
        match self.tasks.live(&self.config.name_prefix).await {
            Ok(live) => Some(live),
            Err(error) => {
                tally.failed += 1;
                tracing::error!(error = %error, "tasks not listed again, runners that never connected stay");
                None
            }
        }
    }

    async fn act_on(&self, pass: Pass, seen: Seen<'_>, tally: &mut Tally) {
        let now = self.clock.now();
        let mut questions = questions(now, self.settings(), seen);
        if questions.iter().any(|question| question.cause.may_be_queued()) {
            // Where nobody knows how many are on the queue, all may be.
            let on_queue = self.queue.depth().await.unwrap_or_else(|error| {
                tally.failed += 1;
                tracing::error!(error = %error, "messages not counted, no job is looked for");
                usize::MAX
            });
            questions = without_queued(questions, self.settings(), seen, on_queue);
        }
        if questions.len() > MOST_QUESTIONS {
            tracing::warn!(
                questions = questions.len(),
                asked = MOST_QUESTIONS,
                "more jobs in question than one pass asks about"
            );
            self.rotate(&mut questions);
            questions.truncate(MOST_QUESTIONS);
        }
        let repaired = stream::iter(questions).map(|question| self.repair(pass, question, Duration::ZERO));
        tally.add(repaired.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await);
        let actions = plan_cleanup(now, self.settings(), seen);
        let acted = stream::iter(actions).map(|action| self.act(pass, seen, action));
        tally.add(acted.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await);
    }

    /// Asks the worker for the runners that are missing from those that classes keep ready.
    async fn keep_warm(&self, pass: Pass, seen: Seen<'_>, tally: &mut Tally) {
        for message in plan_warm(self.clock.now(), self.settings(), seen) {
            let (class, owner) = (&message.job.class, &message.job.owner);
            if self.config.dry_run {
                tracing::info!(class, owner, "a warm runner would be launched");
            } else if pass.is_over(self.clock.now()) {
                tally.left += 1;
            } else if let Err(error) = self.queue.send(&message, Duration::ZERO).await {
                tally.failed += 1;
                tracing::error!(class, owner, error = %error, "warm runner not asked for");
            } else {
                tracing::info!(
                    class,
                    owner,
                    slot = message.job.id.0,
                    attempt = message.progress.attempt.0,
                    "warm runner asked for"
                );
            }
        }
    }

    /// A task has stopped: if its job still waits, it is launched again; and the registration of a runner that never
    /// came is deleted. The schedule would do the same within minutes. An ordinary end is left to the schedule: it is
    /// one for each job, and would cost a call each.
    async fn heal(&self, arn: &TaskArn, pass: Pass) -> Result<(), CleanError> {
        let task = self.tasks.describe(std::slice::from_ref(arn)).await?.into_iter().next();
        let now = self.clock.now();
        let Some(task) = task.filter(|task| task.is_over && !ended_by_itself(task)) else { return Ok(()) };
        let Some(question) = question_of(now, self.settings(), &task, Cause::FailedStart) else { return Ok(()) };
        let mut tally = Tally::default();
        let place = self.github.place_of(&question.message.job);
        if let Some(id) = task.runner_id {
            tally.add([self.delete_unused(&place, id).await]);
        }
        let delay = Duration::try_from(backoff(question.message.progress.attempt)).unwrap_or_default();
        tally.add([self.repair(pass, question, delay).await]);
        self.close(&tally, 0);
        if tally.failed > 0 { Err(CleanError::Incomplete(tally.failed)) } else { Ok(()) }
    }

    pub(crate) fn settings(&self) -> Settings<'_> {
        Settings { prefix: &self.config.name_prefix, classes: &self.config.classes }
    }

    /// Begins elsewhere in each pass.
    pub(crate) fn rotate<T>(&self, list: &mut [T]) {
        let passes = self.clock.now().unix_timestamp() / PASS_SECONDS;
        list.rotate_left(beginning(usize::try_from(passes).unwrap_or(0), list.len()));
    }

    fn close(&self, tally: &Tally, tasks: usize) {
        tracing::info!(tally = ?tally, tasks, "clean-up done");
        let mut metrics = Metrics::new(&self.config.name_prefix, "cleaner");
        tally.measure(&mut metrics);
        if let Some(remaining) = self.github.take_budget() {
            metrics.put("GitHubBudgetRemaining", Unit::Count, remaining);
        }
        metrics.write(self.clock.now());
    }
}

/// Jobs, as far as they were listed.
#[derive(Debug, Default)]
pub(crate) struct ListedJobs {
    pub(crate) working: HashMap<String, crate::plan::Working>,
    pub(crate) waiting: Vec<crate::plan::Waiting>,
}

/// What steps of a pass are made of.
pub(crate) type Steps = Vec<Done>;
