//! After ECS's event: the job of a task that stopped is launched again if it still waits, and the registration of a runner
//! that never connected is deleted. The schedule would do the same within minutes.

use std::slice;

use jitgate::ecs::{TaskArn, TaskView};
use jitgate::github::{Deletion, Place};
use jitgate::job::RunnerId;

use crate::context::Pass;
use crate::plan::{Cause, backoff, ended_by_itself, question_of};
use crate::repair::repair;
use crate::tally::{CleanError, Done, Tally};

pub(crate) async fn heal(pass: Pass<'_>, arn: &TaskArn) -> Result<(), CleanError> {
    let task = pass.tasks.describe(slice::from_ref(arn)).await?.into_iter().next();
    let needs_healing = |task: &TaskView| task.is_over && !ended_by_itself(task.stop_code.as_deref(), task.exit_code);
    let Some(task) = task.filter(needs_healing) else { return Ok(()) };
    let asked = question_of(pass.clock.now(), &pass.config.name_prefix, &task, Cause::FailedStart);
    let Some(question) = asked else { return Ok(()) };
    let mut tally = Tally::default();
    if let Some(id) = task.runner_id {
        tally.add(delete_unused(pass, &pass.github.place_of(&question.message.job), id).await);
    }
    let delay = backoff(question.message.progress.attempt);
    tally.add(repair(pass, question, delay).await);
    tally.close(pass, 0)
}

/// Deletes the registration unless its runner was ever connected: then GitHub deletes it, or the schedule does.
async fn delete_unused(pass: Pass<'_>, place: &Place, id: RunnerId) -> Done {
    let place_client = pass.github.at(place);
    let outcome = match place_client.runner(id).await {
        Ok(Some(runner)) if runner.never_connected() && !pass.config.dry_run => place_client.delete(id).await,
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
            tracing::error!(runner.id = id.0, scope = %place.scope, error = %error, "registration not deleted");
            Done::Failed
        }
    }
}
