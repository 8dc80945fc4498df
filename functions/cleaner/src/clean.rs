//! A pass over everything: look, plan, act.
//!
//! It looks at registrations first and at tasks after them, so that each registration seen had its task, if it got one, in
//! time to be listed. The logs of hooks, jobs and versions follow. It looks at the live tasks a second time if there is a
//! registration in doubt (`plan/registrations.rs`).
//!
//! A failure with one account, place or step is logged and counted, and does not stop the others; the invocation fails at
//! its end, so that it shows. If the tasks cannot be listed, nothing is touched but deliveries. Shortly before the
//! function's time is over, nothing begins any more, and the next pass does the rest. Deletions of orphans wait for their
//! turn under GitHub's rate limit, behind launches. `DRY_RUN=true` logs the plan and does nothing.

use std::time::Duration;

use jitgate::ecs::TaskView;
use time::OffsetDateTime;

use crate::act::act_all;
use crate::context::Pass;
use crate::look::{Looked, look};
use crate::plan::{SECOND_LOOK_AFTER, World, needs_second_look};
use crate::reconcile::reconcile;
use crate::redeliver::redeliver;
use crate::repair::repair_all;
use crate::tally::{CleanError, Done, Tally};
use crate::versions::look_at_versions;
use crate::warm::keep_warm;

pub(crate) async fn clean(pass: Pass<'_>) -> Result<(), CleanError> {
    let mut tally = Tally::default();
    let looked = look(pass, &mut tally).await;
    let recent = looked.as_ref().map_or(&[][..], |looked| &looked.recent);
    tally.extend(redeliver(pass, recent).await);
    let Looked { accounts, repositories, recent, mut seen, tasks_seen_at } = match looked {
        Ok(looked) => looked,
        Err(error) => {
            tracing::error!(error = %error, "tasks not listed, nothing is touched");
            let _ = tally.close(pass, 0);
            return Err(error.into());
        }
    };
    tally.extend(reconcile(pass, &accounts, &repositories, &recent, &mut seen).await);
    tally.extend(look_at_versions(pass, &seen.places).await);
    let mut world = World::of(pass.clock.now(), pass.settings(), &seen);
    if let Some(live) = second_look(pass, &world, tasks_seen_at, &mut tally).await {
        world.look_again(&live);
    }
    repair_all(pass, &world, &mut tally).await;
    tally.extend(act_all(pass, &seen, &world).await);
    tally.extend(keep_warm(pass, &world).await);
    tally.close(pass, seen.live.len())
}

async fn second_look(
    pass: Pass<'_>,
    world: &World<'_>,
    first: OffsetDateTime,
    tally: &mut Tally,
) -> Option<Vec<TaskView>> {
    let at = first + SECOND_LOOK_AFTER;
    if !needs_second_look(world) || pass.is_over_at(at) {
        return None;
    }
    pass.clock.sleep(Duration::try_from(at - pass.clock.now()).unwrap_or_default()).await;
    match pass.tasks.live(&pass.config.name_prefix).await {
        Ok(live) => Some(live),
        Err(error) => {
            tracing::error!(error = %error, "tasks not listed again, runners that never connected stay");
            tally.add(Done::Failed);
            None
        }
    }
}
