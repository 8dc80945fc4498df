//! The answer to a call is lost, unreadable or late: the work may have been done, and is not done twice.

use std::time::Duration;

use jitgate::clock::Clock;
use jitgate_tests::aws::answers;
use jitgate_tests::github::{self, ORGANIZATION, Scope};
use jitgate_tests::wire::Fault;
use jitgate_tests::world::{JOB_QUEUE, World, invoke, runner_classes};
use serde_json::{Value, json};

use crate::GENERATE;

#[tokio::test]
async fn a_lost_answer_of_github_leaves_no_second_registration() {
    for fault in [Fault::LoseAnswer, Fault::Misreport(github::answers::server_error()), Fault::Drop] {
        for times in [1, 3] {
            let mut world = World::new().await;
            let job = world.queue_and_deliver().await;
            world.api.faults.script_times(GENERATE, fault.clone(), times);
            work_until_quiet_but_running(&mut world).await;
            world.assert_one_runner();
            world.pass(Duration::from_mins(5));
            world.assert_done(&[job]);
        }
    }
}

#[tokio::test]
async fn a_lost_answer_of_ecs_leaves_no_second_task() {
    for fault in [Fault::LoseAnswer, Fault::Misreport(answers::server_exception()), Fault::Drop] {
        let mut world = World::new().await;
        let job = world.queue_and_deliver().await;
        world.aws.faults().script("RunTask", fault);
        world.start_tasks_after(Duration::from_mins(2));
        work_until_quiet_but_running(&mut world).await;
        world.assert_one_runner();
        world.pass(Duration::from_mins(10));
        world.assert_done(&[job]);
    }
}

/// The worker works until the queue is empty; runners take no jobs meanwhile.
async fn work_until_quiet_but_running(world: &mut World) {
    for _ in 0..50 {
        world.work().await;
        if world.waiting() == 0 {
            return;
        }
        world.clock.advance(Duration::from_secs(5));
    }
    panic!("the queue is not empty");
}

#[tokio::test]
async fn a_task_whose_start_was_never_confirmed_keeps_its_registration() {
    let mut world = World::new().await;
    world.start_tasks_after(Duration::from_mins(30));
    let job = world.queue_and_deliver().await;
    world.aws.faults().script("RunTask", Fault::LoseAnswer);
    world.work().await;
    for _ in 0..20 {
        world.clean().await.unwrap();
        world.clock.advance(Duration::from_mins(1));
        world.work().await;
    }
    world.pass(Duration::from_mins(20));
    assert_eq!(world.github.job(job).unwrap().times_taken, 1);
    assert!(world.github.runners().is_empty());
}

/// An unreadable answer counts as none: the task may have been started with this registration.
#[tokio::test]
async fn an_unreadable_answer_about_a_start_costs_no_registration() {
    for body in ["", "{", "<html>", "{}", r#"{"tasks":7}"#, r#"{"tasks":["#] {
        let mut world = World::new().await;
        world.start_tasks_after(Duration::from_mins(2));
        let job = world.queue_and_deliver().await;
        let answer = http::Response::builder().status(200).body(body.into()).expect("an answer");
        world.aws.faults().script("RunTask", Fault::Misreport(answer));
        world.work().await;
        assert_eq!((world.live_tasks(), world.github.runners().len()), (1, 1), "{body:?}");
        world.clean().await.unwrap();
        world.pass(Duration::from_mins(10));
        world.work().await;
        assert_eq!(world.github.job(job).unwrap().times_taken, 1, "{body:?}");
        assert_eq!(world.aws.ecs.tasks().len(), 1, "{body:?}");
    }
}

#[tokio::test]
async fn a_worker_that_dies_after_registering_leaves_nothing_once_another_takes_over() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    // The process dies: its message is neither deleted nor reported as failed.
    world.aws.faults().script("RunTask", Fault::Drop);
    let batch = world.source.take().expect("a batch");
    let _ = invoke(&world.worker, batch.event().clone()).await;
    assert_eq!((world.live_tasks(), world.github.runners().len()), (0, 1));
    world.aws.sqs.purge(JOB_QUEUE);
    world.aws.sqs.put(JOB_QUEUE, batch.event()["Records"][0]["body"].as_str().expect("a body"));
    world.worker = world.new_worker().unwrap();
    world.work().await;
    world.assert_one_runner();
    world.pass(Duration::from_mins(5));
    world.assert_done(&[job]);
}

/// On the system's clock, since time-outs of calls pass in real time.
#[tokio::test]
async fn a_whole_batch_waits_once_for_a_service_that_does_not_answer() {
    const SILENCE: Fault = Fault::Delay(Duration::from_mins(2));
    for call in ["access-token", "list-runner-groups"] {
        let mut classes = runner_classes();
        classes[0]["runner_group_id"] = Value::Null;
        classes[0]["runner_group"] = json!("builders");
        let world = World::on(Clock::system(), &[("RUNNER_CLASSES", &classes.to_string())]).await;
        world.github.add_runner_group(&Scope::org(ORGANIZATION), "builders", None);
        for _ in 0..10 {
            world.queue_and_deliver().await;
        }
        // A second call would be answered.
        world.api.faults.script(call, SILENCE);
        let worker = world.new_worker().unwrap();
        assert_eq!(world.work_one_batch(&worker).await, Vec::<String>::new());
        assert_eq!((world.waiting(), world.live_tasks()), (10, 0), "{call}");
    }
}

#[tokio::test]
async fn only_messages_unfinished_at_the_end_of_the_invocation_return() {
    let world = World::on(Clock::system(), &[]).await;
    for _ in 0..3 {
        world.queue_and_deliver().await;
    }
    world.aws.faults().script("RunTask", Fault::Delay(Duration::from_secs(5)));
    let worker = world.new_worker().unwrap();
    let batch = world.source.take().expect("a batch");
    let event = serde_json::from_value(batch.event().clone()).unwrap();
    let answer = worker.handle_within(event, Some(Duration::from_secs(4))).await;
    let answer = serde_json::to_value(answer).unwrap();
    let returned = answer["batchItemFailures"].as_array().unwrap();
    assert_eq!(returned.len(), 1, "{answer}");
}
