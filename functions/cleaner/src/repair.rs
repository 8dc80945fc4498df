//! Launching again the jobs that wait in vain.

use std::time::Duration;

use jitgate::github::{Account, GitHubError, Job, JobState};
use jitgate::names::RunnerOrigin;
use jitgate::queue::LONGEST_DELAY;

use crate::clean::{Cleaner, Pass};
use crate::plan::{Cause, Question, Repair, plan_repair};
use crate::tally::Done;

impl Cleaner {
    /// Asks how far a job is, and launches it again if it still waits.
    pub(crate) async fn repair(&self, pass: Pass, question: Question, delay: Duration) -> Done {
        if pass.is_over(self.clock.now()) {
            return Done::Left;
        }
        let message = &question.message;
        let account = Account::from(&message.job);
        let repository = self.github.in_repository(&account, &message.job.owner, &message.job.repository);
        let answer = async {
            let job = repository.job(message.job.id).await?;
            let robbed = job.as_ref().is_some_and(|job| self.has_robbed(&question, job));
            let state = job.map(|job| job.state);
            let is_queued = state == Some(JobState::Queued);
            let has_ended = is_queued && repository.run_has_ended(message.job.run_id).await?;
            Ok::<_, GitHubError>((plan_repair(&question, state, has_ended), robbed))
        };
        let (repair, robbed) = match answer.await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::error!(job.id = message.job.id.0, repository = message.job.full_name(), error = %error, "job not asked about");
                return Done::Failed;
            }
        };
        match repair {
            Repair::None if robbed && !self.config.dry_run => self.look_after_robbed(&question).await,
            Repair::None => Done::Nothing,
            Repair::LeaveStuck => {
                tracing::info!(
                    job.id = message.job.id.0,
                    run.id = message.job.run_id.0,
                    "job is queued in a run that has ended"
                );
                Done::LeftStuck
            }
            Repair::GiveUp | Repair::Relaunch if self.config.dry_run => {
                tracing::info!(job.id = message.job.id.0, repair = ?repair, reason = question.cause.words(), "would be done");
                Done::Nothing
            }
            Repair::GiveUp => self.give_up(&question).await,
            Repair::Relaunch => self.relaunch(&question, delay).await,
        }
    }

    /// The job has the runner of another one, and its own never came that could make up for it.
    fn has_robbed(&self, question: &Question, job: &Job) -> bool {
        let name = job.runner_name.as_deref().unwrap_or_default();
        matches!(question.cause, Cause::FailedStart | Cause::Unregistered)
            && RunnerOrigin::parse(&self.config.name_prefix, name)
                .is_some_and(|origin| origin.job_id != question.message.job.id && !origin.job_id.is_warm())
    }

    /// The worker looks after the other one, when it finds that this job waits no longer. It asks only about a job that
    /// has been sent back to wait.
    async fn look_after_robbed(&self, question: &Question) -> Done {
        let message = question.message.clone().asking_first();
        match self.queue.send(&message, Duration::ZERO).await {
            Ok(()) => Done::Nothing,
            Err(error) => {
                tracing::error!(job.id = message.job.id.0, error = %error, "job whose runner was taken not looked after");
                Done::Failed
            }
        }
    }

    async fn relaunch(&self, question: &Question, delay: Duration) -> Done {
        let message = &question.message;
        match self.queue.send(message, delay.min(LONGEST_DELAY)).await {
            Ok(()) => {
                tracing::warn!(
                    job.id = message.job.id.0,
                    job.attempt = message.progress.attempt.0,
                    repository = message.job.full_name(),
                    reason = question.cause.words(),
                    stopped_reason = question.stopped_reason,
                    thief.job.id = question.thief.as_ref().map(|(job, _)| job.0),
                    thief.repository = question.thief.as_ref().map(|(_, repository)| repository),
                    delay_seconds = delay.as_secs(),
                    "job launched again"
                );
                match question.cause {
                    Cause::Busy => Done::Stolen,
                    Cause::Untold => Done::Found,
                    _ => Done::Relaunched,
                }
            }
            Err(error) => {
                tracing::error!(job.id = message.job.id.0, error = %error, "job not launched again");
                Done::Failed
            }
        }
    }

    /// The letter carries the message of the next launch, for whoever mends the cause and has it done again.
    async fn give_up(&self, question: &Question) -> Done {
        let message = &question.message;
        let launches = message.progress.attempt.0.saturating_sub(1);
        let stopped_reason = question.stopped_reason.as_deref().unwrap_or("its tasks ended without a word");
        tracing::error!(
            job.id = message.job.id.0,
            job.attempt = launches,
            repository = message.job.full_name(),
            stopped_reason,
            "job given up: none of its tasks came to run it"
        );
        let Some(url) = &self.config.dead_letter_queue_url else { return Done::GivenUp };
        let reason = format!("{launches} launches came to nothing, the last one: {stopped_reason}");
        match self.queue.send_dead_letter(url, &message.to_body(), &reason).await {
            Ok(()) => Done::GivenUp,
            Err(error) => {
                tracing::error!(job.id = message.job.id.0, error = %error, "dead letter not sent");
                Done::Failed
            }
        }
    }
}
