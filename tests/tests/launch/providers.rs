//! A class on a capacity provider: what `RunTask` says, what it must not say, and a lack of instances that shows late.

use std::time::Duration;

use jitgate::job::JobId;
use jitgate_tests::aws::ecs::{self, Limit, NetworkMode, Pace, Provider, TaskDefinition};
use jitgate_tests::github::JobSpec;
use jitgate_tests::world::{World, runner_classes};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_mins(1);

/// A class `docker` on instances; a job asks for it with the label `docker`.
fn docker() -> Value {
    json!({
        "name": "docker", "labels": ["docker"], "task_definition": "runner-docker", "subnets": ["subnet-private"],
        "security_groups": ["sg-1"], "capacity": [{ "provider": "instances" }], "cpu": 3, "memory": 5,
        "sizes": { "cpu": 6, "memory": 24 },
    })
}

async fn world_of(classes: Value, network: NetworkMode) -> World {
    let world = World::with(&[("RUNNER_CLASSES", &classes.to_string())]).await;
    world.aws.ecs.add_instances();
    world.aws.ecs.add_task_definition(TaskDefinition::new("runner-docker").on_instances(network));
    world
}

async fn queue(world: &World, labels: &[&str]) -> JobId {
    let job = world.github.queue_job(JobSpec::labels(labels.iter().copied()));
    assert_eq!(world.deliver_queued(job).await.status_code, 202);
    job
}

/// The last `RunTask`, without what a job and a moment put into it.
fn request(world: &World) -> Value {
    let call = world.aws.calls().all().into_iter().rfind(|call| call.operation == "RunTask").expect("a call");
    let mut request: Value = serde_json::from_str(&call.body).expect("JSON");
    for variable in request["overrides"]["containerOverrides"][0]["environment"].as_array_mut().expect("a list") {
        variable["value"] = "…".into();
    }
    for name in ["tags", "clientToken", "startedBy"] {
        request[name] = "…".into();
    }
    request
}

#[tokio::test]
async fn a_class_on_a_provider_runs_a_job_and_leaves_nothing_behind() {
    let mut world = world_of(json!([docker()]), NetworkMode::Awsvpc).await;
    let job = queue(&world, &["docker", "cpu=4"]).await;
    world.work().await;
    world.assert_one_runner();
    let task = world.aws.ecs.live_tasks().remove(0);
    assert_eq!((task.provider, task.resources.cpu_units, task.resources.memory), (Provider::Instances, 4096, 5120));
    insta::assert_json_snapshot!("run_task_on_a_provider", request(&world));
    world.pass(MINUTE * 5);
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_task_definition_in_host_mode_gets_no_network() {
    let mut class = docker();
    (class["subnets"], class["security_groups"]) = (json!([]), json!([]));
    let mut world = world_of(json!([class]), NetworkMode::Host).await;
    world.set("RUNNER_SECURITY_GROUPS", "sg-own");
    let worker = world.new_worker().expect("a complete environment");
    let job = queue(&world, &["docker"]).await;
    world.work_one_batch(&worker).await;
    insta::assert_json_snapshot!("run_task_in_host_mode", request(&world));
    world.pass(MINUTE * 5);
    world.assert_done(&[job]);
}

#[tokio::test]
async fn fargate_comes_first_and_keeps_its_own_form() {
    let mut class = runner_classes()[0].clone();
    class["assign_public_ip"] = json!(false);
    class["fallback"] = json!(["docker"]);
    let mut world = world_of(json!([class, docker()]), NetworkMode::Awsvpc).await;
    let first = queue(&world, &["fargate"]).await;
    world.work().await;
    assert_eq!(request(&world)["launchType"], "FARGATE");
    world.aws.ecs.set_limit(Provider::OnDemand, Limit::exhausted());
    let second = queue(&world, &["fargate"]).await;
    world.work().await;
    let providers: Vec<_> = world.aws.ecs.live_tasks().iter().map(|task| task.provider).collect();
    assert_eq!(providers, [Provider::OnDemand, Provider::Instances]);
    world.pass(MINUTE * 5);
    world.assert_done(&[first, second]);
}

#[tokio::test]
async fn instances_that_are_missing_late_let_the_job_wait_and_no_one_calls_the_class_broken() {
    let mut world = world_of(json!([docker()]), NetworkMode::Awsvpc).await;
    // ECS looks for an instance for some minutes before it fails the task.
    world.aws.ecs.set_pace(Pace { start: Some(MINUTE * 3), ..Pace::default() });
    world.aws.ecs.set_limit(Provider::Instances, Limit::exhausted());
    let mut jobs = Vec::new();
    for _ in 0..4 {
        jobs.push(queue(&world, &["docker"]).await);
    }
    let mut most_at_once = 0;
    for minute in 0..60 {
        world.work().await;
        most_at_once = most_at_once.max(world.live_tasks());
        world.stand_still(MINUTE);
        world.heal().await.expect("a cleaner that can do all it has to");
        if minute % 5 == 0 {
            world.clean().await.expect("the same");
        }
    }
    assert_eq!(most_at_once, jobs.len(), "one task a job at a time");
    let stopped = world.aws.ecs.tasks();
    let tries = stopped.len() / jobs.len();
    assert!((8..=13).contains(&tries), "each job tries every eight minutes at last: {tries} in an hour");
    assert!(stopped.iter().all(|task| task.started_at.is_none()), "none of them ran");
    assert_eq!(world.dead_letters(), Vec::<String>::new());
    world.aws.ecs.set_limit(Provider::Instances, Limit::default());
    for _ in 0..15 {
        world.work().await;
        world.pass(MINUTE);
        world.heal().await.expect("the same");
    }
    world.clean().await.expect("the same");
    world.pass(MINUTE * 11);
    world.clean().await.expect("the same");
    world.assert_done(&jobs);
}

#[tokio::test]
async fn too_many_tasks_that_wait_for_instances_are_a_lack_of_capacity() {
    let world = world_of(json!([docker()]), NetworkMode::Awsvpc).await;
    world.aws.ecs.set_pace(Pace { start: None, ..Pace::default() });
    world.aws.ecs.set_limit(Provider::Instances, Limit::tasks(1));
    queue(&world, &["docker"]).await;
    queue(&world, &["docker"]).await;
    world.work().await;
    assert_eq!((world.live_tasks(), world.waiting(), world.github.runners().len()), (1, 1, 1));
    world.aws.ecs.start(&world.aws.ecs.live_tasks()[0].arn);
    world.clock.advance(MINUTE * 2);
    world.work().await;
    assert_eq!((world.live_tasks(), world.waiting()), (2, 0));
}

#[tokio::test]
async fn a_class_says_how_long_a_start_may_take() {
    for (start_minutes, least, most) in [(Value::Null, 20, 25), (json!(35), 35, 40)] {
        let mut class = docker();
        class["start_minutes"] = start_minutes;
        let mut world = world_of(json!([class]), NetworkMode::Awsvpc).await;
        world.aws.ecs.set_pace(Pace { start: None, ..Pace::default() });
        queue(&world, &["docker"]).await;
        world.work().await;
        let mut minutes = 0;
        while world.aws.ecs.live_tasks().iter().any(ecs::Task::is_wanted) && minutes < 60 {
            world.pass(MINUTE * 5);
            minutes += 5;
            world.clean().await.expect("a cleaner that can do all it has to");
        }
        assert!((least..=most).contains(&minutes), "taken back after {minutes} minutes");
    }
}

#[tokio::test]
async fn a_provider_that_is_not_the_clusters_leaves_the_job_waiting_for_somebody_to_mend_it() {
    let world = World::with(&[("RUNNER_CLASSES", &json!([docker()]).to_string())]).await;
    world.aws.ecs.add_task_definition(TaskDefinition::new("runner-docker").on_instances(NetworkMode::Awsvpc));
    let job = queue(&world, &["docker"]).await;
    world.work().await;
    assert_eq!((world.live_tasks(), world.waiting(), world.github.runners().len()), (0, 1, 0));
    world.aws.ecs.add_instances();
    world.clock.advance(MINUTE * 6);
    world.work().await;
    assert_eq!(world.aws.ecs.started_by(&format!("jit-{job}-1")).len(), 1);
}
