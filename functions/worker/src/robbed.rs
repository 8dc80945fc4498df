//! Runners with the same labels are interchangeable, so a job may run on a runner that was started for another one.
//!
//! As long as every job gets a launch, that evens out: the other job runs on this one's runner. But a launch that is left
//! out, because its job runs already, leaves somebody without: the job whose runner it was. That one is found by the
//! runner's name and launched again, by the message that stands on its task.

use jitgate::ecs::TaskView;
use jitgate::github::{Job, JobState, Place};
use jitgate::job::JobMessage;
use jitgate::names::{LaunchToken, RunnerOrigin};

use crate::batch::Worker;
use crate::verdict::LaunchError;

/// How far a chain of jobs, each on the next one's runner, is followed.
const LONGEST_CHAIN: usize = 10;

impl Worker {
    /// `job` is the state of the message's job, which runs or has run. If it does so on a runner that was made for
    /// another job which still waits, that job is launched again.
    pub(crate) async fn look_after_robbed(
        &self,
        place: &Place,
        message: &JobMessage,
        mut job: Job,
    ) -> Result<(), LaunchError> {
        let mut id = message.job_id;
        for _ in 0..LONGEST_CHAIN {
            let name = job.runner_name.as_deref().unwrap_or_default();
            let Some(origin) = RunnerOrigin::parse(&self.config.name_prefix, name) else { return Ok(()) };
            // A runner that was kept ready was made for whichever job comes.
            if origin.job_id == id || origin.job_id.is_warm() {
                return Ok(());
            }
            let token = LaunchToken::derive(&self.config.name_prefix, origin.job_id, origin.attempt);
            let Some(robbed) = self.message_of(&token).await? else { return Ok(()) };
            let Some(found) = self.job(&self.place_of(&robbed), &robbed, robbed.job_id).await? else { return Ok(()) };
            match found.state {
                JobState::Queued => {
                    tracing::info!(
                        job.id = robbed.job_id.0,
                        job.attempt = origin.attempt.next().0,
                        runner.name = name,
                        taken_by = id.0,
                        "job launched again: another one has its runner"
                    );
                    let again = robbed.for_launch(origin.attempt.next(), self.clock.now());
                    return self.send_again(&again, time::Duration::ZERO).await;
                }
                JobState::Waiting => return Ok(()),
                JobState::InProgress | JobState::Completed => (id, job) = (origin.job_id, found),
            }
        }
        tracing::warn!(job.id = message.job_id.0, scope = %place.scope, "more jobs have swapped runners than are followed");
        Ok(())
    }

    /// The message on a launch's task, whether it lives or has stopped.
    async fn message_of(&self, token: &LaunchToken) -> Result<Option<JobMessage>, LaunchError> {
        let mut arns = self.tasks.live_of(token).await?;
        if arns.is_empty() {
            arns = self.tasks.stopped_of(token).await?;
        }
        let tasks: Vec<TaskView> = self.tasks.describe(&arns).await?;
        Ok(tasks.into_iter().find_map(|task| task.message))
    }
}
