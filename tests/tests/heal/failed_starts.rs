//! A runner never comes online, or ends before its job starts: the job is launched again, a limited number of times.

use std::time::Duration;

use jitgate::job::JobId;
use jitgate_tests::aws::answers;
use jitgate_tests::aws::ecs::{self, TaskDefinition};
use jitgate_tests::github::{self, JobStatus};
use jitgate_tests::wire::Fault;
use jitgate_tests::world::{JOB_QUEUE, World, runner_classes};
use serde_json::{Value, json};

use crate::{BAD_IMAGE, MINUTE, PASS, meanwhile};

#[tokio::test]
async fn a_job_whose_task_did_not_start_is_launched_again_at_once() {
    for code in [ecs::StopCode::TaskFailedToStart, ecs::StopCode::SpotInterruption] {
        let mut world = World::new().await;
        world.start_tasks_after(MINUTE);
        let job = world.queue_and_deliver().await;
        world.work().await;
        let task = world.aws.ecs.live_tasks().remove(0);
        world.aws.ecs.stop(&task.arn, code, "bad luck");
        world.heal().await.unwrap();
        assert_eq!(world.waiting(), 1);
        assert_eq!(world.api_calls("list-runners"), 1, "for the registration of its own name");
        world.work_until_quiet().await;
        assert_eq!(world.aws.ecs.started_by(&format!("jit-{job}-2")).len(), 1, "the next attempt");
        // The first attempt's registration is an orphan.
        world.pass(PASS * 2);
        world.clean().await.unwrap();
        world.assert_done(&[job]);
    }
}

/// Runs the fleet while AWS takes every Spot task away before its runner is there. With `event`, EventBridge tells of it; without,
/// another delivery of the same job does.
async fn interrupt_spot(world: &World, rounds: usize, again: Option<JobId>) {
    for _ in 0..rounds {
        world.work().await;
        for task in world.aws.ecs.live_tasks().into_iter().filter(|task| task.provider == ecs::Provider::Spot) {
            world.aws.ecs.stop(&task.arn, ecs::StopCode::SpotInterruption, "Your Spot Task was interrupted.");
        }
        match again {
            Some(job) => assert_eq!(world.deliver_queued(job).await.status_code, 202),
            None => world.heal().await.expect("a cleaner that can do all it has to"),
        }
        world.stand_still(Duration::from_secs(20));
    }
}

fn spot_first() -> String {
    let mut classes = runner_classes();
    classes[0]["capacity"] = json!(["spot", "on-demand"]);
    classes.to_string()
}

fn providers(world: &World) -> Vec<ecs::Provider> {
    world.aws.ecs.tasks().iter().map(|task| task.provider).collect()
}

#[tokio::test]
async fn a_job_whose_spot_task_is_interrupted_goes_on_with_the_next_capacity() {
    let (spot, on_demand) = (ecs::Provider::Spot, ecs::Provider::OnDemand);
    for by_event in [true, false] {
        let mut world = World::with(&[("RUNNER_CLASSES", &spot_first())]).await;
        world.start_tasks_after(MINUTE);
        let job = world.queue_and_deliver().await;
        interrupt_spot(&world, 4, (!by_event).then_some(job)).await;
        assert_eq!(providers(&world), [spot, on_demand], "by event: {by_event}");
        world.work_until_quiet().await;
        world.pass(PASS * 2);
        let other = world.queue_and_deliver().await;
        world.work().await;
        assert_eq!(providers(&world), [spot, on_demand, spot], "another job begins with the first");
        world.pass(PASS);
        world.clean().await.unwrap();
        world.pass(PASS);
        world.assert_done(&[job, other]);
    }
}

#[tokio::test]
async fn a_job_whose_capacity_is_missing_late_goes_through_all_of_its_class_and_begins_again() {
    let mut classes: Value = serde_json::from_str(&spot_first()).expect("JSON");
    classes[0]["fallback"] = json!(["elsewhere"]);
    let mut elsewhere = runner_classes()[0].clone();
    (elsewhere["name"], elsewhere["labels"]) = ("elsewhere".into(), json!(["elsewhere"]));
    elsewhere["subnets"] = json!(["subnet-2"]);
    classes.as_array_mut().expect("a list").push(elsewhere);
    for reason in
        [answers::CAPACITY_UNAVAILABLE, "RESOURCE:FARGATE", "InsufficientInstanceCapacity: no capacity of m7i"]
    {
        let mut world = World::with(&[("RUNNER_CLASSES", &classes.to_string())]).await;
        for _ in 0..4 {
            world.aws.ecs.fail_next_start(reason);
        }
        let job = world.queue_and_deliver().await;
        for _ in 0..12 {
            world.work().await;
            world.stand_still(MINUTE);
            world.heal().await.unwrap();
        }
        let places: Vec<_> = world
            .aws
            .ecs
            .tasks()
            .iter()
            .map(|task| (task.provider, task.network.to_string().contains("subnet-2")))
            .collect();
        let (spot, on_demand) = (ecs::Provider::Spot, ecs::Provider::OnDemand);
        assert_eq!(places, [(spot, false), (on_demand, false), (on_demand, true), (spot, false), (on_demand, false)]);
        world.run_runners();
        world.pass(PASS * 2);
        world.clean().await.unwrap();
        world.assert_done(&[job]);
    }
}

#[tokio::test]
async fn a_start_that_fails_for_another_reason_is_tried_on_the_same_capacity() {
    let mut world = World::with(&[("RUNNER_CLASSES", &spot_first())]).await;
    world.aws.ecs.fail_next_start(BAD_IMAGE);
    world.queue_and_deliver().await;
    world.work().await;
    world.stand_still(MINUTE);
    world.heal().await.unwrap();
    world.work_until_quiet().await;
    assert_eq!(providers(&world), [ecs::Provider::Spot; 2]);
}

#[tokio::test]
async fn a_runner_that_crashes_before_its_job_is_replaced() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    world.work().await;
    let task = world.aws.ecs.live_tasks().remove(0);
    world.aws.ecs.exit(&task.arn, 134);
    world.heal().await.unwrap();
    assert_eq!(world.waiting(), 1);
    world.run_runners();
    world.work_until_quiet().await;
    assert_eq!(world.github.job(job).unwrap().status, JobStatus::Completed);
}

#[tokio::test]
async fn a_runner_that_never_connects_is_taken_back_and_its_job_launched_again() {
    let mut world = World::new().await;
    world.start_tasks_after(Duration::from_hours(9));
    let job = world.queue_and_deliver().await;
    world.work().await;
    for _ in 0..4 {
        world.clean().await.unwrap();
        world.pass(PASS);
    }
    assert_eq!(world.live_tasks(), 1);
    world.pass(MINUTE);
    world.clean().await.unwrap();
    assert_eq!((world.live_tasks(), world.github.runners().len()), (0, 0));
    world.start_tasks_after(Duration::ZERO);
    world.heal().await.unwrap();
    world.work_until_quiet().await;
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_runner_that_connects_at_last_between_look_and_deletion_stays() {
    let mut world = World::new().await;
    world.start_tasks_after(Duration::from_hours(9));
    world.queue_and_deliver().await;
    world.work().await;
    world.pass(MINUTE * 21);
    let (github, runner) = (world.github.clone(), world.github.runners()[0].id);
    meanwhile(&world.api.faults, "get-runner", move || github.connect(runner).unwrap());
    world.clean().await.unwrap();
    assert_eq!((world.live_tasks(), world.api_calls("delete-runner")), (1, 0));
}

#[tokio::test]
async fn a_job_whose_registration_vanished_before_its_runner_came_gets_another() {
    let mut world = World::new().await;
    world.start_tasks_after(Duration::from_hours(9));
    let job = world.queue_and_deliver().await;
    world.work().await;
    assert!(world.github.delete_registration(world.github.runners()[0].id));
    world.start_tasks_after(Duration::ZERO);
    world.stand_still(MINUTE * 6);
    world.clean().await.unwrap();
    assert_eq!(world.waiting(), 1);
    world.work_until_quiet().await;
    world.clean().await.unwrap();
    world.pass(PASS);
    world.clean().await.unwrap();
    world.assert_done(&[job]);
}

#[tokio::test]
async fn an_ordinary_end_costs_no_call() {
    let mut world = World::new().await;
    world.queue_and_deliver().await;
    world.work().await;
    world.pass(PASS);
    world.api.calls.clear();
    world.aws.calls().clear();
    world.heal().await.unwrap();
    assert!(world.api.calls.all().is_empty() && world.aws.calls().all().is_empty());
}

/// The container that the class names decides, wherever ECS lists it and however the others end: a sidecar that is killed after
/// the runner, a mesh's proxy, an agent that AWS adds.
#[tokio::test]
async fn how_other_containers_end_says_nothing_about_the_runner() {
    let sidecars = [("proxy", 137), ("agent", 143), ("database", 0)];
    for end in [0, 134, 1] {
        let mut world = World::new().await;
        let mut definition = TaskDefinition::new("runner");
        for (name, exit_code) in sidecars {
            definition = definition.with_sidecar(name, exit_code);
        }
        world.aws.ecs.add_task_definition(definition);
        let job = world.queue_and_deliver().await;
        world.work().await;
        if end == 0 {
            world.pass(PASS);
            world.api.calls.clear();
            world.aws.calls().clear();
            world.heal().await.unwrap();
            assert!(world.api.calls.all().is_empty() && world.aws.calls().all().is_empty(), "an ordinary end");
            world.pass(MINUTE * 3);
            world.clean().await.unwrap();
            assert_eq!(world.api_calls("get-job"), 1, "asked once, as after any end");
        } else {
            let task = world.aws.ecs.live_tasks().remove(0);
            world.aws.ecs.exit(&task.arn, end);
            world.heal().await.unwrap();
            assert_eq!(world.waiting(), 1, "noticed by the event, not minutes later by a pass");
            world.run_runners();
            world.work_until_quiet().await;
            assert_eq!(world.github.job(job).unwrap().status, JobStatus::Completed);
        }
    }
}

/// An essential sidecar that ends first takes the task with it: the runner's container has no exit code, or that of its kill.
#[tokio::test]
async fn a_sidecar_that_ends_before_the_runner_has_run_is_no_ordinary_end() {
    let world = World::new().await;
    world.start_tasks_after(MINUTE);
    world.aws.ecs.add_task_definition(TaskDefinition::new("runner").with_sidecar("proxy", 0));
    world.queue_and_deliver().await;
    world.work().await;
    let task = world.aws.ecs.live_tasks().remove(0);
    world.aws.ecs.stop(&task.arn, ecs::StopCode::EssentialContainerExited, "Essential container in task exited");
    world.heal().await.unwrap();
    assert_eq!(world.waiting(), 1);
}

#[tokio::test]
async fn when_the_event_is_lost_the_schedule_heals() {
    let mut world = World::new().await;
    world.aws.ecs.fail_next_start(BAD_IMAGE);
    let job = world.queue_and_deliver().await;
    world.work().await;
    world.pass(PASS);
    world.clean().await.unwrap();
    world.work_until_quiet().await;
    world.pass(PASS * 2);
    world.clean().await.unwrap();
    world.assert_done(&[job]);
}

#[tokio::test]
async fn event_and_schedule_together_and_two_cleaners_at_once_make_one_runner() {
    let mut world = World::new().await;
    world.start_tasks_after(MINUTE);
    let job = world.queue_and_deliver().await;
    world.work().await;
    let task = world.aws.ecs.live_tasks().remove(0);
    world.aws.ecs.stop(&task.arn, ecs::StopCode::TaskFailedToStart, BAD_IMAGE);
    world.stand_still(MINUTE * 3);
    let (event, one, other) = tokio::join!(world.heal(), world.clean(), world.clean());
    assert!(event.is_ok() && one.is_ok() && other.is_ok());
    assert!((1..=3).contains(&world.waiting()), "a pass that sees a message on the queue sends none");
    for _ in 0..5 {
        world.work().await;
        world.clock.advance(Duration::from_secs(10));
    }
    assert_eq!(world.live_tasks(), 1);
    let own = &world.aws.ecs.live_tasks()[0].tags["jitgate:runner-id"];
    let of_second = world.github.runners().into_iter().filter(|runner| runner.name.contains(&format!("-{job}-2-")));
    assert_eq!(of_second.map(|runner| runner.id.to_string()).collect::<Vec<_>>(), std::slice::from_ref(own));
    world.work_until_quiet().await;
    world.pass(PASS * 2);
    let (one, other) = tokio::join!(world.clean(), world.clean());
    assert!(one.is_ok() && other.is_ok());
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_question_that_github_fails_to_answer_is_asked_again_at_once() {
    for operation in ["get-job", "get-run"] {
        let mut world = World::new().await;
        world.aws.ecs.fail_next_start(BAD_IMAGE);
        let job = world.queue_and_deliver().await;
        world.work().await;
        world.pass(MINUTE);
        world.api.faults.script(operation, Fault::LoseAnswer);
        world.api.faults.script(operation, Fault::Refuse(github::answers::bad_gateway()));
        world.heal().await.unwrap();
        world.work_until_quiet().await;
        assert_eq!(world.github.job(job).expect("it exists").status, JobStatus::Completed, "{operation}");
    }
}

#[tokio::test]
async fn a_job_that_no_longer_waits_is_not_launched_again() {
    let mut world = World::new().await;
    world.aws.ecs.fail_next_start(BAD_IMAGE);
    let job = world.queue_and_deliver().await;
    world.work().await;
    world.github.cancel_job(job);
    world.pass(PASS);
    world.heal().await.unwrap();
    world.clean().await.unwrap();
    assert_eq!(world.waiting(), 0);
}

#[tokio::test]
async fn a_queued_job_of_a_run_that_has_ended_is_left() {
    let mut world = World::new().await;
    world.aws.ecs.fail_next_start(BAD_IMAGE);
    let job = world.queue_and_deliver().await;
    world.work().await;
    world.pass(MINUTE);
    world.github.close_run(world.github.job(job).unwrap().run_id);
    world.heal().await.unwrap();
    for _ in 0..12 {
        world.pass(PASS);
        world.clean().await.unwrap();
    }
    assert_eq!(world.waiting(), 0);
}

#[tokio::test]
async fn a_job_whose_launches_all_fail_is_tried_for_a_day_ever_more_rarely_and_becomes_one_dead_letter() {
    let mut world = World::new().await;
    for _ in 0..200 {
        world.aws.ecs.fail_next_start(BAD_IMAGE);
    }
    world.queue_and_deliver().await;
    let mut after_an_hour = 0;
    for minute in 0..25 * 60 {
        world.work().await;
        world.pass(MINUTE);
        world.heal().await.unwrap();
        if minute % 5 == 0 {
            world.clean().await.unwrap();
        }
        if minute == 60 {
            after_an_hour = world.aws.ecs.tasks().len();
        }
    }
    let tasks = world.aws.ecs.tasks().len();
    assert!((8..=14).contains(&after_an_hour) && (20..=40).contains(&tasks), "{after_an_hour} and {tasks} tasks");
    let letters = world.dead_letters();
    assert!(letters.len() == 1 && letters[0].contains(BAD_IMAGE), "{letters:?}");
    assert_eq!(world.waiting(), 0);
}

/// ECS forgets the token of a launch an hour after its task.
#[tokio::test]
async fn what_is_left_of_a_first_launch_after_an_hour_starts_nothing_beside_a_later_one() {
    let mut world = World::new().await;
    world.start_tasks_after(MINUTE);
    world.aws.ecs.fail_starts(Some(BAD_IMAGE));
    let job = world.queue_and_deliver().await;
    let first = world.aws.sqs.messages(JOB_QUEUE)[0].body.clone();
    for _ in 0..75 {
        world.work().await;
        world.pass(MINUTE);
        world.heal().await.unwrap();
    }
    world.aws.ecs.fail_starts(None);
    for _ in 0..75 {
        if world.live_tasks() > 0 {
            break;
        }
        world.pass(MINUTE);
        world.work().await;
    }
    world.aws.sqs.put(JOB_QUEUE, &first);
    world.work().await;
    assert_eq!(world.live_tasks(), 1);
    world.pass(PASS);
    world.assert_done(&[job]);
}
