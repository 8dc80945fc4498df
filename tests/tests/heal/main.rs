//! Stories of the cleaner: what failed half-way is healed, and what works is left alone.

mod accounts;
mod dead_letters;
mod failed_starts;
mod gone_places;
mod idle_runners;
mod incidents;
mod lost_deliveries;
mod many_repositories;
mod orphans;
mod passes;
mod runner_swaps;
mod stuck_tasks;
mod task_ends;

use std::time::Duration;

use jitgate::clock::Clock;
use jitgate::job::{JobId, RunnerId};
use jitgate_tests::github::Outcome;
pub(crate) use jitgate_tests::logs::logged;
use jitgate_tests::wire::Faults;
use jitgate_tests::world::{self, Delivery, World};

const MINUTE: Duration = Duration::from_mins(1);

/// The settings of the three scopes.
const SCOPES: [&[(&str, &str)]; 3] =
    [&[], &[("RUNNER_SCOPE", "repo")], &[("RUNNER_SCOPE", "enterprise"), ("GITHUB_ENTERPRISE", "octo-corp")]];

/// A world for a story of hours or a day: its calls are those of shorter stories, so they are not checked again. Enterprises
/// require a personal access token.
async fn long(changes: &[(&str, &str)]) -> World {
    let world = World::unchecked_on(Clock::manual(world::START), changes).await;
    if changes.iter().any(|(name, _)| *name == "GITHUB_ENTERPRISE") {
        world.use_personal_token(&["manage_runners:enterprise", "repo", "read:org"]);
    }
    world
}

/// The interval between passes. Source: `template.yaml`.
const PASS: Duration = Duration::from_mins(5);

/// The cleaner deletes a registration without a task once it is older than this.
const GRACE: Duration = Duration::from_mins(10);

const BAD_IMAGE: &str = "CannotPullContainerError: pull image manifest has been retried 5 time(s)";

/// A runner that is online without a job: its job was cancelled, without a delivery.
async fn surplus(world: &mut World) -> RunnerId {
    world.start_tasks_after(MINUTE);
    let job = world.queue_and_deliver().await;
    world.work().await;
    world.github.cancel_job(job);
    world.pass(MINUTE);
    let runner = world.github.runners().remove(0);
    assert!(runner.online && runner.job.is_none());
    runner.id
}

/// A runner that works on its own job.
async fn at_work(world: &mut World) -> (JobId, RunnerId) {
    let job = world.queue_and_deliver().await;
    world.work().await;
    world.run_runners();
    let runner = world.github.runners().remove(0);
    assert_eq!(runner.job, Some(job));
    (job, runner.id)
}

fn is_there(world: &World, runner: RunnerId) -> bool {
    world.github.runner(runner).is_some()
}

/// Acts once, when the first call of this operation comes in.
fn meanwhile(faults: &Faults, operation: &'static str, act: impl FnOnce() + Send + 'static) {
    let mut act = Some(act);
    faults.choose(Box::new(move |called| {
        if called == operation
            && let Some(act) = act.take()
        {
            act();
        }
        None
    }));
}

/// Sends GitHub's new deliveries, to a webhook that is up or down. Returns how many there were.
async fn send(world: &World, is_up: bool) -> usize {
    let deliveries = world.github.take_deliveries();
    for delivery in &deliveries {
        let status = if is_up {
            world.request(&Delivery::signed(&delivery.event, &delivery.body[..])).await.status_code
        } else {
            503
        };
        world.github.delivered(delivery.id, Outcome { status, body: "x".to_owned() });
    }
    deliveries.len()
}
