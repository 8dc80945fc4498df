//! A pass as a whole: a dry run, too little time, failures in a part of it, and the runner's version.

use std::time::Duration;

use cleaner::{CleanError, Cleaner, Event};
use jitgate::config::FleetConfig;
use jitgate_tests::github::{self, EndOfLife, HookTarget, ORGANIZATION, Scope};
use jitgate_tests::wire::Fault;
use jitgate_tests::world::World;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::{BAD_IMAGE, GRACE, MINUTE, PASS, at_work, logged, send, surplus};

#[tokio::test]
async fn a_dry_run_says_what_it_would_do_and_does_nothing() {
    let mut world = World::with(&[("DRY_RUN", "true")]).await;
    world.github.add_hook(HookTarget::App, "https://webhook.example");
    surplus(&mut world).await;
    world.aws.ecs.fail_next_start(BAD_IMAGE);
    world.start_tasks_after(Duration::ZERO);
    world.queue_and_deliver().await;
    world.work().await;
    send(&world, false).await;
    world.orphan(&Scope::org(ORGANIZATION), 1);
    world.stand_still(MINUTE * 14);
    world.api.calls.clear();
    world.aws.calls().clear();
    let (outcome, lines) = logged(world.clean()).await;
    outcome.unwrap();
    world.heal().await.unwrap();
    let changes = world.api.calls.all().into_iter().filter(|call| !call.target.starts_with("GET"));
    let changes: Vec<_> = changes.filter(|call| call.operation != "access-token").collect();
    assert!(changes.is_empty(), "{changes:?}");
    let reads = ["ListTasks", "DescribeTasks", "GetQueueAttributes", "GetSecretValue"];
    let operations = world.aws.calls().operations();
    assert!(operations.iter().all(|operation| reads.contains(&operation.as_str())), "{operations:?}");
    for said in ["would be done", "DeleteRegistration", "Note", "Relaunch", "would be delivered again"] {
        assert!(lines.contains(said), "{said}: {lines}");
    }
}

#[tokio::test]
async fn a_pass_whose_time_runs_out_leaves_the_rest_to_the_next() {
    let world = World::with(&[("GITHUB_POINTS_PER_MINUTE", "0")]).await;
    world.github.limit(|limits| limits.secondary = None);
    for number in 0..40 {
        world.orphan(&Scope::org(ORGANIZATION), number);
    }
    world.clock.advance(MINUTE * 11);
    let config = FleetConfig::from_environment(&world.environment()).unwrap();
    let cleaner = Cleaner::new(&world.aws.sdk_config(), config, world.clock.clone());
    let until = world.clock.now() + time::Duration::seconds(100);
    // Each deletion takes five seconds.
    let clock = world.clock.clone();
    world.api.faults.choose(Box::new(move |operation| {
        if operation == "delete-runner" {
            clock.advance(Duration::from_secs(5));
        }
        None
    }));
    cleaner.handle_until(&Event::Schedule, Some(until)).await.unwrap();
    let left = world.github.runners().len();
    assert!((5..30).contains(&left), "{left} left");
    assert!(world.clock.now() < until);
    world.api.faults.clear();
    world.clean().await.unwrap();
    assert!(world.github.runners().is_empty());
}

#[tokio::test]
async fn a_failure_to_list_jobs_does_not_stop_the_deletion_of_orphans() {
    let mut world = World::new().await;
    world.queue_and_deliver().await;
    world.work().await;
    world.pass(PASS);
    let orphan = world.orphan(&Scope::org(ORGANIZATION), 1);
    world.clock.advance(PASS * 3);
    world.api.faults.script_times("list-runs", Fault::Refuse(github::answers::bad_gateway()), 9);
    assert!(matches!(world.clean().await, Err(CleanError::Incomplete(1))));
    assert!(world.github.runner(orphan).is_none());
}

#[tokio::test]
async fn a_list_of_a_hundred_pages_of_which_some_fail_is_complete_in_the_same_pass() {
    const PAGES: usize = 100;
    const ORPHANS: usize = 30;
    let world = World::unchecked(&[("GITHUB_POINTS_PER_MINUTE", "0")]).await;
    world.github.limit(|limits| limits.secondary = None);
    // The orphans are on the last page, after all that are too young to delete.
    let later = (world.clock.now() + GRACE * 2).unix_timestamp();
    for number in 0..PAGES * 100 - ORPHANS {
        let name = format!("jit-default-{number}-1-{later}");
        world.github.orphan(&Scope::org(ORGANIZATION), &name, &["fargate"], false);
    }
    for number in 0..ORPHANS {
        world.orphan(&Scope::org(ORGANIZATION), 1_000_000 + number as u64);
    }
    world.clock.advance(GRACE * 2);
    let mut random = StdRng::seed_from_u64(16);
    world.api.faults.choose(Box::new(move |operation| {
        let is_read = operation.starts_with("list-");
        (is_read && random.random_bool(0.05)).then(|| Fault::Refuse(github::answers::bad_gateway()))
    }));
    world.clean().await.unwrap();
    assert_eq!(world.github.runners().len(), PAGES * 100 - ORPHANS, "all orphans are deleted");
    let calls = world.api_calls("list-runners");
    assert!((PAGES + 1..=PAGES * 115 / 100).contains(&calls), "{calls} calls for {PAGES} pages");
}

#[tokio::test]
async fn a_denied_call_for_versions_does_not_stop_the_deletion_of_orphans() {
    let world = World::new().await;
    let name = format!("jit-default-1-1-{}", world.clock.now().unix_timestamp());
    let orphan = world.github.orphan(&Scope::org(ORGANIZATION), &name, &["fargate"], true);
    world.clock.advance(MINUTE * 11);
    world.api.faults.script_times("runner-deprecations", Fault::Refuse(github::answers::forbidden()), 3);
    world.clean().await.unwrap();
    assert!(world.github.runner(orphan).is_none());
    assert_eq!(world.api_calls("runner-deprecations"), 3, "its token is new");
}

#[tokio::test]
async fn the_end_of_a_runner_version_is_logged_as_a_warning() {
    let day = time::Duration::days(1);
    for (offered, end_in_days, floor, is_warned) in [
        (true, Some(5), "", true),
        (true, Some(20), "", false),
        (true, None, "9.9.9", false),
        (false, Some(5), "2.336.0", true),
        (false, Some(5), "2.335.0", false),
        (false, None, "", false),
    ] {
        let mut world = World::with(&[("RUNNER_VERSION_FLOOR", floor)]).await;
        let registration = end_in_days.map(|days| world.clock.now() + day * days);
        world.github.behave(|behaviour| {
            behaviour.deprecations_offered = offered;
            behaviour.end_of_life =
                [("2.336.0".to_owned(), EndOfLife { registration, runtime: None })].into_iter().collect();
        });
        at_work(&mut world).await;
        let (outcome, lines) = logged(world.clean()).await;
        outcome.unwrap();
        assert_eq!(lines.contains("raise the image"), is_warned, "{offered} {end_in_days:?} {floor}: {lines}");
        // A 404 is asked about again while the token is new.
        assert_eq!(world.api_calls("runner-deprecations"), if offered { 1 } else { 3 });
    }
}
