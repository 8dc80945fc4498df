//! After ECS's event: the job of a task that stopped is launched again if it still waits, and the registration of a runner
//! that never connected is deleted. The schedule would do the same within minutes.

use std::slice;

use jitgate::ecs::{TaskArn, TaskView};
use jitgate::github::Place;
use jitgate::job::RunnerId;
use tracing::{Instrument, error_span};

use crate::act::of_orphan;
use crate::context::Pass;
use crate::plan::{Cause, ended_by_itself, question_of};
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
        let place = pass.github.place_of(&question.message.job);
        let span = error_span!("deletion", runner.id = id.0, scope = %place.scope);
        tally.add(delete_unused(pass, &place, id).instrument(span).await);
    }
    tally.add(repair(pass, question).await);
    tally.close(pass, 0)
}

/// Deletes the registration unless its runner was ever connected: then GitHub deletes it, or the schedule does.
async fn delete_unused(pass: Pass<'_>, place: &Place, id: RunnerId) -> Done {
    let at = pass.github.at(place);
    of_orphan(match at.runner(id).await {
        Ok(Some(runner)) if runner.never_connected() && !pass.config.dry_run => at.delete(id).await.map(Some),
        Ok(_) => return Done::Nothing,
        Err(error) => Err(error),
    })
}
