//! Repository scope with thousands of repositories: a pass looks at some, within its share of GitHub's limits.

use jitgate::clock::Clock;
use jitgate_tests::github::{JobSpec, Limits, ORGANIZATION, Scope};
use jitgate_tests::world::{START, World};

use crate::{MINUTE, PASS, is_there};

/// The calls with which a pass looks, at most: a quarter of the 900 reads that GitHub allows a minute.
const SHARE: usize = 225;

/// Passes in an hour.
const AN_HOUR: usize = 12;

async fn with_repositories(count: usize) -> World {
    let world = World::unchecked_on(Clock::manual(START), &[("RUNNER_SCOPE", "repo")]).await;
    for number in 0..count {
        world.github.add_repository(ORGANIZATION, &name(number));
    }
    world.github.limit(|limits| limits.primary = Limits::primary_for(count));
    world
}

fn name(number: usize) -> String {
    format!("repository-{number:05}")
}

fn looks(world: &World) -> usize {
    ["list-repositories", "list-runners", "list-runs", "list-run-jobs"].map(|call| world.api_calls(call)).iter().sum()
}

/// A pass that does all that it has to. Returns the calls with which it looked.
async fn pass(world: &World) -> usize {
    let before = looks(world);
    world.clean().await.expect("no step fails");
    looks(world) - before
}

async fn burst(world: &World, jobs: usize) {
    for number in 0..jobs {
        let spec = JobSpec::labels(["fargate"]).in_repository(ORGANIZATION, &name(number * 7));
        assert_eq!(world.deliver_queued(world.github.queue_job(spec)).await.status_code, 202);
    }
}

#[tokio::test]
async fn passes_over_thousands_of_repositories_stay_within_their_share_and_fail_nothing() {
    for count in [1_100, 10_000] {
        let mut world = with_repositories(count).await;
        burst(&world, 60).await;
        world.work().await;
        let mut costs = Vec::new();
        for _ in 0..AN_HOUR {
            costs.push(pass(&world).await);
            world.pass(PASS);
        }
        assert!(costs.iter().all(|cost| *cost <= SHARE), "{count}: {costs:?}");
        let sum: usize = costs.iter().sum();
        assert!(sum <= 2_700, "{count}: {sum} in an hour");
        assert_eq!(world.github.meters()["installation 77"].refused, 0);
    }
}

#[tokio::test]
async fn each_of_many_repositories_has_its_turn_and_those_of_tasks_have_it_in_each_pass() {
    let mut world = with_repositories(1_100).await;
    burst(&world, 1).await;
    world.work().await;
    let of_task = world.orphan(&Scope::repo(ORGANIZATION, &name(0)), 1);
    let quiet = world.orphan(&Scope::repo(ORGANIZATION, &name(1_099)), 2);
    world.pass(MINUTE * 20);
    pass(&world).await;
    assert!(!is_there(&world, of_task));
    let mut passes = 1;
    while is_there(&world, quiet) {
        world.pass(PASS);
        pass(&world).await;
        passes += 1;
        assert!(passes <= 28, "1,100 repositories are 28 turns");
    }
}

#[tokio::test]
async fn a_burst_of_jobs_beside_a_pass_over_many_repositories_is_launched_at_once() {
    let world = with_repositories(1_100).await;
    assert!((40..=SHARE).contains(&pass(&world).await));
    burst(&world, 60).await;
    world.work().await;
    assert_eq!((world.live_tasks(), world.waiting()), (60, 0), "no job waits for the pass's share of the minute");
}
