//! The place of a task is gone: the App was uninstalled or suspended there, or no longer covers the repository.

use std::time::Duration;

use cleaner::Cleaner;
use jitgate::config::FleetConfig;
use jitgate_tests::github::{self, INSTALLATION, ORGANIZATION, Scope};
use jitgate_tests::wire::Fault;
use jitgate_tests::world::World;

use crate::{GRACE, MINUTE, PASS, at_work, is_there, surplus};

/// What is done to a world.
type Act = fn(&World);

/// Passes at the usual interval while nothing else happens, in one process, whose tokens get older than a minute.
async fn passes(world: &World, time: Duration) {
    let config = FleetConfig::from_environment(&world.environment()).expect("a complete environment");
    let cleaner = Cleaner::new(&world.aws.sdk_config(), config, world.clock.clone());
    let end = world.clock.now() + time;
    while world.clock.now() < end {
        let _ = cleaner.clean().await;
        world.stand_still(PASS);
    }
}

fn uninstall(world: &World) {
    world.github.uninstall(INSTALLATION);
}

fn suspend(world: &World) {
    world.github.suspend(INSTALLATION);
}

fn deselect(world: &World) {
    world.github.add_repository(ORGANIZATION, "another");
    world.github.select_repositories(INSTALLATION, &["another"]);
}

#[tokio::test]
async fn the_tasks_of_a_place_that_is_gone_for_an_hour_are_stopped() {
    let cases: [(&str, Act); 4] = [("org", uninstall), ("org", suspend), ("repo", uninstall), ("repo", deselect)];
    for (number, (scope, take_away)) in cases.into_iter().enumerate() {
        let mut world = World::with(&[("RUNNER_SCOPE", scope)]).await;
        at_work(&mut world).await;
        passes(&world, MINUTE * 20).await;
        take_away(&world);
        passes(&world, MINUTE * 60).await;
        assert_eq!(world.live_tasks(), 1, "case {number}: a job may still end");
        passes(&world, PASS * 3).await;
        assert_eq!(world.live_tasks(), 0, "case {number}");
    }
}

#[tokio::test]
async fn a_place_that_comes_back_keeps_its_tasks() {
    let mut world = World::new().await;
    let (_, runner) = at_work(&mut world).await;
    let mut installation = INSTALLATION;
    for _ in 0..3 {
        world.github.uninstall(installation);
        passes(&world, MINUTE * 40).await;
        installation = world.github.install_app(ORGANIZATION);
        passes(&world, PASS).await;
    }
    assert_eq!(world.live_tasks(), 1);
    assert!(is_there(&world, runner));
}

#[tokio::test]
async fn a_place_that_only_cannot_be_asked_keeps_its_tasks() {
    let cases: [(&str, Act); 4] = [
        ("org", |world| world.github.grant(INSTALLATION, &[("metadata", "read"), ("actions", "read")])),
        ("repo", |world| world.github.grant(INSTALLATION, &[("metadata", "read"), ("actions", "read")])),
        ("org", |world| {
            for operation in ["list-installations", "list-runners"] {
                world.api.faults.script_times(operation, Fault::Refuse(github::answers::server_error()), 200);
            }
        }),
        ("repo", |world| {
            world.api.faults.script_times("list-installations", Fault::Refuse(github::answers::bad_credentials()), 200);
        }),
    ];
    for (number, (scope, hide)) in cases.into_iter().enumerate() {
        let mut world = World::with(&[("RUNNER_SCOPE", scope)]).await;
        at_work(&mut world).await;
        hide(&world);
        passes(&world, MINUTE * 120).await;
        assert_eq!((world.live_tasks(), world.aws.calls().count("TagResource")), (1, 0), "case {number}");
    }
}

#[tokio::test]
async fn an_account_that_was_taken_off_the_list_keeps_its_running_job_and_loses_its_idle_runners() {
    let mut world = World::new().await;
    surplus(&mut world).await;
    at_work_beside(&mut world).await;
    world.set("ALLOWED_INSTALLATIONS", "somebody-else");
    let orphan = world.orphan(&Scope::org(ORGANIZATION), 77);
    world.stand_still(GRACE);
    passes(&world, MINUTE * 180).await;
    let busy: Vec<_> = world.github.runners().into_iter().map(|runner| runner.job.is_some()).collect();
    assert_eq!((world.live_tasks(), busy), (1, vec![true]), "the busy one lives");
    assert!(!is_there(&world, orphan));
}

/// A second runner, which has a job.
async fn at_work_beside(world: &mut World) {
    let job = world.queue_and_deliver().await;
    world.run_runners();
    world.work().await;
    world.pass(MINUTE);
    world.run_runners();
    let has_job = world.github.runners().into_iter().any(|runner| runner.job == Some(job));
    assert!(has_job, "{:?}", world.github.runners());
}

#[tokio::test]
async fn the_tasks_of_a_renamed_repository_are_looked_after_under_its_new_name() {
    let mut world = World::with(&[("RUNNER_SCOPE", "repo")]).await;
    let runner = surplus(&mut world).await;
    world.github.rename_repository(ORGANIZATION, "octo-repo", "renamed");
    passes(&world, MINUTE * 10).await;
    assert_eq!((world.live_tasks(), is_there(&world, runner)), (1, true));
    passes(&world, MINUTE * 10).await;
    assert_eq!((world.live_tasks(), is_there(&world, runner)), (0, false), "it was idle");
}
