//! Asking the worker for the warm runners that are missing.

use std::time::Duration;

use crate::context::Pass;
use crate::plan::{World, plan_warm};
use crate::tally::Done;

pub(crate) async fn keep_warm(pass: Pass<'_>, world: &World<'_>) -> Vec<Done> {
    let mut steps = Vec::new();
    for message in plan_warm(pass.clock.now(), world) {
        let (class, owner) = (&message.job.class, &message.job.owner);
        if pass.config.dry_run {
            tracing::info!(class, owner, "a warm runner would be launched");
        } else if pass.is_over() {
            steps.push(Done::Left);
        } else if let Err(error) = pass.queue.send(&message, Duration::ZERO).await {
            tracing::error!(class, owner, error = %error, "warm runner not asked for");
            steps.push(Done::Failed);
        } else {
            let (slot, attempt) = (message.job.id.0, message.progress.attempt.0);
            tracing::info!(class, owner, slot, attempt, "warm runner asked for");
        }
    }
    steps
}
