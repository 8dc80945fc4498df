//! How a task's start went and how the task ended is logged and measured, from ECS's event alone.

use std::time::Duration;

use jitgate_tests::aws::ecs::StopCode;
use jitgate_tests::world::World;
use serde_json::Value;

use crate::{MINUTE, logged};

/// The fields of the one line about a task's end.
fn told(lines: &str) -> Value {
    let mut ends = lines.lines().filter(|line| line.contains("task ended"));
    let line: Value = serde_json::from_str(ends.next().expect("a line")).expect("JSON");
    assert_eq!(ends.next(), None);
    line["fields"].clone()
}

#[tokio::test]
async fn an_ordinary_end_is_told_without_a_call() {
    let mut world = World::new().await;
    world.start_tasks_after(MINUTE);
    let job = world.queue_and_deliver().await;
    world.work().await;
    world.pass(Duration::from_mins(10));
    world.assert_done(&[job]);
    world.aws.calls().clear();
    world.api.calls.clear();
    let (outcome, lines) = logged(world.heal()).await;
    outcome.unwrap();
    assert_eq!((world.aws.calls().operations(), world.api.calls.operations()), (Vec::new(), Vec::new()));
    let end = told(&lines);
    assert_eq!((&end["job.id"], &end["class"]), (&Value::from(job.0), &Value::from("default")));
    assert_eq!((&end["repository"], &end["workflow"]), (&"octo-org/octo-repo".into(), &"CodeQL".into()));
    assert_eq!((&end["disk"], &end["architecture"]), (&20.into(), &"x86_64".into()));
    assert_eq!((&end["cpu"], &end["memory"], &end["capacity"]), (&"1024".into(), &"2048".into(), &"FARGATE".into()));
    assert_eq!((&end["stop_code"], &end["exit_code"]), (&"EssentialContainerExited".into(), &0.into()));
    let seconds = ["start_wait_seconds", "image_pull_seconds", "start_rest_seconds"].map(|name| end[name].as_f64());
    assert_eq!(seconds, [Some(24.0), Some(30.0), Some(6.0)]);
    let [ran, billed] = ["ran_seconds", "billed_seconds"].map(|name| end[name].as_f64().expect("seconds"));
    // The pull, the rest of the start, the run and the stop.
    assert!(ran > 0.0 && billed >= 30.0 + 6.0 + ran, "{ran}, {billed}");
    assert!(!lines.contains("JITCONFIG") && !lines.contains("environment"), "{lines}");
}

#[tokio::test]
async fn a_failed_start_is_told_with_what_came_about() {
    let world = World::new().await;
    world.start_tasks_after(MINUTE);
    world.queue_and_deliver().await;
    world.work().await;
    let task = world.aws.ecs.live_tasks().remove(0);
    world.aws.ecs.stop(&task.arn, StopCode::TaskFailedToStart, "bad luck");
    let (outcome, lines) = logged(world.heal()).await;
    outcome.unwrap();
    let end = told(&lines);
    assert_eq!((&end["stop_code"], &end["task.arn"]), (&"TaskFailedToStart".into(), &Value::from(task.arn)));
    assert_eq!((&end["image_pull_seconds"], &end["ran_seconds"]), (&Value::Null, &Value::Null));
}
