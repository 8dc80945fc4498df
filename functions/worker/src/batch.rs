//! From a batch of messages to the list of those that must come again.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::SdkConfig;
use futures::future::join_all;
use jitgate::classes::{Asked, Demand, Fit, Misfit};
use jitgate::clock::Clock;
use jitgate::config::FleetConfig;
use jitgate::ecs::Tasks;
use jitgate::github::{GitHub, GitHubError};
use jitgate::job::{JobMessage, Purpose};
use jitgate::metrics::{Metrics, Unit};
use jitgate::names::LaunchToken;
use jitgate::queue::{JobQueue, LONGEST_DELAY};
use jitgate::secret::SecretReader;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::time::{Instant, timeout_at};

use crate::launch::{LATE, Launched};
use crate::limits::{Limits, Started, Wanted, admit};
use crate::outcome::{self, Because, MustReturn, Outcome};
use crate::release::Released;
use crate::room::Room;
use crate::verdict::{LONGEST_WAIT, LaunchError, SETTLING_DELAY, Verdict, decide, needs_a_person};

/// So long before the end of an invocation its answer is given, whatever is still under way.
const MARGIN: Duration = Duration::from_secs(2);

/// A batch as Lambda hands it over. Bodies stay text: one that nobody can read must not fail its neighbours.
#[derive(Debug, Deserialize)]
pub struct SqsEvent {
    #[serde(rename = "Records", default)]
    records: Vec<Record>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    message_id: String,
    #[serde(default)]
    body: String,
    #[serde(default)]
    attributes: RecordAttributes,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RecordAttributes {
    approximate_receive_count: Option<String>,
}

impl Record {
    /// Nobody has worked on this message before.
    fn is_new(&self) -> bool {
        self.attributes.approximate_receive_count.as_deref() == Some("1")
    }
}

/// Which messages must come again; the others are done with.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchResponse {
    /// One entry a message.
    pub batch_item_failures: Vec<BatchItemFailure>,
}

/// A message that must come again.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchItemFailure {
    /// The message's id.
    pub item_identifier: String,
}

/// The cleaner goes by the birth time in a registration's name, so a message that lay in the queue for this long gets a
/// new one before anything is registered. Sent anew, not just changed: every repeat must derive the same name from it.
const STALE_NAME: time::Duration = time::Duration::minutes(5);

/// The worker function, alive as long as its process.
pub struct Worker {
    pub(crate) config: FleetConfig,
    pub(crate) github: GitHub,
    pub(crate) tasks: Tasks,
    pub(crate) clock: Clock,
    pub(crate) room: Room,
    pub(crate) started: Started,
    queue: JobQueue,
}

impl Worker {
    /// Nothing is read or called before the first batch.
    pub fn new(sdk: &SdkConfig, config: FleetConfig, clock: Clock) -> Self {
        let secret = SecretReader::new(aws_sdk_secretsmanager::Client::new(sdk), config.github_secret_id.clone());
        Self {
            github: GitHub::new(config.github.clone(), secret, clock.clone()),
            tasks: Tasks::new(sdk, config.cluster.clone()),
            queue: JobQueue::new(sdk, config.job_queue_url.clone()),
            room: Room::default(),
            started: Started::default(),
            config,
            clock,
        }
    }

    /// Works on all messages of a batch at the same time.
    pub async fn handle(&self, event: SqsEvent) -> BatchResponse {
        self.handle_within(event, None).await
    }

    /// The same, for an invocation that Lambda ends after so long. What is not done shortly before returns to the queue;
    /// else the whole batch would, with all that is done.
    pub async fn handle_within(&self, event: SqsEvent, time_left: Option<Duration>) -> BatchResponse {
        let end = time_left.map(|left| Instant::now() + left.saturating_sub(MARGIN));
        let in_time = async |record: &Record, work| match end {
            Some(end) => timeout_at(end, work).await.unwrap_or_else(|_| {
                tracing::error!(message.id = record.message_id, "no time is left, the record returns");
                Err(MustReturn)
            }),
            None => work.await,
        };
        let over = self.over_limits(&event.records).await;
        let work = event.records.iter().map(|record| {
            let over = over.get(record.message_id.as_str());
            in_time(record, self.work(record, over))
        });
        let outcomes = join_all(work).await;
        let mut metrics = Metrics::new(&self.config.name_prefix, "worker");
        outcome::measure(&outcomes, &mut metrics);
        if let Some(remaining) = self.github.take_budget() {
            metrics.put("GitHubBudgetRemaining", Unit::Count, remaining);
        }
        metrics.write(self.clock.now());
        let returned = event.records.into_iter().zip(outcomes).filter(|(_, outcome)| outcome.is_err());
        let returned = returned.map(|(record, _)| BatchItemFailure { item_identifier: record.message_id });
        BatchResponse { batch_item_failures: returned.collect() }
    }

    /// Which messages' launches have to wait, since as many runners live as may, by the messages' ids. ECS is asked once
    /// for all of them; if it does not answer, nobody knows of any room.
    async fn over_limits<'a>(&self, records: &'a [Record]) -> HashMap<&'a str, LaunchError> {
        let limits = Limits { fleet: self.config.max_runners, classes: &self.config.classes };
        let now = self.clock.now();
        let launch_of = |record: &'a Record| {
            let message = JobMessage::parse(&record.body).ok()?;
            let fit = self.fit_of(&message).ok()?;
            let class = fit.class.name.clone();
            let is_due = message.purpose != Purpose::Release
                && message.not_before.is_none_or(|moment| moment <= now)
                && now - message.queued_at <= LONGEST_WAIT;
            let token = LaunchToken::derive(&self.config.name_prefix, message.job_id, message.attempt);
            let wanted = Wanted { token, class, since: message.queued_at };
            (is_due && limits.concern(&wanted.class)).then_some((record.message_id.as_str(), wanted))
        };
        let (ids, wanted): (Vec<_>, Vec<_>) = records.iter().filter_map(launch_of).unzip();
        if wanted.is_empty() {
            return HashMap::new();
        }
        let live = match self.tasks.live(&self.config.name_prefix).await {
            Ok(live) => live,
            Err(error) => return ids.into_iter().map(|id| (id, error.clone().into())).collect(),
        };
        let answers = admit(limits, self.started.running(&live, now), &wanted);
        let over = ids.into_iter().zip(&wanted).zip(answers).filter_map(|((id, wanted), reached)| {
            let reached = reached?;
            let (of, limit, age) = (reached.of, reached.limit, now - wanted.since);
            Some((id, LaunchError::OverLimit { of, limit, waited: age }))
        });
        over.collect()
    }

    async fn work(&self, record: &Record, over: Option<&LaunchError>) -> Result<Outcome, MustReturn> {
        let mut message = match JobMessage::parse(&record.body) {
            Ok(message) => message,
            Err(error) => {
                tracing::error!(message.id = record.message_id, error = %error, "message unreadable");
                return self.give_up(&record.body, &error.to_string()).await;
            }
        };
        if !record.is_new() && message.purpose != Purpose::Release {
            // Whoever had it before may have died anywhere, and left anything.
            message.unsettled = true;
        }
        let now = self.clock.now();
        if now - message.queued_at > LONGEST_WAIT {
            tracing::error!(
                job.id = message.job_id.0,
                repository = message.full_name(),
                deferrals = message.deferrals,
                "job dropped: it waited as long as GitHub lets it"
            );
            return Ok(Outcome::Expired);
        }
        if let Some(moment) = message.not_before.filter(|moment| *moment > now) {
            return self.defer(&message, moment - now, Because::Other).await;
        }
        if message.purpose == Purpose::Launch && !message.unsettled && now - message.born_at > STALE_NAME {
            message.born_at = now;
            return self.defer(&message, time::Duration::ZERO, Because::Other).await;
        }
        match message.purpose {
            // It has lain in the queue for so long that another has been asked for.
            Purpose::Warm if !message.unsettled && now - message.born_at > STALE_NAME => Ok(Outcome::Nothing),
            Purpose::Launch | Purpose::Warm => self.work_on_launch(&mut message, over, now).await,
            Purpose::Release => self.work_on_release(&mut message, now).await,
        }
    }

    async fn work_on_release(&self, message: &mut JobMessage, now: OffsetDateTime) -> Result<Outcome, MustReturn> {
        match self.release(message).await {
            Ok(Released::Done { stopped, left }) => {
                tracing::info!(
                    job.id = message.job_id.0,
                    repository = message.full_name(),
                    stopped,
                    left,
                    "job released"
                );
                Ok(if stopped > 0 { Outcome::Stopped(stopped) } else { Outcome::Nothing })
            }
            Ok(Released::LookAgain(pause)) => {
                message.deferrals += 1;
                message.not_before = Some(now + pause);
                self.defer(message, pause, Because::Other).await
            }
            Err(error) => self.settle(message, &error, now).await,
        }
    }

    /// The class may have been renamed while the message waited. A runner that is kept ready is of its class whatever the
    /// class asks of jobs.
    fn fit_of(&self, message: &JobMessage) -> Result<Fit<'_>, Misfit> {
        let classes = &self.config.classes;
        match classes.named(&message.class).filter(|_| message.purpose == Purpose::Warm) {
            Some(class) => Ok(Fit { class, demand: Demand::default() }),
            None => classes.fit_again(&message.class, &Asked::from(message)),
        }
    }

    async fn work_on_launch(
        &self,
        message: &mut JobMessage,
        over: Option<&LaunchError>,
        now: OffsetDateTime,
    ) -> Result<Outcome, MustReturn> {
        let fit = match self.fit_of(message) {
            Ok(fit) => fit,
            Err(misfit) if message.purpose == Purpose::Warm => {
                tracing::warn!(class = message.class, reason = %misfit, "warm runner not launched");
                return Ok(Outcome::Nothing);
            }
            Err(misfit) => {
                tracing::error!(job.id = message.job_id.0, class = message.class, reason = %misfit, "job given up");
                return self.give_up(&message.to_body(), &misfit.to_string()).await;
            }
        };
        if let Some(error) = over {
            return self.settle(message, error, now).await;
        }
        let outcome = match self.launch(message, &fit).await {
            Ok(Launched::Started { task, runner_id, runner_name }) => {
                let token = LaunchToken::derive(&self.config.name_prefix, message.job_id, message.attempt);
                self.started.note(&task, &token, &fit.class.name, self.clock.now());
                let waited = (self.clock.now() - message.queued_at).whole_seconds();
                tracing::info!(
                    job.id = message.job_id.0,
                    job.attempt = message.attempt.0,
                    run.id = message.run_id.0,
                    repository = message.full_name(),
                    class = fit.class.name,
                    delivery.id = message.delivery_id,
                    runner.id = runner_id.0,
                    runner.name = %runner_name,
                    task.arn = %task,
                    waited_seconds = waited,
                    "runner launched"
                );
                if message.purpose == Purpose::Warm { Outcome::Warmed } else { Outcome::Launched(waited) }
            }
            Ok(Launched::AlreadyRunning { task }) => {
                tracing::info!(job.id = message.job_id.0, task.arn = %task, "job has its runner already");
                Outcome::Nothing
            }
            Ok(Launched::Next { attempt, reason }) => {
                tracing::info!(
                    job.id = message.job_id.0,
                    job.attempt = attempt.0,
                    repository = message.full_name(),
                    reason,
                    "job goes on under its next attempt"
                );
                Outcome::Nothing
            }
            Ok(Launched::JobGone) => {
                tracing::info!(job.id = message.job_id.0, repository = message.full_name(), "job waits no longer");
                Outcome::Nothing
            }
            Ok(Launched::Refused(unwelcome)) => {
                tracing::warn!(
                    job.id = message.job_id.0,
                    run.id = message.run_id.0,
                    repository = message.full_name(),
                    class = fit.class.name,
                    reason = %unwelcome,
                    "job refused"
                );
                return Ok(Outcome::Refused);
            }
            Err(error) => return self.settle(message, &error, now).await,
        };
        if message.unsettled {
            // What an earlier try left could not be taken back now.
            message.backoff += 1;
            message.not_before = Some(now + SETTLING_DELAY);
            self.send(message, SETTLING_DELAY).await?;
        }
        Ok(outcome)
    }

    async fn settle(
        &self,
        message: &mut JobMessage,
        error: &LaunchError,
        now: OffsetDateTime,
    ) -> Result<Outcome, MustReturn> {
        let verdict = decide(error, message.backoff, now, self.clock.chance());
        if message.purpose == Purpose::Warm && (!message.unsettled || verdict == Verdict::GiveUp) {
            return self.leave_cold(message, error).await;
        }
        match verdict {
            Verdict::Defer { until, grows } => {
                tracing::warn!(
                    job.id = message.job_id.0,
                    repository = message.full_name(),
                    class = message.class,
                    deferrals = message.deferrals,
                    delay_seconds = (until - now).whole_seconds(),
                    error = %error,
                    "job deferred"
                );
                if needs_a_person(error) {
                    tracing::error!(repository = message.full_name(), error = %error, "nothing can be launched until this is mended");
                }
                message.deferrals += 1;
                message.backoff = match error {
                    _ if grows => message.backoff + 1,
                    LaunchError::GitHub(GitHubError::Paced { .. }) => message.backoff,
                    LaunchError::GitHub(GitHubError::RateLimited { .. }) if until - now < LATE => message.backoff,
                    // Its job may have ended during such a pause.
                    _ => 1,
                };
                message.doubts = if matches!(error, LaunchError::Unsure { .. }) { message.doubts + 1 } else { 0 };
                message.not_before = Some(until);
                if !message.unsettled {
                    message.born_at = until;
                }
                let because = match error {
                    _ if needs_a_person(error) => Because::Denied,
                    LaunchError::OverLimit { .. } => Because::OverLimit,
                    _ => Because::Other,
                };
                self.defer(message, until - now, because).await
            }
            Verdict::GiveUp => {
                tracing::error!(
                    job.id = message.job_id.0,
                    repository = message.full_name(),
                    class = message.class,
                    error = %error,
                    "job given up"
                );
                if message.unsettled {
                    // Nobody comes after this who could take back what earlier tries have left.
                    self.sweep(&self.place_of(message), message, None).await;
                }
                self.give_up(&message.to_body(), &error.to_string()).await
            }
        }
    }

    /// Nobody waits for a runner that is kept ready, so neither does its message: the cleaner's next pass asks for another.
    async fn leave_cold(&self, message: &JobMessage, error: &LaunchError) -> Result<Outcome, MustReturn> {
        tracing::warn!(class = message.class, owner = message.owner, error = %error, "warm runner not launched");
        if message.unsettled {
            self.sweep(&self.place_of(message), message, None).await;
        }
        Ok(Outcome::Nothing)
    }

    async fn defer(
        &self,
        message: &JobMessage,
        delay: time::Duration,
        because: Because,
    ) -> Result<Outcome, MustReturn> {
        self.send(message, delay).await?;
        if message.purpose == Purpose::Release && because == Because::Other {
            // No job waits for it.
            return Ok(Outcome::Nothing);
        }
        let waits = message.purpose == Purpose::Launch;
        let waited = waits.then(|| (self.clock.now() - message.queued_at).whole_seconds());
        Ok(Outcome::Deferred { waited, because })
    }

    async fn send(&self, message: &JobMessage, delay: time::Duration) -> Result<(), MustReturn> {
        let delay = Duration::try_from(delay).unwrap_or_default().min(LONGEST_DELAY);
        // Rounded up: a message that comes a moment early would only be sent once more.
        let delay = Duration::from_secs(delay.as_secs() + u64::from(delay.subsec_nanos() > 0));
        match self.queue.send(message, delay).await {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::error!(job.id = message.job_id.0, error = %error, "message not sent, its record returns");
                Err(MustReturn)
            }
        }
    }

    /// Puts another message on the queue beside the one at hand; if that fails, this one has to come again.
    pub(crate) async fn send_again(&self, message: &JobMessage, delay: time::Duration) -> Result<(), LaunchError> {
        Ok(self.queue.send(message, Duration::try_from(delay).unwrap_or_default()).await?)
    }

    /// Without a dead-letter queue of our own knowledge, the message returns until the job queue's redrive policy
    /// moves it.
    async fn give_up(&self, body: &str, reason: &str) -> Result<Outcome, MustReturn> {
        let Some(url) = &self.config.dead_letter_queue_url else { return Err(MustReturn) };
        match self.queue.send_dead_letter(url, body, reason).await {
            Ok(()) => Ok(Outcome::GivenUp),
            Err(error) => {
                tracing::error!(error = %error, "dead letter not sent, its record returns");
                Err(MustReturn)
            }
        }
    }
}
