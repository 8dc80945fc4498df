//! Doing what was planned: each step looks once more at what it is about to end, since what was seen is seconds old.

use std::time::Duration;

use jitgate::ecs::{TaskArn, TaskView};
use jitgate::github::{Account, Deletion, GitHubError, JobState, Place};
use jitgate::job::{Message, Purpose, RunnerId};

use crate::clean::{Cleaner, Pass};
use crate::plan::{Action, Seen, Useless};
use crate::tally::Done;

impl Cleaner {
    pub(crate) async fn act(&self, pass: Pass, seen: Seen<'_>, action: Action) -> Done {
        if self.config.dry_run {
            tracing::info!(action = ?action, "would be done");
            return Done::Nothing;
        }
        if pass.is_over(self.clock.now()) {
            return Done::Left;
        }
        match action {
            Action::DeleteRegistration { place, id, name } => {
                self.delete_orphan(pass, &seen.places[place].place, id, &name).await
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
            Action::Retire { place, id, task, because } => {
                self.retire(pass, seen, &seen.places[place].place, id, &task, because).await
            }
            Action::StopUnregistered { place, id, task } => {
                self.stop_unregistered(seen, &seen.places[place].place, id, &task).await
            }
            Action::Stop { task, reason } => self.stop(&task, reason).await,
        }
    }

    async fn delete_orphan(&self, pass: Pass, place: &Place, id: RunnerId, name: &str) -> Done {
        match self.delete_in_turn(pass, place, id).await {
            Ok(Some(Deletion::Deleted)) => {
                tracing::info!(runner.id = id.0, runner.name = name, scope = %place.scope, "orphaned registration deleted");
                Done::RegistrationDeleted
            }
            Ok(Some(Deletion::Gone)) => Done::Nothing,
            Ok(Some(Deletion::Busy)) => Done::LeftBusy,
            Ok(None) => Done::Left,
            Err(error) => {
                tracing::error!(runner.id = id.0, runner.name = name, error = %error, "registration not deleted");
                Done::Failed
            }
        }
    }

    /// Waits for its turn: launches go before. `None` if that comes too late for this pass.
    async fn delete_in_turn(&self, pass: Pass, place: &Place, id: RunnerId) -> Result<Option<Deletion>, GitHubError> {
        let mut has_waited = false;
        loop {
            match self.github.at(place).delete_in_turn(id, has_waited).await {
                Err(GitHubError::Paced { until }) => {
                    let before = self.clock.now();
                    if pass.is_over(until) {
                        return Ok(None);
                    }
                    self.clock.sleep(Duration::try_from(until - before).unwrap_or_default()).await;
                    if self.clock.now() == before {
                        return Ok(None);
                    }
                    has_waited = true;
                }
                // Every further call would hear the same until then.
                Err(GitHubError::RateLimited { .. }) => return Ok(None),
                outcome => return outcome.map(Some),
            }
        }
    }

    /// The registration goes first: GitHub refuses to delete that of a runner with a job.
    async fn retire(
        &self,
        pass: Pass,
        seen: Seen<'_>,
        place: &Place,
        id: RunnerId,
        task: &TaskArn,
        because: Useless,
    ) -> Done {
        let reason = because.words();
        let outcome = async {
            let runner = self.github.at(place).runner(id).await?;
            if !because.holds(runner.as_ref()) || self.has_its_own_job(seen, id, task).await? {
                return Ok(Some(Deletion::Busy));
            }
            self.delete_in_turn(pass, place, id).await
        };
        match outcome.await {
            Ok(Some(Deletion::Deleted | Deletion::Gone)) => self.stop(task, reason).await,
            Ok(Some(Deletion::Busy)) => {
                tracing::info!(runner.id = id.0, task.arn = %task, reason, "runner has a job or has just come, and stays");
                Done::LeftBusy
            }
            Ok(None) => Done::Left,
            Err(error) => {
                tracing::error!(runner.id = id.0, task.arn = %task, error = %error, "runner not retired");
                Done::Failed
            }
        }
    }

    /// A list that is read page by page while registrations go may skip one, so it is asked for by itself.
    async fn stop_unregistered(&self, seen: Seen<'_>, place: &Place, id: RunnerId, task: &TaskArn) -> Done {
        let outcome = async {
            let is_there = self.github.at(place).runner(id).await?.is_some();
            Ok::<_, GitHubError>(is_there || self.has_its_own_job(seen, id, task).await?)
        };
        match outcome.await {
            Ok(false) => self.stop(task, "jitgate: its registration is gone").await,
            Ok(true) => Done::Nothing,
            Err(error) => {
                tracing::error!(runner.id = id.0, task.arn = %task, error = %error, "task not stopped");
                Done::Failed
            }
        }
    }

    /// Whether GitHub's record of the job for which the task was started says that its runner has it, whatever `busy`
    /// says.
    async fn has_its_own_job(&self, seen: Seen<'_>, id: RunnerId, arn: &TaskArn) -> Result<bool, GitHubError> {
        let task: Option<&TaskView> = seen.live.iter().find(|task| task.arn == *arn);
        let message = task.and_then(|task| task.message.as_ref());
        let Some(message) = message.filter(|message| message.purpose == Purpose::Launch) else { return Ok(false) };
        let Message { job, .. } = message;
        let account = Account::from(job);
        let job = self.github.in_repository(&account, &job.owner, &job.repository).job(job.id).await?;
        Ok(job.is_some_and(|job| job.state == JobState::InProgress && job.runner_id == Some(id)))
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
    pub(crate) async fn delete_unused(&self, place: &Place, id: RunnerId) -> Done {
        let outcome = match self.github.at(place).runner(id).await {
            Ok(Some(runner)) if runner.never_connected() && !self.config.dry_run => {
                self.github.at(place).delete(id).await
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
}
