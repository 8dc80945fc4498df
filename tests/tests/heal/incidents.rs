//! Incidents of hours, after the launch: GitHub assigns no jobs or turns runners away, starts fail late, runners hang. No
//! job is lost, each costs a bounded number of tasks, and soon after the end all of them run.

use std::time::Duration;

use jitgate::job::JobId;
use jitgate_tests::aws::ecs::TaskDefinition;
use jitgate_tests::github::{JobSpec, JobStatus, ORGANIZATION};
use jitgate_tests::logs::logged;
use jitgate_tests::world::{World, runner_classes};
use serde_json::json;

use crate::{BAD_IMAGE, MINUTE, PASS, SCOPES, long};

/// Tasks run within this time.
pub(crate) const START: Duration = Duration::from_secs(45);

/// How often the worker and the cleaner's events are looked after.
const STEP: Duration = Duration::from_secs(15);

/// Jobs are queued and delivered.
pub(crate) async fn queue(world: &World, jobs: usize) -> Vec<JobId> {
    let mut queued = Vec::new();
    for _ in 0..jobs {
        queued.push(world.queue_and_deliver().await);
    }
    queued
}

/// The same, each in a repository of its own.
async fn queue_in_many_repositories(world: &World, jobs: usize) -> Vec<JobId> {
    let mut queued = Vec::new();
    for number in 0..jobs {
        let spec = JobSpec::labels(["fargate"]).in_repository(ORGANIZATION, &format!("repository-{number}"));
        queued.push(world.github.queue_job(spec));
        assert_eq!(world.deliver_queued(queued[number]).await.status_code, 202);
    }
    queued
}

/// The functions work while this time passes. Returns what they logged.
async fn live(world: &mut World, time: Duration) -> String {
    live_in_steps(world, time, STEP).await
}

/// The same for hours, in which little changes after the first minutes.
async fn live_long(world: &mut World, time: Duration) -> String {
    let beginning = MINUTE * 20;
    live(world, beginning).await + &live_in_steps(world, time.saturating_sub(beginning), MINUTE).await
}

pub(crate) async fn live_in_steps(world: &mut World, time: Duration, step: Duration) -> String {
    let end = world.clock.now() + time;
    let mut said = String::new();
    while world.clock.now() < end {
        let seconds = world.clock.now().unix_timestamp();
        let ((), lines) = logged(async {
            world.work().await;
            world.heal().await.expect("an event that is handled");
            let [pass, step] = [PASS, step].map(|each| i64::try_from(each.as_secs()).expect("small"));
            if seconds % pass < step {
                // While GitHub limits its calls, a pass leaves steps to the next one.
                let _ = world.clean().await;
            }
        })
        .await;
        said += &lines;
        world.pass(step);
    }
    said
}

/// Lets the functions work until all jobs are done; fails after that time. Prints what the incident has cost.
async fn until_done(world: &mut World, jobs: &[JobId], within: Duration) {
    let begun = world.clock.now();
    let is_done = |world: &World, job: &JobId| world.github.job(*job).expect("a job").status == JobStatus::Completed;
    while !jobs.iter().all(|job| is_done(world, job)) {
        let waiting = jobs.iter().filter(|job| !is_done(world, job)).count();
        assert!(world.clock.now() - begun < within, "{waiting} jobs are not done after {within:?}");
        live(world, STEP).await;
    }
    assert!(jobs.iter().all(|job| world.github.job(*job).expect("a job").times_taken == 1));
    assert_eq!(world.dead_letters(), Vec::<String>::new());
    let minutes = (world.clock.now() - begun).as_seconds_f64() / 60.0;
    let (tasks, most) = (world.aws.ecs.tasks().len(), most_tasks_of_a_job(world, jobs));
    eprintln!("{} jobs: done after {minutes:.1} min; {tasks} tasks in all, {most} for a job at most", jobs.len());
}

/// The most tasks that one job had.
fn most_tasks_of_a_job(world: &World, jobs: &[JobId]) -> usize {
    let of = |job: &JobId| {
        let tasks = world.aws.ecs.tasks();
        let token = format!("jit-{job}-");
        tasks.iter().filter(|task| task.started_by.as_ref().is_some_and(|by| by.starts_with(&token))).count()
    };
    jobs.iter().map(of).max().unwrap_or_default()
}

#[tokio::test]
async fn while_github_assigns_no_jobs_for_three_hours_one_idle_runner_waits_for_its_return() {
    for (settings, hours) in SCOPES.into_iter().zip([3, 1, 1]) {
        let mut world = long(settings).await;
        world.start_tasks_after(START);
        world.github.behave(|behaviour| behaviour.dispatches = false);
        let jobs = queue_in_many_repositories(&world, 20).await;
        let said = live_long(&mut world, MINUTE * 60 * hours).await;
        assert!(said.contains("GitHub gives idle runners no jobs"), "{settings:?}");
        let left = (world.live_tasks(), world.dead_letters().len());
        assert_eq!(left, (1, 0), "{settings:?}: the others are gone, and none is given up");
        world.github.behave(|behaviour| behaviour.dispatches = true);
        until_done(&mut world, &jobs, MINUTE * 15).await;
        let (most, tasks) = (most_tasks_of_a_job(&world, &jobs), world.aws.ecs.tasks().len());
        // Two in vain, one whose runner did another job, and its own.
        assert!(most <= 4 && tasks <= 2 * jobs.len() + 3, "{settings:?}: {most} tasks for a job, {tasks} in all");
    }
}

#[tokio::test]
async fn an_idle_runner_that_github_has_forgotten_keeps_nobody_waiting_for_long() {
    let mut world = long(&[]).await;
    world.start_tasks_after(START);
    world.github.behave(|behaviour| behaviour.dispatches = false);
    let jobs = queue(&world, 10).await;
    live_long(&mut world, MINUTE * 60).await;
    let [probe] = &world.github.runners()[..] else { panic!("one idle runner") };
    world.github.forget_runner(probe.id);
    world.github.behave(|behaviour| behaviour.dispatches = true);
    until_done(&mut world, &jobs, MINUTE * 60).await;
}

/// Runners from before March 2026 end with 0 whatever happens.
#[tokio::test]
async fn while_github_turns_runners_away_for_two_hours_one_probe_goes_in_five_minutes() {
    let image = "ghcr.io/actions/actions-runner:latest@sha256:4f0a2c61b7d3";
    for (runners_say_why, reason) in [
        (true, "GitHub turns this version of the runner away (exit code 7): use another image than"),
        (false, "its runner ended before it had a job (exit code 0): its log says why; its image is"),
    ] {
        let mut world = long(&[]).await;
        world.start_tasks_after(START);
        world.github.behave(|behaviour| {
            behaviour.turns_runners_away = true;
            behaviour.runners_say_why = runners_say_why;
        });
        let jobs = queue(&world, 50).await;
        let said = live_long(&mut world, MINUTE * 120).await;
        let refused = format!("held back: the last runners of the class failed: {reason} {image}");
        assert!(said.contains(&refused), "{reason}: it names the image");
        let tasks = world.aws.ecs.tasks().len();
        assert!((60..=80).contains(&tasks), "{reason}: {tasks} tasks: one a job, and the probes");
        world.github.behave(|behaviour| behaviour.turns_runners_away = false);
        until_done(&mut world, &jobs, MINUTE * 15).await;
    }
}

#[tokio::test]
async fn while_runners_cannot_reach_github_for_three_hours_one_probe_goes_in_five_minutes() {
    let mut world = long(&[]).await;
    world.start_tasks_after(START);
    world.github.behave(|behaviour| behaviour.is_reachable = false);
    let jobs = queue(&world, 20).await;
    let said = live_long(&mut world, MINUTE * 180).await;
    assert!(said.contains("held back: the last runners of the class failed: jitgate: its runner never connected"));
    let tasks = world.aws.ecs.tasks().len();
    assert!(tasks <= 3 * jobs.len(), "{tasks} tasks");
    world.github.behave(|behaviour| behaviour.is_reachable = true);
    until_done(&mut world, &jobs, MINUTE * 15).await;
}

#[tokio::test]
async fn starts_that_fail_late_for_forty_minutes_are_waited_out() {
    for (reason, after) in [
        ("Timeout waiting for network interface provisioning to complete: no free addresses in subnet-1", 15),
        ("CannotPullContainerError: toomanyrequests: 429", 60),
        ("CannotPullContainerError: toomanyrequests: 429", 180),
        ("Capacity is unavailable at this time. Please try again later or in a different availability zone", 180),
    ] {
        let mut world = long(&[]).await;
        world.start_tasks_after(Duration::from_secs(after));
        world.aws.ecs.fail_starts(Some(reason));
        let jobs = queue(&world, 10).await;
        live(&mut world, MINUTE * 40).await;
        world.aws.ecs.fail_starts(None);
        world.start_tasks_after(START);
        until_done(&mut world, &jobs, MINUTE * 10).await;
        let tasks = world.aws.ecs.tasks().len();
        assert!(tasks <= 12 * jobs.len(), "{reason}: {tasks} tasks");
    }
}

#[tokio::test]
async fn a_class_that_fails_holds_nothing_back_in_another() {
    let mut classes = runner_classes();
    let mut broken = classes[0].clone();
    (broken["name"], broken["labels"], broken["task_definition"]) = ("broken".into(), json!(["gpu"]), "broken".into());
    classes.as_array_mut().expect("a list").push(broken);
    let mut world = long(&[("RUNNER_CLASSES", &classes.to_string())]).await;
    world.aws.ecs.add_task_definition(TaskDefinition::new("broken"));
    world.aws.ecs.fail_starts_of("broken", Some(BAD_IMAGE));
    world.start_tasks_after(START);
    let mut waiting = Vec::new();
    for _ in 0..6 {
        waiting.push(world.github.queue_job(JobSpec::labels(["gpu"])));
        world.deliver_queued(waiting[waiting.len() - 1]).await;
    }
    let said = live(&mut world, MINUTE * 15).await;
    assert!(said.contains("held back"));
    let tasks = world.aws.ecs.tasks().len();
    assert!(tasks <= 6 + 6, "{tasks} tasks: the probes beside one for each job");
    // Its jobs are launched again at their own times, although one of them fails three times.
    for _ in 0..3 {
        world.aws.ecs.fail_next_start(BAD_IMAGE);
    }
    let jobs = queue(&world, 1).await;
    until_done(&mut world, &jobs, MINUTE * 5).await;
    world.aws.ecs.fail_starts_of("broken", None);
    until_done(&mut world, &waiting, MINUTE * 10).await;
}

#[tokio::test]
async fn a_runner_that_loses_its_connection_for_good_is_replaced_within_half_an_hour() {
    for settings in SCOPES {
        let mut world = long(settings).await;
        world.start_tasks_after(START);
        world.github.behave(|behaviour| behaviour.dispatches = false);
        let jobs = queue(&world, 1).await;
        live(&mut world, MINUTE).await;
        world.hang_runners();
        world.github.behave(|behaviour| behaviour.dispatches = true);
        assert_eq!(world.live_tasks(), 1, "{settings:?}: its container goes on");
        until_done(&mut world, &jobs, MINUTE * 25).await;
        assert_eq!(world.aws.ecs.tasks().len(), 2, "{settings:?}");
    }
}

#[tokio::test]
async fn two_hundred_tasks_that_fail_at_once_make_no_event_fail() {
    let mut world = long(&[]).await;
    world.start_tasks_after(START);
    world.aws.ecs.fail_starts(Some("CannotPullContainerError: toomanyrequests: 429"));
    let jobs = queue(&world, 200).await;
    // `live` fails if an event does.
    live(&mut world, MINUTE * 10).await;
    world.aws.ecs.fail_starts(None);
    until_done(&mut world, &jobs, MINUTE * 20).await;
}

/// How many tasks ECS was asked to describe so far, each time counted.
fn described(world: &World) -> usize {
    let calls = world.aws.calls().all();
    let looks = calls.iter().filter(|call| call.operation == "DescribeTasks");
    looks.map(|look| look.body.matches(":task/").count()).sum()
}

#[tokio::test]
async fn retries_that_come_by_one_after_the_other_share_a_look_and_ask_about_each_stopped_task_once() {
    let mut world = long(&[]).await;
    world.start_tasks_after(START);
    world.aws.ecs.fail_starts(Some("CannotPullContainerError: toomanyrequests: 429"));
    queue(&world, 35).await;
    world.work().await;
    world.pass(MINUTE);
    world.heal().await.expect("an event that is handled");
    let by_events = described(&world);
    world.pass(STEP);
    let listed = world.aws.calls().count("ListTasks");
    world.work().await;
    assert_eq!((world.aws.calls().count("ListTasks") - listed, described(&world) - by_events), (2, 35));
    assert_eq!(world.live_tasks(), 1, "the probe");
    world.pass(MINUTE * 2);
    world.work().await;
    assert_eq!(described(&world) - by_events, 36, "the probe's end is new");
}
