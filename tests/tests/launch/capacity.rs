//! ECS has no capacity, or the runner group is full: the job waits, at a low cost.

use std::time::Duration;

use jitgate::job::JobId;
use jitgate_tests::aws::{answers, ecs};
use jitgate_tests::github;
use jitgate_tests::wire::Fault;
use jitgate_tests::world::{World, invoke, runner_classes};
use serde_json::json;

use crate::GENERATE;

#[tokio::test]
async fn no_capacity_is_not_an_error_and_costs_no_retries() {
    for refusal in [
        answers::failure("RESOURCE:FARGATE"),
        answers::failure(answers::CAPACITY_UNAVAILABLE),
        answers::capacity_unavailable(),
        answers::throttling(),
        answers::invalid_parameter("Error retrieving subnet information: (ErrorCode: RequestLimitExceeded, ...)"),
        answers::client_exception(answers::VCPU_QUOTA),
        answers::client_exception(answers::TASK_QUOTA),
        answers::client_exception(answers::PROVISIONING_QUOTA),
        answers::invalid_parameter(answers::EC2_FAILS[0]),
        answers::invalid_parameter(answers::EC2_FAILS[1]),
        answers::failure("AN UNKNOWN REASON"),
        answers::error(400, "BrandNewException", "never seen before"),
        answers::server_exception(),
        answers::unavailable(),
    ] {
        let mut world = World::new().await;
        let job = world.queue_and_deliver().await;
        world.aws.faults().script_times("RunTask", Fault::Refuse(refusal), 6);
        world.work().await;
        assert!(world.github.runners().is_empty(), "no registration stays while the job waits");
        assert_eq!(world.waiting(), 1);
        world.work_until_quiet().await;
        world.assert_done(&[job]);
    }
}

#[tokio::test]
async fn many_jobs_that_wait_for_capacity_do_not_use_up_githubs_budget() {
    let mut world = World::new().await;
    world.aws.ecs.set_limit(ecs::Provider::OnDemand, ecs::Limit::exhausted());
    let mut jobs = Vec::new();
    for _ in 0..100 {
        jobs.push(world.queue_and_deliver().await);
    }
    for _ in 0..60 {
        world.work().await;
        world.clock.advance(Duration::from_secs(10));
    }
    let (registrations, looks) = (world.api_calls(GENERATE), world.api_calls("get-job"));
    assert!(registrations < 30, "{registrations} in ten minutes; {} if each job tried by itself", 100 * 6);
    assert!(looks < registrations, "one job is asked about for all: {looks}");
    assert!(world.github.runners().is_empty());
    world.aws.ecs.set_limit(ecs::Provider::OnDemand, ecs::Limit::tasks(1000));
    for _ in 0..120 {
        world.work().await;
        world.pass(Duration::from_secs(10));
    }
    world.pass(Duration::from_mins(5));
    // The worker follows ten swaps of runners in a row. The cleaner finds a job that more swaps leave without one.
    world.clean().await.unwrap();
    world.work_until_quiet().await;
    world.assert_done(&jobs);
}

#[tokio::test]
async fn a_job_that_ended_while_it_waited_for_capacity_is_dropped() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    world.aws.ecs.set_limit(ecs::Provider::OnDemand, ecs::Limit::exhausted());
    world.work().await;
    world.github.cancel_job(job);
    world.aws.ecs.set_limit(ecs::Provider::OnDemand, ecs::Limit::tasks(100));
    world.work_until_quiet().await;
    assert_eq!((world.live_tasks(), world.waiting(), world.github.runners().len()), (0, 0, 0));
}

#[tokio::test]
async fn a_job_waits_for_capacity_as_long_as_github_lets_it_and_then_is_dropped() {
    let mut world = World::new().await;
    world.queue_and_deliver().await;
    world.aws.faults().script_times("RunTask", Fault::Refuse(answers::failure("RESOURCE:FARGATE")), 10_000);
    let mut rounds = 0;
    while world.waiting() > 0 {
        world.work().await;
        world.clock.advance(Duration::from_mins(1));
        rounds += 1;
        assert!(rounds < 25 * 60, "the job waits without end");
    }
    assert!(rounds > 24 * 60 - 10, "dropped after {rounds} minutes");
    let letters = world.dead_letters();
    assert!(letters.len() == 1 && letters[0].contains("RESOURCE:FARGATE"), "{letters:?}");
    let tries = world.aws.calls().count("RunTask");
    assert!((250..400).contains(&tries), "{tries} tries in a day");
    world.pass(Duration::from_secs(1));
}

#[tokio::test]
async fn a_full_runner_group_defers_like_missing_capacity() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    let full = github::answers::validation_failed(&["The runner group has reached its maximum number of runners"]);
    world.api.faults.script_times(GENERATE, Fault::Refuse(full), 3);
    world.work_until_quiet().await;
    world.assert_done(&[job]);
}

#[tokio::test]
async fn without_spot_capacity_the_class_goes_to_on_demand_and_then_to_its_fallback() {
    let mut classes = runner_classes();
    classes[0]["capacity"] = json!(["spot", "on-demand"]);
    classes[0]["fallback"] = json!(["elsewhere"]);
    let mut elsewhere = runner_classes()[0].clone();
    (elsewhere["name"], elsewhere["labels"]) = ("elsewhere".into(), json!(["elsewhere"]));
    elsewhere["subnets"] = json!(["subnet-2"]);
    classes.as_array_mut().expect("a list").push(elsewhere);
    let world = World::with(&[("RUNNER_CLASSES", &classes.to_string())]).await;
    world.queue_and_deliver().await;
    world.work().await;
    assert_eq!(world.aws.ecs.live_tasks()[0].provider, ecs::Provider::Spot);
    world.aws.ecs.set_limit(ecs::Provider::Spot, ecs::Limit::exhausted());
    world.queue_and_deliver().await;
    world.work().await;
    assert_eq!(world.aws.ecs.live_tasks()[1].provider, ecs::Provider::OnDemand);
    for _ in 0..2 {
        world.aws.faults().script("RunTask", Fault::Refuse(answers::failure(answers::CAPACITY_UNAVAILABLE)));
    }
    world.queue_and_deliver().await;
    world.work().await;
    let task = &world.aws.ecs.live_tasks()[2];
    assert!(task.network.to_string().contains("subnet-2"), "{}", task.network);
    assert_eq!(world.github.runners().len(), 3, "one registration for each, however many choices were tried");
}

/// A deployment in which nothing but ECS's capacity is short.
async fn unlimited() -> World {
    let world = World::unchecked(&[("GITHUB_POINTS_PER_MINUTE", "0")]).await;
    world.github.limit(|limits| limits.secondary = None);
    world
}

async fn deliver(world: &World, jobs: usize) -> Vec<JobId> {
    let mut delivered = Vec::new();
    for _ in 0..jobs {
        delivered.push(world.queue_and_deliver().await);
    }
    delivered
}

#[tokio::test]
async fn a_launch_that_finds_no_capacity_tries_again_with_the_registration_in_hand() {
    for refusals in [1, 2] {
        let world = unlimited().await;
        world.queue_and_deliver().await;
        world.aws.faults().script_times("RunTask", Fault::Refuse(answers::capacity_unavailable()), refusals);
        world.work().await;
        world.assert_one_runner();
        assert_eq!((world.waiting(), world.api_calls(GENERATE)), (0, 1));
    }
}

#[tokio::test]
async fn a_share_without_capacity_holds_up_few_jobs_and_stops_none() {
    const JOBS: usize = 200;
    for (percent, most_waiting, most_seconds) in [(3, 2, 20), (10, 4, 30), (30, 14, 60)] {
        for seed in 0..2 {
            let mut world = unlimited().await;
            world.aws.ecs.set_shortage(ecs::Provider::OnDemand, f64::from(percent) / 100.0, seed);
            let jobs = deliver(&world, JOBS).await;
            world.work().await;
            let waiting = world.waiting();
            assert!(waiting <= most_waiting, "{percent} %: {waiting} jobs wait after the first try");
            let begun = world.clock.now();
            while world.waiting() > 0 {
                world.clock.advance(Duration::from_secs(1));
                world.work().await;
            }
            let seconds = (world.clock.now() - begun).whole_seconds();
            assert!(seconds <= most_seconds, "{percent} %: {seconds} s");
            let registrations = world.api_calls(GENERATE);
            assert!(registrations <= JOBS + 2 * most_waiting, "{percent} %: {registrations} registrations");
            world.pass(Duration::from_mins(5));
            world.assert_done(&jobs);
        }
    }
}

#[tokio::test]
async fn without_capacity_each_process_tries_once_a_minute_and_all_jobs_go_soon_after_it_returns() {
    const JOBS: usize = 100;
    let mut world = unlimited().await;
    world.aws.ecs.set_limit(ecs::Provider::OnDemand, ecs::Limit::exhausted());
    let jobs = deliver(&world, JOBS).await;
    let workers: Vec<_> = (0..5).map(|_| world.new_worker().expect("a complete environment")).collect();
    let mut messages = 0;
    let mut tries = Vec::new();
    let mut first_success = None;
    for second in 0..900 {
        if second == 600 {
            world.aws.ecs.set_limit(ecs::Provider::OnDemand, ecs::Limit::default());
        }
        for worker in workers.iter().cycle() {
            let Some(batch) = world.source.take() else { break };
            messages += batch.len();
            let answer = invoke(worker, batch.event().clone()).await;
            assert!(world.source.settle(&batch, &answer).returned.is_empty());
        }
        if second % 60 == 59 {
            tries.push(world.aws.calls().count("RunTask"));
            world.aws.calls().clear();
        }
        let launched = world.live_tasks();
        if launched > 0 && first_success.is_none() {
            first_success = Some(second);
            assert!(messages <= 15 * JOBS, "{messages} messages in ten minutes");
        }
        if first_success.is_some_and(|first| second == first + 15) {
            assert!(launched >= JOBS * 3 / 4, "{launched} within 15 s");
        }
        world.clock.advance(Duration::from_secs(1));
    }
    assert!(tries[2..10].iter().all(|tries| *tries <= workers.len()), "a minute: {tries:?}");
    assert!(first_success.is_some_and(|first| first <= 661), "{first_success:?}");
    world.pass(Duration::from_mins(5));
    world.assert_done(&jobs);
}

#[tokio::test]
async fn spot_without_capacity_is_asked_once_a_minute_while_on_demand_takes_the_jobs() {
    let mut classes = runner_classes();
    classes[0]["capacity"] = json!(["spot", "on-demand"]);
    let world = World::unchecked(&[("RUNNER_CLASSES", &classes.to_string()), ("GITHUB_POINTS_PER_MINUTE", "0")]).await;
    world.github.limit(|limits| limits.secondary = None);
    world.aws.ecs.set_limit(ecs::Provider::Spot, ecs::Limit::exhausted());
    deliver(&world, 20).await;
    world.work().await;
    world.clock.advance(Duration::from_mins(5));
    world.aws.calls().clear();
    deliver(&world, 20).await;
    world.work().await;
    assert_eq!((world.live_tasks(), world.waiting()), (40, 0));
    assert_eq!(world.aws.calls().count("RunTask"), 21, "one launch asked for Spot first");
    world.aws.ecs.set_limit(ecs::Provider::Spot, ecs::Limit::default());
    world.clock.advance(Duration::from_mins(1));
    deliver(&world, 10).await;
    world.work().await;
    let on_spot = world.aws.ecs.live_tasks().iter().filter(|task| task.provider == ecs::Provider::Spot).count();
    assert!(on_spot >= 1, "{on_spot}");
    deliver(&world, 10).await;
    world.work().await;
    let newest = world.aws.ecs.live_tasks().split_off(50);
    assert!(newest.iter().all(|task| task.provider == ecs::Provider::Spot), "it is asked first again");
}
