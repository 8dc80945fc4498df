//! ECS has no capacity, or the runner group is full: the job waits, at a low cost.

use std::time::Duration;

use jitgate_tests::aws::{answers, ecs};
use jitgate_tests::github;
use jitgate_tests::wire::Fault;
use jitgate_tests::world::{World, runner_classes};
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
    assert_eq!(world.dead_letters(), Vec::<String>::new());
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
