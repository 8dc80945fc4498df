//! Stories of runner classes: what a job asks for by its labels, and what runner it gets.

use std::time::Duration;

use jitgate_tests::aws::answers;
use jitgate_tests::aws::ecs::{Limit, Provider, Resources, Task, TaskDefinition};
use jitgate_tests::github::{JobSpec, ORGANIZATION, Scope};
use jitgate_tests::wire::Fault;
use jitgate_tests::world::{World, runner_classes};
use serde_json::{Value, json};

/// The default class with some keys changed.
fn class(changes: &Value) -> Value {
    let mut class = runner_classes()[0].clone();
    for (key, value) in changes.as_object().expect("an object") {
        class[key] = value.clone();
    }
    class
}

/// A class with task definitions for both architectures, where jobs may choose everything.
fn sized() -> Value {
    class(&json!({
        "task_definition": { "x86_64": "runner", "arm64": "runner-arm64" },
        "capacity": ["spot", "on-demand"],
        "sizes": { "cpu": 8, "memory": 32, "disk": 100, "arch": true, "spot": true, "run": true },
    }))
}

async fn world(classes: &[Value]) -> World {
    let world = World::with(&[("RUNNER_CLASSES", &Value::from(classes.to_vec()).to_string())]).await;
    world.aws.ecs.add_task_definition(TaskDefinition::new("runner-arm64"));
    world
}

/// The task of a job with these labels. Asserts that its registration has exactly these labels.
async fn launch(world: &World, labels: &[&str]) -> Task {
    let before = world.live_tasks();
    let job = world.github.queue_job(JobSpec::labels(labels.to_vec()));
    let answer = world.deliver_queued(job).await;
    assert_eq!(answer.status_code, 202, "{}", answer.body);
    world.work().await;
    assert_eq!(world.live_tasks(), before + 1, "{labels:?}: {:?}", world.dead_letters());
    let task = world.aws.ecs.live_tasks().pop().expect("it was started");
    let runner = world.github.runners().pop().expect("it is registered");
    assert_eq!(task.tags["jitgate:runner-id"], runner.id.to_string());
    assert_eq!(runner.labels, labels, "exactly the job's labels");
    task
}

/// The reason in the webhook's answer to a job that it ignores.
async fn ignored(world: &World, job: JobSpec) -> String {
    let job = world.github.queue_job(job);
    let answer = world.deliver_queued(job).await;
    assert_eq!((answer.status_code, world.waiting()), (200, 0), "{}", answer.body);
    let body: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(body["status"], "ignored");
    body["reason"].as_str().expect("a reason").to_owned()
}

fn resources(vcpu: u32, gib: u32, disk: u32) -> Resources {
    Resources { cpu_units: vcpu * 1024, memory: gib * 1024, disk }
}

#[tokio::test]
async fn a_job_gets_the_size_architecture_and_capacity_that_it_asks_for_or_the_next_above() {
    let world = world(&[sized()]).await;
    let task =
        launch(&world, &["fargate", "cpu=3", "memory=9", "disk=50", "arch=arm64", "spot=false", "run=7-0"]).await;
    assert_eq!(task.resources, resources(4, 9, 50));
    assert_eq!((task.definition.family.as_str(), task.provider), ("runner-arm64", Provider::OnDemand));
    let task = launch(&world, &["fargate/CPU=3/memory=9/disk=50/arch=aarch64/spot=false/run=7-1"]).await;
    assert_eq!(task.resources, resources(4, 9, 50), "the combined form means the same");
    assert_eq!((task.definition.family.as_str(), task.provider), ("runner-arm64", Provider::OnDemand));
    let task = launch(&world, &["fargate", "spot=true"]).await;
    assert_eq!(task.resources, resources(1, 2, 20), "the task definition's");
    assert_eq!((task.definition.family.as_str(), task.provider), ("runner", Provider::Spot));
}

#[tokio::test]
async fn a_job_that_asks_for_nothing_gets_the_size_of_its_class() {
    let world = world(&[class(&json!({ "cpu": 2, "memory": 16, "disk": 40, "sizes": { "cpu": 4 } }))]).await;
    assert_eq!(launch(&world, &["fargate"]).await.resources, resources(2, 16, 40));
    assert_eq!(
        launch(&world, &["fargate", "cpu=1"]).await.resources,
        resources(1, 8, 40),
        "as near as Fargate permits"
    );
}

#[tokio::test]
async fn what_is_too_large_malformed_or_contradictory_is_refused_with_what_is_permitted() {
    let world = world(&[sized()]).await;
    for (labels, says) in [
        (&["fargate", "cpu=16"][..], "class default: cpu=16 (16 vCPU and 32 GiB on Fargate) is too large: 8 vCPU"),
        (&["fargate", "memory=33"], "is too large: 8 vCPU and 32 GiB at most"),
        (&["fargate", "memory=500"], "memory=500 is too large: Fargate has 16 vCPU and 120 GiB at most"),
        (&["fargate", "disk=101"], "disk=101 is too large: 100 GiB at most"),
        (&["fargate", "cpu=many"], "cpu=many is malformed: a number of vCPU"),
        (&["fargate", "arch=riscv"], "arch=riscv is malformed: x86_64 or arm64"),
        (&["fargate", "cpu=2", "cpu=4"], "cpu=2 and cpu=4 contradict each other"),
        (&["fargate/cpu=2/cpu=4"], "cpu=2 and cpu=4 contradict each other"),
        (&["fargate/cpu=2/colour=red"], "\"colour=red\" in fargate/cpu=2/colour=red is not one of its labels"),
        (&["cpu=2/fargate"], "a combined label begins with one of the class's labels"),
        (&["fargate", "ram=4"], "no runner class has all labels"),
        (&["fargate", "image=ubuntu24"], "image=ubuntu24 is not available on Fargate"),
        (&["fargate", "gpu"], "gpu is not available on Fargate"),
    ] {
        let reason = ignored(&world, JobSpec::labels(labels.to_vec())).await;
        assert!(reason.contains(says), "{labels:?}: {reason}");
    }
    let world = World::new().await;
    let reason = ignored(&world, JobSpec::labels(["fargate", "cpu=2"])).await;
    assert!(reason.contains("cpu=2 cannot be chosen by jobs; sizes permits nothing"), "{reason}");
}

#[tokio::test]
async fn an_architecture_without_a_task_definition_is_refused() {
    let world = world(&[class(&json!({ "sizes": { "arch": true } }))]).await;
    let reason = ignored(&world, JobSpec::labels(["fargate", "arch=arm64"])).await;
    assert!(reason.contains("arch=arm64 is not available: task_definition has x86_64"), "{reason}");
    launch(&world, &["fargate", "arch=x64"]).await;
}

#[tokio::test]
async fn a_class_may_have_the_other_architecture() {
    let definitions = json!({ "x86_64": "runner", "arm64": "runner-arm64" });
    let world = world(&[class(&json!({ "task_definition": definitions, "architecture": "arm64" }))]).await;
    assert_eq!(launch(&world, &["fargate"]).await.definition.family, "runner-arm64");
}

#[tokio::test]
async fn a_job_too_large_for_one_class_gets_the_next_that_permits_it() {
    let large = class(&json!({ "name": "large", "sizes": { "cpu": 16 } }));
    let world = world(&[class(&json!({ "sizes": { "cpu": 2 } })), large]).await;
    assert_eq!(launch(&world, &["fargate", "cpu=2"]).await.tags["jitgate:class"], "default");
    assert_eq!(launch(&world, &["fargate", "cpu=16"]).await.tags["jitgate:class"], "large");
}

#[tokio::test]
async fn workflows_written_for_another_fleet_run_unchanged_where_a_class_says_so() {
    let theirs = class(&json!({
        "compatible": ["runs-on"],
        "sizes": { "cpu": 8, "memory": 32 },
    }));
    let codebuild = class(&json!({
        "name": "codebuild",
        "labels": ["codebuild-web-*"],
        "task_definition": { "x86_64": "runner", "arm64": "runner-arm64" },
        "compatible": ["codebuild"],
        "sizes": { "cpu": 8, "memory": 32, "arch": true },
    }));
    let world = world(&[theirs, codebuild]).await;
    let task = launch(&world, &["runs-on=4711/cpu=4/ram=16/family=m7a+m7i/image=ubuntu24-full-x64"]).await;
    assert_eq!((task.resources, task.tags["jitgate:class"].as_str()), (resources(4, 16, 20), "default"));
    let task = launch(&world, &["runs-on=4711,cpu=4,ram=16,family=m7a"]).await;
    assert_eq!(task.resources, resources(4, 16, 20));
    let task = launch(&world, &["runs-on=4711", "cpu=1", "ram=8"]).await;
    assert_eq!(task.resources, resources(1, 8, 20));
    for labels in [
        &["codebuild-web-4711-1", "image:arm-3.0", "instance-size:small"][..],
        &["codebuild-web-4711-1 image:arm-3.0 instance-size:small"],
    ] {
        let task = launch(&world, labels).await;
        assert_eq!((task.resources, task.tags["jitgate:class"].as_str()), (resources(2, 4, 20), "codebuild"));
        assert_eq!(task.definition.family, "runner-arm64");
    }
    let reason = ignored(&world, JobSpec::labels(["runs-on=1/cpu=4/ssh=true"])).await;
    assert!(reason.contains("class default: ssh=true cannot be had: no SSH to a runner"), "{reason}");
    let reason = ignored(&world, JobSpec::labels(["runs-on=1/cpu=4/family=g5/image=windows25-full-x64"])).await;
    assert!(reason.contains("family=g5 cannot be had: no GPU") && reason.contains("no Windows"), "{reason}");
    ignored(&world, JobSpec::labels(["codebuild-api-4711-1"])).await;
}

#[tokio::test]
async fn the_bare_self_hosted_matches_only_where_a_class_lets_it() {
    let world = world(&[class(&json!({ "labels": ["a"] })), class(&json!({ "name": "b", "self_hosted": true }))]).await;
    ignored(&world, JobSpec::labels(["self-hosted", "a"])).await;
    assert_eq!(launch(&world, &["Self-Hosted", "fargate"]).await.tags["jitgate:class"], "b");
    assert_eq!(launch(&world, &["self-hosted"]).await.tags["jitgate:class"], "b");
}

#[tokio::test]
async fn a_class_for_some_repositories_leaves_the_others_to_the_next() {
    let own = class(&json!({ "name": "own", "repositories": ["octo-org/secret-*"] }));
    let world = world(&[own.clone(), class(&json!({ "labels": ["linux"] }))]).await;
    world.github.add_repository(ORGANIZATION, "secret-tools");
    let job = JobSpec::labels(["linux"]);
    for (job, class) in [(job.clone().in_repository(ORGANIZATION, "secret-tools"), "own"), (job, "default")] {
        let job = world.github.queue_job(job);
        assert_eq!(world.deliver_queued(job).await.status_code, 202);
        world.work().await;
        assert_eq!(world.aws.ecs.live_tasks().pop().unwrap().tags["jitgate:class"], class);
    }
    let reason = ignored(&world, JobSpec::labels(["fargate"])).await;
    assert!(reason.contains("class own: it is not for repository octo-org/octo-repo"), "{reason}");
}

#[tokio::test]
async fn environment_and_tags_of_a_class_are_on_its_tasks() {
    let variables = json!({ "HTTPS_PROXY": "http://proxy.example:3128", "EMPTY": "" });
    let world = world(&[class(&json!({ "environment": variables, "tags": { "team": "build" } }))]).await;
    let task = launch(&world, &["fargate"]).await;
    let environment = task.environment();
    assert_eq!((environment["HTTPS_PROXY"].as_str(), environment["EMPTY"].as_str()), ("http://proxy.example:3128", ""));
    assert_eq!(environment.len(), 6, "and jitgate's own four");
    assert_eq!((task.tags["team"].as_str(), task.tags["jitgate:class"].as_str()), ("build", "default"));
}

#[tokio::test]
async fn the_longest_environment_and_message_fit_the_overrides() {
    // The environment has 1,499 characters; the repositories that the gate lets in take the rest of 1,700.
    let rest = ["*/*".to_owned() + &"*".repeat(185)];
    fits(&json!({ "environment": { "A": "\"".repeat(745) }, "repositories": rest })).await;
    // 2 for no environment, 1,566 and 131 for the scripts: 1,699.
    fits(&json!({ "job_started": "\n".repeat(761) + "ls", "job_completed": "exit 0" })).await;
}

async fn fits(longest: &Value) {
    let mut longest = longest.clone();
    longest["name"] = "n".repeat(24).into();
    let world = world(&[class(&longest)]).await;
    let long = "x".repeat(100);
    world.github.add_repository(ORGANIZATION, &long);
    let job = world.github.queue_job(JobSpec::labels(["fargate"]).in_repository(ORGANIZATION, &long));
    world.deliver_queued(job).await;
    world.work().await;
    assert_eq!((world.live_tasks(), world.dead_letters().len()), (1, 0), "{:?}", world.dead_letters());
}

#[tokio::test]
async fn a_class_without_security_groups_gets_the_stacks_own() {
    let classes = [class(&json!({ "security_groups": [] })), class(&json!({ "name": "own", "labels": ["own"] }))];
    let classes = Value::from(classes.to_vec()).to_string();
    let world = World::with(&[("RUNNER_CLASSES", &classes), ("RUNNER_SECURITY_GROUPS", "sg-stack,sg-2")]).await;
    assert_eq!(launch(&world, &["fargate"]).await.network["securityGroups"], json!(["sg-stack", "sg-2"]));
    assert_eq!(launch(&world, &["own"]).await.network["securityGroups"], json!(["sg-1"]));
}

#[tokio::test]
async fn what_a_job_chose_applies_to_the_fallbacks_too() {
    let first = class(&json!({
        "fallback": ["x86", "other"], "sizes": { "cpu": 8, "arch": true },
        "task_definition": { "x86_64": "runner", "arm64": "runner-arm64" },
    }));
    let x86 = class(&json!({ "name": "x86", "labels": ["x86"], "subnets": ["subnet-2"] }));
    let other = class(&json!({
        "name": "other", "labels": ["other"], "cpu": 1, "memory": 2, "subnets": ["subnet-3"],
        "task_definition": { "x86_64": "runner", "arm64": "runner-arm64" },
    }));
    let world = world(&[first, x86, other]).await;
    world.aws.faults().script("RunTask", Fault::Refuse(answers::failure(answers::CAPACITY_UNAVAILABLE)));
    let task = launch(&world, &["fargate", "cpu=4", "arch=arm64"]).await;
    assert_eq!(task.resources, resources(4, 8, 20));
    assert!(task.network.to_string().contains("subnet-3"), "x86 cannot stand in for ARM: {}", task.network);
    assert_eq!(task.definition.family, "runner-arm64");
}

#[tokio::test]
async fn no_capacity_for_large_runners_leaves_capacity_for_small_ones() {
    let world = world(&[class(&json!({ "sizes": { "cpu": 16 } }))]).await;
    world.aws.ecs.set_limit(Provider::OnDemand, Limit::vcpus(6));
    let large = world.github.queue_job(JobSpec::labels(["fargate", "cpu=16"]));
    world.deliver_queued(large).await;
    world.work().await;
    assert_eq!((world.live_tasks(), world.waiting()), (0, 1));
    launch(&world, &["fargate", "cpu=2"]).await;
}

#[tokio::test]
async fn a_job_whose_class_has_changed_while_it_waited_gets_another_or_is_given_up_with_the_reason() {
    let mut world = world(&[sized()]).await;
    let large = world.github.queue_job(JobSpec::labels(["fargate", "cpu=8"]));
    let small = world.github.queue_job(JobSpec::labels(["fargate", "cpu=2"]));
    for job in [large, small] {
        assert_eq!(world.deliver_queued(job).await.status_code, 202);
    }
    let changed = [class(&json!({ "name": "renamed", "sizes": { "cpu": 4 } }))];
    world.set("RUNNER_CLASSES", &Value::from(changed.to_vec()).to_string());
    world.worker = world.new_worker().unwrap();
    world.work().await;
    let task = world.aws.ecs.live_tasks().remove(0);
    assert_eq!((task.resources, task.tags["jitgate:class"].as_str()), (resources(2, 4, 20), "renamed"));
    assert!(world.dead_letters()[0].contains("class renamed: cpu=8"), "{:?}", world.dead_letters());
}

#[tokio::test]
async fn a_runner_group_is_found_by_its_name_once() {
    let classes = [class(&json!({ "runner_group_id": null, "runner_group": "large RUNNERS" }))];
    let classes = Value::from(classes.to_vec()).to_string();
    let world = World::with(&[("RUNNER_CLASSES", &classes), ("GITHUB_POINTS_PER_MINUTE", "0")]).await;
    let scope = Scope::org(ORGANIZATION);
    for number in 0..100 {
        world.github.add_runner_group(&scope, &format!("group {number}"), None);
    }
    let id = world.github.add_runner_group(&scope, "Large runners", None);
    for _ in 0..10 {
        world.queue_and_deliver().await;
    }
    world.work().await;
    assert_eq!(world.live_tasks(), 10);
    assert!(world.github.runners().iter().all(|runner| runner.group_id == id));
    assert_eq!(world.api_calls("list-runner-groups"), 2, "two pages, once for all jobs");
}

#[tokio::test]
async fn the_default_group_need_not_be_looked_up() {
    let world = world(&[class(&json!({ "runner_group_id": null, "runner_group": "Default" }))]).await;
    launch(&world, &["fargate"]).await;
    assert_eq!((world.api_calls("list-runner-groups"), world.github.runners()[0].group_id), (0, 1));
}

#[tokio::test]
async fn a_missing_runner_group_keeps_its_jobs_waiting_and_the_log_lists_the_existing_ones() {
    let named = class(&json!({ "runner_group_id": null, "runner_group": "Large" }));
    let mut world = world(&[named, class(&json!({ "name": "other", "labels": ["other"] }))]).await;
    for _ in 0..3 {
        world.queue_and_deliver().await;
    }
    let other = world.github.queue_job(JobSpec::labels(["other"]));
    world.deliver_queued(other).await;
    world.work().await;
    assert_eq!((world.live_tasks(), world.waiting(), world.dead_letters().len()), (1, 3, 0));
    assert_eq!(world.api_calls("list-runner-groups"), 1, "one call for all waiting jobs");
    world.github.add_runner_group(&Scope::org(ORGANIZATION), "Large", None);
    world.pass(Duration::from_mins(6));
    world.work().await;
    assert_eq!(world.waiting(), 0);
    assert_eq!(world.api_calls("list-runner-groups"), 2);
}

#[tokio::test]
async fn a_recreated_runner_group_is_looked_up_again() {
    let world = world(&[class(&json!({ "runner_group_id": null, "runner_group": "Large" }))]).await;
    let scope = Scope::org(ORGANIZATION);
    let old = world.github.add_runner_group(&scope, "Large", None);
    launch(&world, &["fargate"]).await;
    // Before that, a 404 may only mean that the token is new.
    world.clock.advance(Duration::from_mins(2));
    world.github.remove_runner_group(&scope, old);
    let new = world.github.add_runner_group(&scope, "Large", None);
    world.queue_and_deliver().await;
    world.work().await;
    assert_eq!(world.waiting(), 1, "the old id does not exist");
    world.clock.advance(Duration::from_mins(6));
    world.work().await;
    assert_eq!(world.github.runners().pop().unwrap().group_id, new);
}

#[tokio::test]
async fn a_repository_has_only_the_default_group() {
    let classes = [class(&json!({ "runner_group_id": null, "runner_group": "Large" }))];
    let classes = Value::from(classes.to_vec()).to_string();
    let world = World::with(&[("RUNNER_CLASSES", &classes), ("RUNNER_SCOPE", "repo")]).await;
    world.queue_and_deliver().await;
    world.work().await;
    assert_eq!((world.live_tasks(), world.waiting(), world.api_calls("list-runner-groups")), (0, 1, 0));
}
