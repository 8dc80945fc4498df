//! Runners with the same labels are interchangeable, so a job may run on a runner that was launched for another job.
//!
//! As long as every job gets a launch, that evens out: the other job runs on this one's runner. But a launch that is left
//! out because its job runs already leaves one job without a runner: the job whose runner this one has. That job is found
//! by the runner's name, and launched again with the message that its task carries.

use jitgate::github::{InRepository, JobLook, JobState, Place};
use jitgate::job::{Message, Purpose};
use jitgate::names::{LaunchToken, RunnerOrigin};
use time::Duration;

use crate::context::Context;
use crate::verdict::LaunchError;

/// GitHub shows a job by this age, so an older one that it does not show has been deleted, or its repository is out of reach.
/// Otherwise a delivery that is repeated months later would start a runner each time.
pub(crate) const SHOWN_BY: Duration = Duration::minutes(30);

/// How many jobs, each on the next one's runner, are followed. The cleaner finds a job that waits beyond that.
const LONGEST_CHAIN: usize = 10;

pub(crate) fn repository<'a>(context: &'a Context, place: &'a Place, message: &'a Message) -> InRepository<'a> {
    context.github.in_repository(&place.account, &message.job.owner, &message.job.repository)
}

/// Whether the job needs no runner: it has or had one, or it is gone. A young job that GitHub does not show, or whose state it
/// does not say, may still wait. If it has another job's runner, that job is launched again.
pub(crate) async fn needs_none(
    context: &Context,
    message: &Message,
    job: Option<JobLook>,
) -> Result<bool, LaunchError> {
    match job {
        Some(job) if matches!(job.state, Some(JobState::InProgress | JobState::Completed)) => {
            launch_for_swapped(context, message, job).await?;
            Ok(true)
        }
        Some(_) => Ok(false),
        None => Ok(context.clock.now() - message.job.created_at > SHOWN_BY),
    }
}

/// Whether the job still needs a runner. A warm runner's message has no job.
pub(crate) async fn still_waits(context: &Context, place: &Place, message: &Message) -> Result<bool, LaunchError> {
    if message.purpose == Purpose::Warm {
        return Ok(false);
    }
    let job = repository(context, place, message).job(message.job.id).await?;
    Ok(!needs_none(context, message, job).await?)
}

/// `job` is the state of the message's job, which runs or has run. If its runner was launched for another job that still
/// waits, that job is launched again.
async fn launch_for_swapped(context: &Context, message: &Message, mut job: JobLook) -> Result<(), LaunchError> {
    let mut id = message.job.id;
    for _ in 0..LONGEST_CHAIN {
        let name = job.runner_name.as_deref().unwrap_or_default();
        let Some(origin) = RunnerOrigin::parse(&context.config.name_prefix, name) else { return Ok(()) };
        // A warm runner was launched for any job.
        if origin.job_id == id || origin.job_id.is_warm() {
            return Ok(());
        }
        let token = LaunchToken::derive(&context.config.name_prefix, origin.job_id, origin.attempt);
        let Some(swapped) = message_of(context, &token).await? else { return Ok(()) };
        let other = &swapped.job;
        let place = context.github.place_of(other);
        let Some(found) = repository(context, &place, &swapped).job(other.id).await? else { return Ok(()) };
        match found.state {
            Some(JobState::Queued) => {
                tracing::info!(
                    swapped.job.id = other.id.0,
                    swapped.job.attempt = origin.attempt.next().0,
                    runner.name = name,
                    "job launched again: another one has its runner"
                );
                let again = swapped.for_launch(origin.attempt.next(), context.clock.now());
                return Ok(context.queue.send(&again, std::time::Duration::ZERO).await?);
            }
            Some(JobState::Waiting) | None => return Ok(()),
            Some(JobState::InProgress | JobState::Completed) => (id, job) = (origin.job_id, found),
        }
    }
    tracing::warn!("more jobs have swapped runners than are followed");
    Ok(())
}

/// The message that a launch's task carries, whether the task lives or has stopped.
async fn message_of(context: &Context, token: &LaunchToken) -> Result<Option<Message>, LaunchError> {
    let mut arns = context.tasks.live_of(token).await?;
    if arns.is_empty() {
        arns = context.tasks.stopped_of(token).await?;
    }
    Ok(context.tasks.describe(&arns).await?.into_iter().find_map(|task| task.message))
}
