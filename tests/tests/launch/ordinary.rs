//! The ordinary launch: its calls to GitHub and ECS, and the runner that results.

use std::time::Duration;

use jitgate::ecs::{JIT_CONFIG_VARIABLE, JOB_VARIABLE};
use jitgate::job::{JobId, Message};
use jitgate_tests::github::{JobSpec, ORGANIZATION, Scope};
use jitgate_tests::world::World;
use serde_json::Value;

use crate::GENERATE;

#[tokio::test]
async fn a_queued_job_gets_a_runner_runs_and_leaves_nothing_behind() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    world.work().await;
    world.assert_one_runner();
    world.pass(Duration::from_mins(5));
    world.assert_done(&[job]);
}

#[tokio::test]
async fn the_task_is_what_the_class_says_and_leads_back_to_its_job() {
    let world = World::new().await;
    let job = world.github.queue_job(JobSpec::labels(["Fargate", "linux"]).with_id(JobId(4711)));
    world.deliver_queued(job).await;
    world.work().await;
    let task = world.aws.ecs.live_tasks().remove(0);
    let runner = world.github.runners().remove(0);
    assert_eq!(runner.labels, ["Fargate", "linux"], "exactly the job's labels");
    assert_eq!(runner.name, "jit-default-4711-1-1793610000");
    assert_eq!(runner.group_id, 1);
    assert_eq!(task.started_by.as_deref(), Some("jit-4711-1"));
    let environment = task.environment();
    assert_eq!(world.github.recognise(&environment[JIT_CONFIG_VARIABLE]), Some(runner.id));
    assert_eq!(Message::parse(&environment[JOB_VARIABLE]).unwrap().job.id, job);
    let call = world.aws.calls().all().into_iter().find(|call| call.operation == "RunTask").expect("a call");
    let mut request: Value = serde_json::from_str(&call.body).expect("JSON");
    for variable in request["overrides"]["containerOverrides"][0]["environment"].as_array_mut().expect("a list") {
        variable["value"] = "…".into();
    }
    for tag in request["tags"].as_array_mut().expect("a list") {
        if tag["key"] == "jitgate:runner-id" {
            tag["value"] = "…".into();
        }
    }
    insta::assert_json_snapshot!(request);
}

#[tokio::test]
async fn a_warm_job_costs_one_call_to_github_and_one_to_ecs() {
    let world = World::new().await;
    world.queue_and_deliver().await;
    world.work().await;
    world.api.calls.clear();
    world.aws.calls().clear();
    world.queue_and_deliver().await;
    assert_eq!(world.aws.calls().operations(), ["SendMessage"], "the webhook's one call");
    world.aws.calls().clear();
    world.work().await;
    assert_eq!(world.api.calls.operations(), [GENERATE]);
    assert_eq!(world.aws.calls().operations(), ["RunTask"]);
}

#[tokio::test]
async fn a_batch_is_launched_in_parallel_with_one_token() {
    let mut world = World::new().await;
    let mut jobs = Vec::new();
    for _ in 0..10 {
        jobs.push(world.queue_and_deliver().await);
    }
    world.work().await;
    assert_eq!(world.live_tasks(), 10);
    assert_eq!(world.github.tokens_made(), 1);
    assert_eq!(world.aws.calls().count("GetSecretValue"), 2, "once by the webhook, once by the worker");
    world.pass(Duration::from_mins(5));
    world.assert_done(&jobs);
}

#[tokio::test]
async fn runners_of_a_personal_account_or_of_repository_scope_join_the_repository() {
    let mut world = World::with(&[("RUNNER_SCOPE", "repo")]).await;
    let job = world.queue_and_deliver().await;
    world.work().await;
    assert_eq!(world.github.runners()[0].scope, Scope::repo(ORGANIZATION, "octo-repo"));
    world.pass(Duration::from_mins(5));
    world.assert_done(&[job]);

    let mut world = World::with(&[("RUNNER_SCOPE", "repo")]).await;
    world.github.add_user("octocat");
    world.github.install_app("octocat");
    let job = world.github.queue_job(JobSpec::labels(["fargate"]).in_repository("octocat", "hello"));
    world.deliver_queued(job).await;
    world.work().await;
    assert_eq!(world.github.runners()[0].scope, Scope::repo("octocat", "hello"));
    world.pass(Duration::from_mins(5));
    world.assert_done(&[job]);
}
