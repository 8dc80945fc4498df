//! Stories of where runners are registered, and for which accounts.

use std::sync::Arc;
use std::time::Duration;

use cleaner::Cleaner;
use jitgate::config::{Environment, FleetConfig};
use jitgate::job::JobId;
use jitgate_tests::github::{self, JobSpec, JobStatus, ORGANIZATION, Scope};
use jitgate_tests::tls::PrivateAuthority;
use jitgate_tests::wire::{self, Endpoint, Fault};
use jitgate_tests::world::{JOB_QUEUE, World, invoke, runner_classes};
use serde_json::{Value, json};
use webhook::HttpResponse;
use worker::Worker;

const ENTERPRISE: [(&str, &str); 2] = [("RUNNER_SCOPE", "enterprise"), ("GITHUB_ENTERPRISE", "octo-corp")];

fn ended(world: &World, job: JobId) -> bool {
    world.github.job(job).expect("it exists").status == JobStatus::Completed
}

fn assert_ignored(response: &HttpResponse, because: &str) {
    let body: Value = serde_json::from_str(&response.body).expect("JSON");
    assert_eq!((response.status_code, body["status"].as_str()), (200, Some("ignored")), "{body}");
    assert!(body["reason"].as_str().unwrap_or_default().contains(because), "{body}");
}

/// A deployment with a classic personal access token, which enterprises require.
async fn with_token(settings: &[(&str, &str)], scopes: &[&str]) -> World {
    let world = World::with(settings).await;
    world.use_personal_token(scopes);
    world
}

async fn job_in(world: &World, owner: &str, repository: &str) -> JobId {
    let job = world.github.queue_job(JobSpec::labels(["fargate"]).in_repository(owner, repository));
    assert_eq!(world.deliver_queued(job).await.status_code, 202);
    job
}

#[tokio::test]
async fn an_enterprises_runners_serve_all_of_its_organisations_and_are_cleaned_up() {
    let mut world = with_token(&ENTERPRISE, &["manage_runners:enterprise", "repo", "read:org"]).await;
    let jobs = [job_in(&world, ORGANIZATION, "one").await, job_in(&world, "octo-labs", "two").await];
    world.work().await;
    let scopes: Vec<_> = world.github.runners().into_iter().map(|runner| runner.scope).collect();
    assert_eq!(scopes, [Scope::enterprise("octo-corp"), Scope::enterprise("octo-corp")]);
    world.clean().await.unwrap();
    assert_eq!(world.live_tasks(), 2, "the cleaner finds their registrations");
    world.pass(Duration::from_mins(5));
    assert!(jobs.iter().all(|job| ended(&world, *job)));
    assert!(world.github.runners().is_empty());
    world.orphan(&Scope::enterprise("octo-corp"), 42);
    world.pass(Duration::from_mins(11));
    world.clean().await.unwrap();
    assert!(world.github.runners().is_empty(), "an orphan of the enterprise is deleted");
}

#[tokio::test]
async fn an_idle_runner_of_an_enterprise_is_retired_like_any_other() {
    let mut world = with_token(&ENTERPRISE, &["manage_runners:enterprise", "repo", "read:org"]).await;
    let job = job_in(&world, ORGANIZATION, "one").await;
    world.work().await;
    world.github.cancel_job(job);
    for _ in 0..5 {
        world.pass(Duration::from_mins(5));
        world.clean().await.unwrap();
    }
    assert_eq!((world.live_tasks(), world.github.runners().len()), (0, 0));
}

#[tokio::test]
async fn a_personal_account_has_repository_runners_whatever_the_scope() {
    for settings in [&[("RUNNER_SCOPE", "org"), ("GITHUB_ENTERPRISE", "")], &ENTERPRISE] {
        let mut world = with_token(settings, &["manage_runners:enterprise", "admin:org", "repo", "read:org"]).await;
        world.github.add_user("mona");
        let job = job_in(&world, "mona", "site").await;
        world.work().await;
        assert_eq!(world.github.runners()[0].scope, Scope::repo("mona", "site"));
        world.clean().await.unwrap();
        world.pass(Duration::from_mins(5));
        assert!(ended(&world, job));
    }
}

#[tokio::test]
async fn an_app_cannot_register_for_an_enterprise_and_the_job_waits() {
    let mut world = World::with(&ENTERPRISE).await;
    let job = world.queue_and_deliver().await;
    world.work().await;
    assert_eq!(world.api.calls.operations(), Vec::<String>::new());
    assert_eq!((world.live_tasks(), world.waiting(), world.dead_letters().len()), (0, 1, 0));
    world.use_personal_token(&["manage_runners:enterprise", "repo", "read:org"]);
    // The worker caches the secret for 15 minutes.
    for _ in 0..4 {
        world.pass(Duration::from_mins(6));
        world.work().await;
    }
    world.pass(Duration::from_mins(5));
    assert!(ended(&world, job), "once the secret is fixed");
}

#[tokio::test]
async fn several_organisations_and_installations_share_a_deployment() {
    let mut world = World::new().await;
    world.github.add_organization("octo-labs");
    world.github.install_app("octo-labs");
    let jobs = [job_in(&world, ORGANIZATION, "one").await, job_in(&world, "octo-labs", "two").await];
    world.work().await;
    assert_eq!(world.github.tokens_made(), 2, "one for each installation");
    for organization in [ORGANIZATION, "octo-labs"] {
        world.orphan(&Scope::org(organization), 42);
    }
    world.pass(Duration::from_mins(11));
    assert!(jobs.iter().all(|job| ended(&world, *job)));
    world.clean().await.unwrap();
    assert!(world.github.runners().is_empty(), "both are cleaned");
}

#[tokio::test]
async fn an_account_that_is_not_on_the_list_costs_nothing() {
    for list in ["octo-org", "OCTO-Org, 4711", "77"] {
        let world = World::with(&[("ALLOWED_INSTALLATIONS", list)]).await;
        world.github.add_organization("stranger");
        world.github.install_app("stranger");
        let strange = world.github.queue_job(JobSpec::labels(["fargate"]).in_repository("stranger", "mine"));
        let response = world.deliver_queued(strange).await;
        assert_ignored(&response, "stranger is not among ALLOWED_INSTALLATIONS");
        assert_eq!(world.aws.calls().count("SendMessage"), 0);
        world.queue_and_deliver().await;
        assert_eq!(world.waiting(), 1, "{list}: the listed account's job is accepted");
    }
}

#[tokio::test]
async fn an_account_that_was_taken_off_the_list_after_its_delivery_gets_no_runner() {
    let mut world = World::new().await;
    world.queue_and_deliver().await;
    world.set("ALLOWED_INSTALLATIONS", "another-org");
    world.worker = world.new_worker().unwrap();
    world.work().await;
    assert_eq!((world.live_tasks(), world.waiting(), world.github.runners().len()), (0, 0, 0));
    assert_eq!(world.api.calls.operations(), Vec::<String>::new());
    assert_eq!(world.dead_letters(), Vec::<String>::new());
}

#[tokio::test]
async fn the_cleaner_does_not_walk_accounts_that_are_not_on_the_list() {
    let mut world = World::with(&[("ALLOWED_INSTALLATIONS", ORGANIZATION), ("RECONCILE_REPOSITORIES", "*/*")]).await;
    world.github.add_organization("stranger");
    world.github.install_app("stranger");
    world.github.queue_job(JobSpec::labels(["fargate"]).in_repository("stranger", "mine"));
    world.orphan(&Scope::org("stranger"), 42);
    world.pass(Duration::from_mins(11));
    world.clean().await.unwrap();
    assert_eq!(world.waiting(), 0);
    let strange: Vec<_> = world.api.calls.all().into_iter().filter(|call| call.target.contains("stranger")).collect();
    assert!(strange.is_empty(), "{strange:?}");
    assert_eq!(world.github.runners().len(), 1);
}

fn class_with(keys: &[&str]) -> String {
    let mut classes = runner_classes();
    for key in keys {
        classes[0][*key] = json!(true);
    }
    classes.to_string()
}

async fn public_world(keys: &[&str]) -> World {
    let settings = [("RUNNER_CLASSES", &*class_with(keys)), ("RECONCILE_REPOSITORIES", "octo-org/*")];
    let world = World::with(&settings).await;
    world.github.publish(ORGANIZATION, "octo-repo");
    world
}

#[tokio::test]
async fn a_public_repository_is_refused_at_the_door_unless_the_class_takes_it() {
    let world = public_world(&[]).await;
    let job = world.queue_job();
    assert_ignored(&world.deliver_queued(job).await, "public_repositories");
    assert_eq!(world.waiting(), 0);
    let private = world.github.queue_job(JobSpec::labels(["fargate"]).in_repository(ORGANIZATION, "private"));
    assert_eq!(world.deliver_queued(private).await.status_code, 202);

    let mut world = public_world(&["public_repositories"]).await;
    let job = world.queue_and_deliver().await;
    world.work().await;
    assert_eq!(world.api_calls("get-run"), 1, "the run is read once");
    world.pass(Duration::from_mins(5));
    assert!(ended(&world, job));
}

#[tokio::test]
async fn a_pull_request_from_a_fork_is_refused_once_and_not_brought_back() {
    let mut world = public_world(&["public_repositories"]).await;
    let job = world.github.queue_job(JobSpec::labels(["fargate"]).from_fork_of("mallory"));
    assert_eq!(world.deliver_queued(job).await.status_code, 202, "the delivery does not show it");
    world.work().await;
    assert_eq!((world.waiting(), world.live_tasks(), world.github.runners().len()), (0, 0, 0));
    assert_eq!(world.dead_letters(), Vec::<String>::new());
    for _ in 0..14 {
        world.pass(Duration::from_mins(5));
        world.clean().await.unwrap();
        assert_eq!(world.waiting(), 0, "the cleaner does not send it again");
    }
    assert_eq!(world.api_calls("get-run"), 1);
    assert_eq!(world.github.job(job).expect("it exists").status, JobStatus::Queued);
}

#[tokio::test]
async fn the_cleaner_refuses_what_the_webhook_would_have() {
    let mut world = public_world(&[]).await;
    world.queue_job();
    let private = world.github.queue_job(JobSpec::labels(["fargate"]).in_repository(ORGANIZATION, "private"));
    world.pass(Duration::from_mins(6));
    world.clean().await.unwrap();
    let [message] = &world.aws.sqs.messages(JOB_QUEUE)[..] else { panic!("one message") };
    assert!(message.body.contains(&private.to_string()), "only the private one is found");
}

#[tokio::test]
async fn a_class_may_take_pull_requests_from_forks_and_then_github_is_not_asked() {
    let mut world = public_world(&["public_repositories", "fork_pull_requests"]).await;
    let job = world.github.queue_job(JobSpec::labels(["fargate"]).from_fork_of("mallory"));
    world.deliver_queued(job).await;
    world.work().await;
    world.pass(Duration::from_mins(5));
    assert!(ended(&world, job));
    assert_eq!(world.api_calls("get-run"), 0);
}

#[tokio::test]
async fn a_run_that_github_does_not_show_yet_is_asked_for_again_soon() {
    let mut world = public_world(&["public_repositories"]).await;
    world.queue_and_deliver().await;
    world.work().await;
    // Until then a 404 may only mean that GitHub does not know the new token everywhere.
    world.clock.advance(Duration::from_mins(1));
    let job = world.queue_and_deliver().await;
    world.api.faults.script("get-run", Fault::Refuse(github::answers::not_found()));
    world.work().await;
    assert_eq!((world.live_tasks(), world.waiting()), (1, 1));
    world.pass(Duration::from_secs(15));
    world.work().await;
    assert_eq!(world.live_tasks(), 2, "after the first of the growing delays");
    world.pass(Duration::from_mins(5));
    assert!(ended(&world, job));
}

#[tokio::test]
async fn a_job_whose_run_has_been_deleted_ends_quietly() {
    let mut world = public_world(&["public_repositories"]).await;
    world.queue_and_deliver().await;
    let is_gone = |operation: &str| matches!(operation, "get-run" | "get-job");
    let answer = github::answers::not_found();
    world.api.faults.choose(Box::new(move |called| is_gone(called).then(|| Fault::Refuse(answer.clone()))));
    world.work().await;
    assert_eq!(world.waiting(), 1, "GitHub may not show them yet");
    for _ in 0..10 {
        world.pass(Duration::from_secs(30));
        world.work().await;
    }
    assert_eq!((world.waiting(), world.live_tasks(), world.github.runners().len()), (0, 0, 0));
    assert_eq!(world.dead_letters(), Vec::<String>::new());
}

/// Serves the world's GitHub behind TLS, and returns the environment of a deployment that calls it there.
async fn behind_tls(
    world: &World,
    authority: &PrivateAuthority,
    trusted: Option<&PrivateAuthority>,
) -> (Endpoint, Environment) {
    let host = wire::serve_tls(Arc::new(world.github.clone()), authority.acceptor()).await;
    let changes =
        [("GITHUB_API_URL", host.url() + "/api/v3"), ("GITHUB_CA_FILE", trusted.map_or("", |it| it.file()).to_owned())];
    let changes = changes.map(|(name, value)| (name.to_owned(), value));
    let environment = world.variables().into_iter().chain(changes).collect();
    (host, environment)
}

#[tokio::test]
async fn an_enterprise_server_with_a_private_authority_is_trusted_by_its_file() {
    let mut world = World::new().await;
    let authority = PrivateAuthority::new();
    let (host, environment) = behind_tls(&world, &authority, Some(&authority)).await;
    let config = || FleetConfig::from_environment(&environment).expect("a complete environment");
    let worker = Worker::new(&world.aws.sdk_config(), config(), world.clock.clone());
    let job = world.queue_and_deliver().await;
    world.source.drain(async |event| invoke(&worker, event).await).await;
    assert_eq!((world.live_tasks(), host.calls.count("generate-jitconfig")), (1, 1));
    let cleaner = Cleaner::new(&world.aws.sdk_config(), config(), world.clock.clone());
    Box::pin(cleaner.clean()).await.unwrap();
    assert_eq!(host.calls.count("list-runners"), 1);
    world.pass(Duration::from_mins(5));
    assert!(ended(&world, job));
}

#[tokio::test]
async fn a_host_with_an_untrusted_certificate_is_told_nothing_and_the_job_waits() {
    let authority = PrivateAuthority::new();
    for trusted in [None, Some(PrivateAuthority::new())] {
        let world = World::new().await;
        let (host, environment) = behind_tls(&world, &authority, trusted.as_ref()).await;
        let config = FleetConfig::from_environment(&environment).expect("a complete environment");
        let worker = Worker::new(&world.aws.sdk_config(), config, world.clock.clone());
        world.queue_and_deliver().await;
        world.source.drain(async |event| invoke(&worker, event).await).await;
        assert_eq!((world.live_tasks(), world.waiting(), world.dead_letters().len()), (0, 1, 0));
        assert_eq!(host.calls.operations(), Vec::<String>::new());
    }
}
