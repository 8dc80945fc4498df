//! One pass: look everywhere, plan, act. A failure in one place never stops the rest; it fails the invocation after
//! everything possible has been done.

use std::time::Duration;

use aws_config::SdkConfig;
use futures::StreamExt;
use futures::stream;
use jitgate::clock::Clock;
use jitgate::config::FleetConfig;
use jitgate::ecs::{EcsError, TaskArn, Tasks};
use jitgate::github::{Account, Deletion, GitHub, GitHubError, JobState, Place};
use jitgate::job::RunnerId;
use jitgate::metrics::{Metrics, Unit};
use jitgate::queue::{JobQueue, LONGEST_DELAY};
use jitgate::secret::SecretReader;
use serde::Deserialize;
use serde_json::Value;

use crate::plan::{
    Action, LOOK_BACK, Question, Repair, Seen, SeenPlace, Settings, backoff, plan_cleanup, plan_redeliveries,
    plan_repair, question_of, questions,
};
use crate::tally::{Done, Tally};

/// Calls at the same time. GitHub allows 100 for each installation, ECS 20 a second.
const AT_ONCE: usize = 8;

/// Pages of the delivery log that one pass reads at most, a hundred attempts each.
const LOG_PAGES: usize = 20;

/// Jobs that one pass asks GitHub about at most, two points each.
const MOST_QUESTIONS: usize = 100;

/// What invokes the cleaner.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Value")]
pub enum Event {
    /// The schedule, or anybody: a pass over everything.
    Schedule,
    /// A task has stopped: a pass over its job.
    Stopped(TaskArn),
    /// A task has only come further.
    Progress,
}

impl From<Value> for Event {
    fn from(event: Value) -> Self {
        if event["detail-type"] != "ECS Task State Change" {
            return Self::Schedule;
        }
        match (event["detail"]["lastStatus"].as_str(), event["detail"]["taskArn"].as_str()) {
            (Some("STOPPED"), Some(arn)) => Self::Stopped(TaskArn(arn.to_owned())),
            _ => Self::Progress,
        }
    }
}

/// The cleaner function, alive as long as its process.
pub struct Cleaner {
    config: FleetConfig,
    github: GitHub,
    tasks: Tasks,
    queue: JobQueue,
    clock: Clock,
}

/// What could not be done. Each failure was logged where it happened.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// The accounts could not be listed.
    #[error("accounts cannot be listed: {0}")]
    Accounts(#[from] GitHubError),
    /// Without the tasks nobody knows what is alive, so nothing was touched.
    #[error(transparent)]
    Tasks(#[from] EcsError),
    /// Everything else was done.
    #[error("{0} steps of the clean-up failed, see the log")]
    Incomplete(usize),
}

impl Cleaner {
    /// Nothing is read or called before the first pass.
    pub fn new(sdk: &SdkConfig, config: FleetConfig, clock: Clock) -> Self {
        let secret = SecretReader::new(aws_sdk_secretsmanager::Client::new(sdk), config.github_secret_id.clone());
        Self {
            github: GitHub::new(config.github.clone(), secret, clock.clone()),
            tasks: Tasks::new(sdk, config.cluster.clone()),
            queue: JobQueue::new(sdk, config.job_queue_url.clone()),
            config,
            clock,
        }
    }

    /// A pass over everything, or, for a task that has stopped, over its job alone.
    pub async fn handle(&self, event: &Event) -> Result<(), CleanError> {
        match event {
            Event::Schedule => Box::pin(self.clean()).await,
            Event::Stopped(arn) => Box::pin(self.heal(arn)).await,
            Event::Progress => Ok(()),
        }
    }

    /// One pass over all accounts.
    pub async fn clean(&self) -> Result<(), CleanError> {
        let mut tally = Tally::default();
        let accounts = self.github.accounts().await?;
        let listed = stream::iter(&accounts).map(|account| self.list(account)).buffer_unordered(AT_ONCE);
        let mut places = Vec::new();
        for (listed, failed) in listed.collect::<Vec<_>>().await {
            places.extend(listed);
            tally.failed += failed;
        }
        let live = self.tasks.live(&self.config.name_prefix).await?;
        let stopped = match self.tasks.stopped(&self.config.name_prefix).await {
            Ok(stopped) => stopped,
            Err(error) => {
                tally.failed += 1;
                tracing::error!(error = %error, "stopped tasks not listed");
                Vec::new()
            }
        };
        let seen = Seen { places: &places, live: &live, stopped: &stopped };
        let now = self.clock.now();
        let actions = plan_cleanup(now, self.settings(), seen);
        let acted = stream::iter(actions).map(|action| self.act(&places, action)).buffer_unordered(AT_ONCE);
        tally.add(acted.collect::<Vec<_>>().await);
        let mut questions = questions(now, self.settings(), seen);
        if questions.len() > MOST_QUESTIONS {
            tracing::warn!(
                questions = questions.len(),
                asked = MOST_QUESTIONS,
                "more jobs in question than one pass asks about"
            );
            questions.truncate(MOST_QUESTIONS);
        }
        let repaired =
            stream::iter(questions).map(|question| self.repair(question, Duration::ZERO)).buffer_unordered(AT_ONCE);
        tally.add(repaired.collect::<Vec<_>>().await);
        tally.add(self.redeliver().await);
        self.close(&tally, live.len())
    }

    /// A task has stopped: if its job still waits, it is launched again; and the registration of a runner that never
    /// came is deleted. The schedule would do the same within minutes.
    async fn heal(&self, arn: &TaskArn) -> Result<(), CleanError> {
        let mut tally = Tally::default();
        let task = self.tasks.describe(std::slice::from_ref(arn)).await?.into_iter().next();
        let now = self.clock.now();
        if let Some(task) = task.filter(|task| task.is_over)
            && let Some(question) = question_of(now, self.settings(), &task, "its task has stopped")
        {
            let place =
                Place { account: Account::from(&question.message), scope: self.github.scope_of(&question.message) };
            if let Some(id) = task.runner_id {
                tally.add([self.delete_unused(&place, id).await]);
            }
            let delay = Duration::try_from(backoff(question.message.attempt)).unwrap_or_default();
            tally.add([self.repair(question, delay).await]);
        }
        self.close(&tally, 0)
    }

    fn settings(&self) -> Settings<'_> {
        Settings { prefix: &self.config.name_prefix, classes: &self.config.classes }
    }

    fn close(&self, tally: &Tally, tasks: usize) -> Result<(), CleanError> {
        tracing::info!(tally = ?tally, tasks, "clean-up done");
        let mut metrics = Metrics::new("cleaner");
        tally.measure(&mut metrics);
        if let Some(remaining) = self.github.take_budget() {
            metrics.put("GitHubBudgetRemaining", Unit::Count, remaining);
        }
        metrics.write(self.clock.now());
        if tally.failed > 0 { Err(CleanError::Incomplete(tally.failed)) } else { Ok(()) }
    }

    /// The registrations of an account's places, as far as they can be had, and how many places failed.
    async fn list(&self, account: &Account) -> (Vec<SeenPlace>, usize) {
        let places = match self.github.places_of(account).await {
            Ok(places) => places,
            Err(error) => {
                tracing::error!(owner = account.login, error = %error, "account not looked at");
                return (Vec::new(), 1);
            }
        };
        let (mut listed, mut failed) = (Vec::new(), 0);
        for place in places {
            match self.github.runners(&place.account, &place.scope).await {
                Ok(runners) => listed.push(SeenPlace { place, runners }),
                // A token's user may be a mere member of some organisation, in which we can have no runners.
                Err(GitHubError::Denied { reason, .. }) if account.installation.is_none() => {
                    tracing::info!(scope = %place.scope, reason, "not ours to clean");
                }
                Err(error) => {
                    failed += 1;
                    tracing::error!(scope = %place.scope, error = %error, "registrations not listed");
                }
            }
        }
        (listed, failed)
    }

    async fn act(&self, places: &[SeenPlace], action: Action) -> Done {
        if self.config.dry_run {
            tracing::info!(action = ?action, "would be done");
            return Done::Nothing;
        }
        match action {
            Action::DeleteRegistration { place, id, name } => {
                let place = &places[place].place;
                match self.github.delete_runner(&place.account, &place.scope, id).await {
                    Ok(Deletion::Deleted) => {
                        tracing::info!(runner.id = id.0, runner.name = name, scope = %place.scope, "orphaned registration deleted");
                        Done::RegistrationDeleted
                    }
                    Ok(Deletion::Gone) => Done::Nothing,
                    Ok(Deletion::Busy) => Done::LeftBusy,
                    Err(error) => {
                        tracing::error!(runner.id = id.0, runner.name = name, error = %error, "registration not deleted");
                        Done::Failed
                    }
                }
            }
            Action::Note { task, key, moment } => match self.tasks.note(&task, key, moment).await {
                Ok(()) => {
                    tracing::debug!(task.arn = %task, key, moment = ?moment, "noted");
                    Done::Nothing
                }
                Err(error) => {
                    tracing::error!(task.arn = %task, key, error = %error, "not noted");
                    Done::Failed
                }
            },
            Action::Retire { place, id, task, reason } => {
                let place = &places[place].place;
                match self.github.delete_runner(&place.account, &place.scope, id).await {
                    Ok(Deletion::Deleted | Deletion::Gone) => self.stop(&task, reason).await,
                    Ok(Deletion::Busy) => Done::LeftBusy,
                    Err(error) => {
                        tracing::error!(runner.id = id.0, task.arn = %task, error = %error, "runner not retired");
                        Done::Failed
                    }
                }
            }
            Action::Stop { task, reason } => self.stop(&task, reason).await,
        }
    }

    async fn stop(&self, task: &TaskArn, reason: &str) -> Done {
        match self.tasks.stop(task, reason).await {
            Ok(()) => {
                tracing::info!(task.arn = %task, reason, "task stopped");
                Done::TaskStopped
            }
            Err(error) => {
                tracing::error!(task.arn = %task, reason, error = %error, "task not stopped");
                Done::Failed
            }
        }
    }

    /// The registration of a task that has stopped, unless its runner was ever there: that one GitHub deletes itself,
    /// or the schedule does.
    async fn delete_unused(&self, place: &Place, id: RunnerId) -> Done {
        let outcome = match self.github.runner(&place.account, &place.scope, id).await {
            Ok(Some(runner)) if runner.never_connected() && !self.config.dry_run => {
                self.github.delete_runner(&place.account, &place.scope, id).await
            }
            Ok(_) => return Done::Nothing,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(Deletion::Deleted) => {
                tracing::info!(runner.id = id.0, scope = %place.scope, "orphaned registration deleted");
                Done::RegistrationDeleted
            }
            Ok(Deletion::Gone) => Done::Nothing,
            Ok(Deletion::Busy) => Done::LeftBusy,
            Err(error) => {
                tracing::error!(runner.id = id.0, error = %error, "registration not deleted");
                Done::Failed
            }
        }
    }

    /// Asks how far a job is, and launches it again if it still waits.
    async fn repair(&self, question: Question, delay: Duration) -> Done {
        let message = &question.message;
        let account = Account::from(message);
        let answer = async {
            let (owner, repository) = (&message.owner, &message.repository);
            let state = self.github.job(&account, owner, repository, message.job_id).await?.map(|job| job.state);
            let is_queued = state == Some(JobState::Queued);
            let has_ended = is_queued && self.github.run_has_ended(&account, owner, repository, message.run_id).await?;
            Ok::<_, GitHubError>(plan_repair(&question, state, has_ended))
        };
        let repair = match answer.await {
            Ok(repair) => repair,
            Err(error) => {
                tracing::error!(job.id = message.job_id.0, repository = message.full_name(), error = %error, "job not asked about");
                return Done::Failed;
            }
        };
        match repair {
            Repair::None => Done::Nothing,
            Repair::LeaveStuck => {
                tracing::info!(
                    job.id = message.job_id.0,
                    run.id = message.run_id.0,
                    "job is queued in a run that has ended"
                );
                Done::LeftStuck
            }
            Repair::GiveUp => {
                tracing::error!(
                    job.id = message.job_id.0,
                    job.attempt = message.attempt.0 - 1,
                    repository = message.full_name(),
                    stopped_reason = question.stopped_reason,
                    "job given up: none of its tasks came to run it"
                );
                Done::GivenUp
            }
            Repair::Relaunch if self.config.dry_run => {
                tracing::info!(job.id = message.job_id.0, reason = question.reason, "would be launched again");
                Done::Nothing
            }
            Repair::Relaunch => match self.queue.send(message, delay.min(LONGEST_DELAY)).await {
                Ok(()) => {
                    tracing::warn!(
                        job.id = message.job_id.0,
                        job.attempt = message.attempt.0,
                        repository = message.full_name(),
                        reason = question.reason,
                        stopped_reason = question.stopped_reason,
                        delay_seconds = delay.as_secs(),
                        "job launched again"
                    );
                    Done::Relaunched
                }
                Err(error) => {
                    tracing::error!(job.id = message.job_id.0, error = %error, "job not launched again");
                    Done::Failed
                }
            },
        }
    }

    /// Has GitHub deliver again what never arrived. The whole log is read only if something failed.
    async fn redeliver(&self) -> Vec<Done> {
        let now = self.clock.now();
        let log = async {
            let failed = self.github.deliveries(now - LOOK_BACK, true, LOG_PAGES).await?;
            match failed.iter().map(|delivery| delivery.delivered_at).min() {
                Some(first) => self.github.deliveries(first, false, LOG_PAGES).await,
                None => Ok(Vec::new()),
            }
        };
        let log = match log.await {
            Ok(log) => log,
            Err(error) => {
                tracing::error!(error = %error, "delivery log not read");
                return vec![Done::Failed];
            }
        };
        let mut done = Vec::new();
        for id in plan_redeliveries(now, &log) {
            if self.config.dry_run {
                tracing::info!(delivery.attempt = id, "would be delivered again");
                continue;
            }
            done.push(match self.github.redeliver(id).await {
                Ok(()) => {
                    tracing::warn!(delivery.attempt = id, "delivered again");
                    Done::Redelivered
                }
                Err(error) => {
                    tracing::error!(delivery.attempt = id, error = %error, "not delivered again");
                    Done::Failed
                }
            });
        }
        done
    }
}
