//! A class with roles of its own: the worker passes them, if it may.

use std::time::Duration;

use jitgate_tests::world::{World, runner_classes};
use serde_json::{Value, json};

const TASK: &str = "arn:aws:iam::123456789012:role/jobs";
const EXECUTION: &str = "arn:aws:iam::123456789012:role/start";

async fn with_roles() -> World {
    let mut classes = runner_classes();
    (classes[0]["task_role"], classes[0]["execution_role"]) = (json!(TASK), json!(EXECUTION));
    World::with(&[("RUNNER_CLASSES", &classes.to_string())]).await
}

fn overrides(world: &World) -> Value {
    world.aws.ecs.live_tasks().last().expect("a task").overrides.as_ref().clone()
}

#[tokio::test]
async fn a_task_has_the_roles_of_its_class() {
    let mut world = with_roles().await;
    world.aws.ecs.allow_role(TASK);
    world.aws.ecs.allow_role(EXECUTION);
    let job = world.queue_and_deliver().await;
    world.work().await;
    let overrides = overrides(&world);
    assert_eq!((&overrides["taskRoleArn"], &overrides["executionRoleArn"]), (&json!(TASK), &json!(EXECUTION)));
    world.pass(Duration::from_mins(5));
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_role_that_the_worker_may_not_pass_leaves_the_job_waiting_until_somebody_allows_it() {
    let mut world = with_roles().await;
    world.aws.ecs.allow_role(EXECUTION);
    let job = world.queue_and_deliver().await;
    world.work().await;
    assert_eq!((world.live_tasks(), world.waiting(), world.github.runners().len()), (0, 1, 0));
    world.aws.ecs.allow_role(TASK);
    world.clock.advance(Duration::from_mins(6));
    world.work().await;
    world.pass(Duration::from_mins(5));
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_fallback_starts_the_task_with_its_own_role_and_gives_its_own_jobs_role_to_no_other() {
    let mut classes = runner_classes();
    classes[0]["fallback"] = json!(["other"]);
    let mut other = classes[0].clone();
    (other["name"], other["labels"], other["fallback"]) = (json!("other"), json!(["other"]), json!([]));
    (other["task_role"], other["execution_role"]) = (json!(TASK), json!(EXECUTION));
    classes.as_array_mut().expect("a list").push(other);
    let world = World::with(&[("RUNNER_CLASSES", &classes.to_string())]).await;
    world.aws.ecs.allow_role(EXECUTION);
    let lack = jitgate_tests::aws::answers::capacity_unavailable();
    world.aws.faults().script("RunTask", jitgate_tests::wire::Fault::Refuse(lack));
    world.queue_and_deliver().await;
    world.work().await;
    let overrides = overrides(&world);
    assert_eq!((overrides.get("taskRoleArn"), &overrides["executionRoleArn"]), (None, &json!(EXECUTION)));
}
