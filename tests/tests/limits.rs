//! Stories of the limits: the number of live runners stays within them, and every job runs in the end.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jitgate::job::{JobId, Message};
use jitgate_tests::aws::ecs::Pace;
use jitgate_tests::aws::{answers, sqs::mapping::EventSource};
use jitgate_tests::github::{JobSpec, JobStatus};
use jitgate_tests::wire::Fault;
use jitgate_tests::world::{JOB_QUEUE, World, invoke, runner_classes};
use serde_json::json;

const LIST: &str = "ListTasks";

/// Two classes, of which the first has a limit of its own.
fn classes(max_runners: u32) -> String {
    let mut classes = runner_classes();
    let mut other = classes[0].clone();
    other["name"] = json!("other");
    other["labels"] = json!(["other"]);
    classes[0]["max_runners"] = json!(max_runners);
    json!([classes[0], other]).to_string()
}

async fn limited(max_runners: u32) -> World {
    World::with(&[("RUNNER_CLASSES", &classes(max_runners)), ("GITHUB_POINTS_PER_MINUTE", "0")]).await
}

async fn deliver(world: &World, jobs: usize) -> Vec<JobId> {
    let mut queued = Vec::new();
    for _ in 0..jobs {
        queued.push(world.queue_and_deliver().await);
    }
    queued
}

fn ended(world: &World, job: JobId) -> bool {
    world.github.job(job).expect("it exists").status == JobStatus::Completed
}

/// The worker works until the queue is empty. Asserts that there are never more tasks than `most`.
async fn work_off(world: &mut World, most: usize) {
    for _ in 0..200 {
        world.work().await;
        assert!(world.live_tasks() <= most, "{} tasks", world.live_tasks());
        if world.waiting() == 0 && world.live_tasks() == 0 {
            return;
        }
        world.pass(Duration::from_secs(15));
    }
    panic!("{} messages and {} tasks are left", world.waiting(), world.live_tasks());
}

#[tokio::test]
async fn a_class_stays_within_its_limit_and_each_job_runs_in_the_end() {
    let mut world = limited(3).await;
    let jobs = deliver(&world, 12).await;
    work_off(&mut world, 3).await;
    for job in jobs {
        assert!(ended(&world, job));
    }
    assert_eq!(world.dead_letters(), Vec::<String>::new());
    assert!(world.github.runners().is_empty());
}

#[tokio::test]
async fn a_job_over_the_limit_costs_github_no_call_and_none_of_its_tries() {
    let world = limited(1).await;
    let _first = deliver(&world, 1).await;
    world.work().await;
    let _second = deliver(&world, 1).await;
    world.api.calls.clear();
    for round in 1..=20_u32 {
        world.work().await;
        let [waiting] = &world.aws.sqs.messages(JOB_QUEUE)[..] else { panic!("one message") };
        let message = Message::parse(&waiting.body).expect("a job message");
        assert_eq!((message.progress.deferrals, message.progress.backoff), (round, 0), "its delay never grows");
        let delay = message.progress.not_before.expect("it waits") - world.clock.now();
        assert!((11..=75).contains(&delay.whole_seconds()), "{delay}");
        world.clock.advance_to(world.aws.sqs.next_visible_at(JOB_QUEUE).expect("a message"));
    }
    assert_eq!(world.api.calls.operations(), Vec::<String>::new());
    assert_eq!(world.live_tasks(), 1);
    assert_eq!(world.dead_letters(), Vec::<String>::new());
}

#[tokio::test]
async fn a_job_that_was_cancelled_while_it_waited_gets_no_runner() {
    let mut world = limited(1).await;
    deliver(&world, 1).await;
    world.work().await;
    let second = deliver(&world, 1).await[0];
    world.work().await;
    world.github.cancel_job(second);
    world.deliver(&world.github.event(second, "completed")).await;
    work_off(&mut world, 1).await;
    assert_eq!(world.aws.ecs.tasks().len(), 1);
}

#[tokio::test]
async fn jobs_that_waited_longest_are_launched_first() {
    let world = limited(2).await;
    let old = deliver(&world, 2).await;
    world.clock.advance(Duration::from_mins(4));
    deliver(&world, 8).await;
    world.work().await;
    let launched: Vec<_> = world.aws.ecs.live_tasks().iter().filter_map(|task| task.started_by.clone()).collect();
    let expected: Vec<_> = old.iter().map(|job| format!("jit-{job}-1")).collect();
    assert_eq!(launched, expected);
}

#[tokio::test]
async fn ecs_is_asked_once_a_batch_and_only_where_there_is_a_limit() {
    let world = limited(30).await;
    deliver(&world, 10).await;
    world.aws.calls().clear();
    world.work().await;
    assert_eq!(world.live_tasks(), 10);
    assert_eq!(world.aws.calls().count(LIST), 1);
    world.aws.calls().clear();
    let other = world.github.queue_job(JobSpec::labels(["other"]));
    world.deliver_queued(other).await;
    world.work().await;
    assert_eq!((world.live_tasks(), world.aws.calls().count(LIST)), (11, 0), "its class has no limit");
}

#[tokio::test]
async fn the_fleets_limit_applies_to_all_classes_together() {
    let settings = [("RUNNER_CLASSES", &*classes(3)), ("MAX_RUNNERS", "4"), ("GITHUB_POINTS_PER_MINUTE", "0")];
    let mut world = World::with(&settings).await;
    deliver(&world, 6).await;
    for _ in 0..6 {
        let other = world.github.queue_job(JobSpec::labels(["other"]));
        world.deliver_queued(other).await;
    }
    world.work().await;
    assert_eq!(world.live_tasks(), 4);
    let of_class = world.aws.ecs.live_tasks().iter().filter(|task| task.tags["jitgate:class"] == "default").count();
    assert_eq!(of_class, 3, "the class's own limit applies too");
    work_off(&mut world, 4).await;
    assert!(world.github.jobs().iter().all(|job| job.status == JobStatus::Completed));
}

#[tokio::test]
async fn no_job_with_a_limit_is_launched_while_ecs_does_not_answer() {
    let mut world = limited(3).await;
    let job = deliver(&world, 1).await[0];
    world.aws.faults().script_times(LIST, Fault::Refuse(answers::throttling()), 3);
    world.work().await;
    assert_eq!((world.live_tasks(), world.waiting()), (0, 1));
    work_off(&mut world, 1).await;
    assert!(ended(&world, job));
}

#[tokio::test]
async fn a_repeated_launch_does_not_count_towards_the_limit() {
    let mut world = limited(1).await;
    let job = deliver(&world, 1).await[0];
    world.deliver_queued(job).await;
    world.work().await;
    assert_eq!((world.live_tasks(), world.waiting()), (1, 0), "the repeat found the job's own task");
    work_off(&mut world, 1).await;
}

/// Five workers that list tasks at the same moment see the same count: each may fill the limit, as the README says.
#[tokio::test]
async fn five_workers_at_once_overshoot_by_four_batches_at_most_and_later_by_nothing() {
    const WORKERS: usize = 5;
    const BATCH: usize = 10;
    const LIMIT: usize = 12;
    let mut world = limited(12).await;
    world.aws.ecs.set_pace(Pace {
        start: Some(Duration::from_hours(1)),
        appear: Duration::from_secs(5),
        ..Pace::default()
    });
    deliver(&world, 200).await;
    let source = EventSource::new(Arc::clone(&world.aws.sqs), JOB_QUEUE).allow_loops();
    let workers: Vec<_> = (0..WORKERS).map(|_| world.new_worker().expect("a complete environment")).collect();
    let mut most = 0;
    for round in 0..40 {
        let batches: Vec<_> = workers.iter().filter_map(|worker| Some((worker, source.take()?))).collect();
        let answers = join_all(batches.iter().map(|(worker, batch)| invoke(worker, batch.event().clone()))).await;
        for ((_, batch), answer) in batches.iter().zip(&answers) {
            assert!(source.settle(batch, answer).returned.is_empty());
        }
        most = most.max(world.live_tasks());
        if round == 0 {
            assert!(most > LIMIT, "the race is real: {most}");
        }
        world.pass(Duration::from_secs(5));
    }
    assert!(most <= LIMIT + (WORKERS - 1) * BATCH, "{most} tasks");
    assert!(world.waiting() >= 200 - most);
    assert_eq!(world.dead_letters(), Vec::<String>::new());
}
