//! After ECS's event: the job of a task that stopped is launched again if it still waits, and the registration of its runner
//! is deleted. The schedule would do the same within minutes.

use std::slice;

use jitgate::ecs::{TaskArn, TaskView, ended_by_itself};
use jitgate::relaunch::is_copy;

use crate::context::Pass;
use crate::plan::{Cause, Left, question_of};
use crate::repair::repair;
use crate::tally::{CleanError, Tally};

pub(crate) async fn heal(pass: Pass<'_>, arn: &TaskArn) -> Result<(), CleanError> {
    let task = pass.tasks.describe(slice::from_ref(arn)).await?.into_iter().next();
    let needs_healing = |task: &TaskView| task.is_over && !ended_by_itself(task.stop_code.as_deref(), task.exit_code);
    let Some(task) = task.filter(needs_healing) else { return Ok(()) };
    let asked = question_of(pass.clock.now(), &pass.config.name_prefix, &task, Cause::FailedStart);
    let Some(mut question) = asked else { return Ok(()) };
    question.left = Left::by(&pass.config.name_prefix, &task);
    question.message.progress.is_copy = is_copy(&task, false);
    let mut tally = Tally::default();
    tally.extend(repair(pass, question).await);
    tally.close(pass, 0)
}
