//! The stand-in's own tests: it must not lie.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Response, StatusCode};
use time::macros::datetime;

use super::*;
use crate::wire::{Endpoint, serve};

const START: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);

/// A GitHub on a port, and a client that need not be well-behaved.
struct Bench {
    github: GitHub,
    clock: Clock,
    endpoint: Endpoint,
    http: reqwest::Client,
}

impl Bench {
    async fn new() -> Self {
        let clock = Clock::manual(START);
        let github = GitHub::new(clock.clone());
        let endpoint = serve(Arc::new(github.clone())).await;
        let http = reqwest::Client::builder().user_agent("jitgate-tests").build().unwrap();
        Self { github, clock, endpoint, http }
    }

    fn jwt_of(issuer: &Value, iat: i64, exp: i64) -> String {
        let key = EncodingKey::from_rsa_pem(AppKey::of_tests().private_pem.as_bytes()).unwrap();
        let claims = json!({ "iss": issuer, "iat": iat, "exp": exp });
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key).unwrap()
    }

    fn jwt(&self) -> String {
        let now = self.clock.now().unix_timestamp();
        Self::jwt_of(&json!(CLIENT_ID), now - 60, now + 540)
    }

    async fn call(&self, method: Method, path: &str, token: &str, body: Option<Value>) -> Response {
        let request = self.http.request(method, format!("{}{path}", self.endpoint.url())).bearer_auth(token);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        request.send().await.unwrap()
    }

    async fn get(&self, path: &str, token: &str) -> Response {
        self.call(Method::GET, path, token, None).await
    }

    async fn token_with(&self, body: Option<Value>) -> Response {
        self.call(Method::POST, "/app/installations/77/access_tokens", &self.jwt(), body).await
    }

    async fn token(&self) -> String {
        let answer = self.token_with(None).await;
        assert_eq!(answer.status(), 201);
        body(answer).await["token"].as_str().unwrap().to_owned()
    }

    async fn register(&self, token: &str, name: &str, labels: &[&str]) -> Response {
        self.register_at("/orgs/octo-org", token, name, labels).await
    }

    async fn register_at(&self, scope: &str, token: &str, name: &str, labels: &[&str]) -> Response {
        let wanted = json!({ "name": name, "runner_group_id": 1, "labels": labels });
        self.call(Method::POST, &format!("{scope}/actions/runners/generate-jitconfig"), token, Some(wanted)).await
    }

    /// A registered runner that has come online.
    async fn online(&self, token: &str, name: &str, labels: &[&str]) -> RunnerId {
        let config = body(self.register(token, name, labels).await).await["encoded_jit_config"].clone();
        let runner = self.github.recognise(config.as_str().unwrap()).expect("GitHub's own configuration");
        self.github.connect(runner).unwrap();
        runner
    }
}

async fn body(answer: Response) -> Value {
    answer.json().await.unwrap()
}

async fn refusal(answer: Response) -> (StatusCode, String) {
    let status = answer.status();
    let body = body(answer).await;
    assert_eq!(body["documentation_url"].as_str().map(|url| url.starts_with("https://docs.github.com/")), Some(true));
    (status, body["message"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn an_app_proves_itself_with_a_fresh_jwt_of_ten_minutes_at_most() {
    let bench = Bench::new().await;
    let now = START.unix_timestamp();
    for issuer in [json!(CLIENT_ID), json!(APP_ID), json!(APP_ID.to_string())] {
        let jwt = Bench::jwt_of(&issuer, now - 60, now + 540);
        assert_eq!(bench.get("/app", &jwt).await.status(), 200, "{issuer}");
    }
    for (issuer, iat, exp) in [
        (json!("another"), now, now + 60),
        (json!(APP_ID), now + 1, now + 60),
        (json!(APP_ID), now, now + 601),
        (json!(APP_ID), now - 120, now),
    ] {
        let jwt = Bench::jwt_of(&issuer, iat, exp);
        assert_eq!(bench.get("/app", &jwt).await.status(), 401, "{issuer} {iat} {exp}");
    }
    let stranger = AppKey::generate();
    let key = EncodingKey::from_rsa_pem(stranger.private_pem.as_bytes()).unwrap();
    let claims = json!({ "iss": APP_ID, "iat": now, "exp": now + 60 });
    let forged = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key).unwrap();
    assert_eq!(bench.get("/app", &forged).await.status(), 401);
}

#[tokio::test]
async fn the_same_jwt_twice_in_a_second_fails_where_it_is_told_to() {
    let bench = Bench::new().await;
    let jwt = bench.jwt();
    assert_eq!(bench.get("/app", &jwt).await.status(), 200);
    assert_eq!(bench.get("/app", &jwt).await.status(), 200);
    bench.github.behave(|behaviour| behaviour.identical_jwt_fails = true);
    assert_eq!(bench.get("/app", &jwt).await.status(), 404);
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(bench.get("/app", &jwt).await.status(), 200);
}

#[tokio::test]
async fn a_token_lasts_an_hour_and_opens_its_own_account_only() {
    let bench = Bench::new().await;
    bench.github.add_organization("acme");
    let token = bench.token().await;
    assert_eq!(bench.get("/orgs/octo-org/actions/runners", &token).await.status(), 200);
    assert_eq!(bench.get("/orgs/acme/actions/runners", &token).await.status(), 404);
    assert_eq!(bench.get("/app", &token).await.status(), 401);
    let jwt_elsewhere = bench.get("/orgs/octo-org/actions/runners", &bench.jwt()).await;
    assert_eq!(refusal(jwt_elsewhere).await, (StatusCode::FORBIDDEN, "Resource not accessible by integration".into()));
    bench.clock.advance(Duration::from_secs(3599));
    assert_eq!(bench.get("/orgs/octo-org/actions/runners", &token).await.status(), 200);
    bench.clock.advance(Duration::from_secs(1));
    let late = bench.get("/orgs/octo-org/actions/runners", &token).await;
    assert_eq!(refusal(late).await, (StatusCode::UNAUTHORIZED, "Bad credentials".to_owned()));
    assert_eq!(bench.http.get(bench.endpoint.url() + "/app").send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn a_token_can_be_narrowed_but_not_widened() {
    let bench = Bench::new().await;
    bench.github.add_repository("octo-org", "rockets");
    bench.github.add_repository("octo-org", "gardens");
    let narrow = json!({ "permissions": { "actions": "read" }, "repositories": ["rockets"] });
    let answer = bench.token_with(Some(narrow)).await;
    assert_eq!(answer.status(), 201);
    let answer = body(answer).await;
    assert_eq!(answer["permissions"], json!({ "actions": "read" }));
    assert_eq!(answer["repositories"][0]["full_name"], "octo-org/rockets");
    let token = answer["token"].as_str().unwrap();
    let lacking = bench.register(token, "jit-1", &["fargate"]).await;
    assert_eq!(lacking.headers()["x-accepted-github-permissions"], "organization_self_hosted_runners=write");
    assert_eq!(refusal(lacking).await.0, 403);
    assert_eq!(bench.get("/repos/octo-org/rockets/actions/runs", token).await.status(), 200);
    assert_eq!(bench.get("/repos/octo-org/gardens/actions/runs", token).await.status(), 404);
    for wide in [json!({ "permissions": { "contents": "write" } }), json!({ "repositories": ["elsewhere"] })] {
        assert_eq!(bench.token_with(Some(wide)).await.status(), 422);
    }
    bench.github.grant(INSTALLATION, &[("organization_self_hosted_runners", "read")]);
    let token = bench.token().await;
    assert_eq!(bench.get("/orgs/octo-org/actions/runners", &token).await.status(), 200);
    assert_eq!(bench.register(&token, "jit-1", &["fargate"]).await.status(), 403);
}

#[tokio::test]
async fn installations_are_found_by_owner_and_listed_in_pages() {
    let bench = Bench::new().await;
    bench.github.add_user("mona");
    let of_mona = bench.github.install_app("mona");
    bench.github.add_repository("mona", "hello");
    let jwt = bench.jwt();
    for (path, id) in [
        ("/orgs/octo-org/installation", Some(77)),
        ("/users/mona/installation", Some(of_mona.0)),
        ("/repos/mona/hello/installation", Some(of_mona.0)),
        ("/orgs/mona/installation", None),
        ("/orgs/nobody/installation", None),
        ("/repos/mona/unknown/installation", None),
    ] {
        let answer = bench.get(path, &jwt).await;
        let found = if answer.status() == 404 { None } else { body(answer).await["id"].as_u64() };
        assert_eq!(found, id, "{path}");
    }
    let first = bench.get("/app/installations?per_page=1", &jwt).await;
    let link = first.headers()["link"].to_str().unwrap().to_owned();
    assert!(link.contains("page=2>; rel=\"next\""), "{link}");
    assert_eq!(body(first).await.as_array().unwrap().len(), 1);
    bench.github.suspend(of_mona);
    let path = format!("/app/installations/{of_mona}/access_tokens");
    assert_eq!(bench.call(Method::POST, &path, &jwt, None).await.status(), 403);
    bench.github.uninstall(of_mona);
    assert_eq!(bench.call(Method::POST, &path, &jwt, None).await.status(), 404);
}

#[tokio::test]
async fn a_registration_exists_offline_from_the_moment_it_is_answered() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    let answer = bench.register(&token, "jit-default-1-1-1793534400", &["fargate", "X64"]).await;
    assert_eq!(answer.status(), 201);
    let answer = body(answer).await;
    let runner = &answer["runner"];
    assert_eq!(
        (&runner["status"], &runner["busy"], &runner["version"]),
        (&json!("offline"), &json!(false), &json!(null))
    );
    let labels: Vec<&str> =
        runner["labels"].as_array().unwrap().iter().map(|label| label["name"].as_str().unwrap()).collect();
    assert_eq!(labels, ["fargate", "X64"]);
    let path = format!("/orgs/octo-org/actions/runners/{}", runner["id"]);
    assert_eq!(&body(bench.get(&path, &token).await).await, runner);
    let id = bench.github.recognise(answer["encoded_jit_config"].as_str().unwrap()).unwrap();
    bench.github.connect(id).unwrap();
    let online = body(bench.get(&path, &token).await).await;
    assert_eq!((&online["status"], online["version"].is_string()), (&json!("online"), true));
    bench.github.kill(id);
    let gone = body(bench.get(&path, &token).await).await;
    assert_eq!((&gone["status"], gone["version"].is_string()), (&json!("offline"), true));
}

#[tokio::test]
async fn bad_registrations_are_refused() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    assert_eq!(bench.register(&token, "jit-1", &["fargate"]).await.status(), 201);
    let (status, message) = refusal(bench.register(&token, "JIT-1", &["fargate"]).await).await;
    assert_eq!((status, message.starts_with("Already exists")), (StatusCode::CONFLICT, true));
    assert_eq!(bench.register(&token, &"n".repeat(64), &["fargate"]).await.status(), 201);
    let labels: Vec<String> = (0..101).map(|number| number.to_string()).collect();
    let too_many: Vec<&str> = labels.iter().map(String::as_str).collect();
    assert_eq!(bench.register(&token, "jit-2", &too_many[1..]).await.status(), 201);
    let long = "l".repeat(257);
    for (name, labels) in [
        ("n".repeat(65).as_str(), &["fargate"][..]),
        ("", &["fargate"]),
        ("jit-3", &[]),
        ("jit-3", &too_many),
        ("jit-3", &[long.as_str()]),
    ] {
        assert_eq!(bench.register(&token, name, labels).await.status(), 422, "{name} {}", labels.len());
    }
    let path = "/orgs/octo-org/actions/runners/generate-jitconfig";
    for (wrong, status) in [
        (json!({ "name": "jit-4", "runner_group_id": 99, "labels": ["fargate"] }), 404),
        (json!({ "name": "jit-4", "labels": ["fargate"] }), 422),
    ] {
        assert_eq!(bench.call(Method::POST, path, &token, Some(wrong)).await.status(), status);
    }
}

#[tokio::test]
async fn scopes_are_apart() {
    let bench = Bench::new().await;
    bench.github.add_repository("octo-org", "rockets");
    bench.github.add_user("mona");
    bench.github.add_repository("mona", "hello");
    let of_mona = bench.github.install_app("mona");
    bench.github.add_personal_token("ghp_enterprise", &["manage_runners:enterprise"]);
    let token = bench.token().await;
    assert_eq!(bench.register(&token, "jit-1", &["fargate"]).await.status(), 201);
    assert_eq!(bench.register_at("/repos/octo-org/rockets", &token, "jit-1", &["fargate"]).await.status(), 201);
    assert_eq!(bench.register_at("/enterprises/octo", &token, "jit-1", &["fargate"]).await.status(), 403);
    assert_eq!(bench.register_at("/enterprises/octo", "ghp_enterprise", "jit-1", &["fargate"]).await.status(), 201);
    assert_eq!(bench.register("ghp_enterprise", "jit-2", &["fargate"]).await.status(), 403);
    let path = format!("/app/installations/{of_mona}/access_tokens");
    let token = body(bench.call(Method::POST, &path, &bench.jwt(), None).await).await["token"].clone();
    let token = token.as_str().unwrap();
    assert_eq!(bench.register_at("/repos/mona/hello", token, "jit-1", &["fargate"]).await.status(), 201);
    assert_eq!(bench.register_at("/orgs/mona", token, "jit-2", &["fargate"]).await.status(), 404);
}

#[tokio::test]
async fn runners_are_listed_in_pages_and_by_exact_name() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    for number in 0..205 {
        bench.github.orphan(&Scope::org("octo-org"), &format!("jit-{number}"), &["fargate"], false);
    }
    let mut path = "/orgs/octo-org/actions/runners?per_page=100".to_owned();
    let mut seen = Vec::new();
    loop {
        let answer = bench.get(&path, &token).await;
        let link = answer.headers()["link"].to_str().unwrap().to_owned();
        let page = body(answer).await;
        assert_eq!(page["total_count"], 205);
        seen.push(page["runners"].as_array().unwrap().len());
        let Some(next) = link.split(", ").find(|link| link.ends_with("rel=\"next\"")) else { break };
        let url = next.trim_start_matches('<').split('>').next().unwrap();
        path = url.strip_prefix(&bench.endpoint.url()).expect("a link to where it was asked").to_owned();
    }
    assert_eq!(seen, [100, 100, 5]);
    let beyond = body(bench.get("/orgs/octo-org/actions/runners?per_page=500", &token).await).await;
    assert_eq!(beyond["runners"].as_array().unwrap().len(), 100);
    let named = body(bench.get("/orgs/octo-org/actions/runners?name=jit-20", &token).await).await;
    assert_eq!((&named["total_count"], &named["runners"][0]["name"]), (&json!(1), &json!("jit-20")));
}

#[tokio::test]
async fn a_runner_takes_the_oldest_job_that_it_has_all_labels_of_and_only_one() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    let large = bench.github.queue_job(JobSpec::labels(["fargate", "large"]));
    let first = bench.github.queue_job(JobSpec::labels(["Fargate"]));
    let second = bench.github.queue_job(JobSpec::labels(["fargate"]));
    let runner = bench.online(&token, "jit-1", &["fargate", "arm"]).await;
    assert_eq!(bench.github.take_job(runner).unwrap().unwrap().id, first);
    assert!(bench.github.take_job(runner).unwrap().is_none());
    assert_eq!(bench.github.job(large).unwrap().status, JobStatus::Queued);
    bench.github.finish_job(runner, "success");
    assert_eq!(bench.github.take_job(runner).unwrap_err(), Gone);
    let job = bench.github.job(first).unwrap();
    assert_eq!((job.status, job.conclusion.as_deref()), (JobStatus::Completed, Some("success")));
    assert_eq!(job.runner_name.as_deref(), Some("jit-1"));
    let path = format!("/repos/octo-org/octo-repo/actions/jobs/{second}");
    assert_eq!(body(bench.get(&path, &token).await).await["status"], "queued");
    let offline = bench.github.orphan(&Scope::org("octo-org"), "jit-2", &["fargate"], false);
    assert!(bench.github.take_job(offline).unwrap().is_none());
}

#[tokio::test]
async fn groups_and_scopes_bound_what_a_runner_may_take() {
    let bench = Bench::new().await;
    let org = Scope::org("octo-org");
    let group = bench.github.add_runner_group(&org, "rockets only", Some(&["rockets"]));
    let online = |scope: &Scope, name: &str, group: u64| {
        let (mut state, now) = bench.github.state();
        let id = state.register(scope, group, name.to_owned(), vec!["fargate".to_owned()], now);
        state.connect(id, now).unwrap();
        id
    };
    let gardens = bench.github.queue_job(JobSpec::labels(["fargate"]).in_repository("octo-org", "gardens"));
    assert!(bench.github.take_job(online(&org, "jit-1", group)).unwrap().is_none());
    let elsewhere = Scope::repo("octo-org", "rockets");
    assert!(bench.github.take_job(online(&elsewhere, "jit-2", 1)).unwrap().is_none());
    let there = Scope::repo("octo-org", "gardens");
    assert_eq!(bench.github.take_job(online(&there, "jit-3", 1)).unwrap().unwrap().id, gardens);
    let grouped =
        bench.github.queue_job(JobSpec::labels(["fargate"]).in_repository("octo-org", "rockets").in_group(group));
    assert!(bench.github.take_job(online(&org, "jit-4", 1)).unwrap().is_none());
    assert_eq!(bench.github.take_job(online(&org, "jit-5", group)).unwrap().unwrap().id, grouped);
    let token = bench.token().await;
    let groups = body(bench.get("/orgs/octo-org/actions/runner-groups", &token).await).await;
    assert_eq!(groups["total_count"], 2);
}

#[tokio::test]
async fn a_busy_runner_cannot_be_deleted_nor_one_whose_job_has_just_ended() {
    let bench = Bench::new().await;
    bench.github.behave(|behaviour| {
        behaviour.deletion_refused_after_job = Duration::from_secs(30);
        behaviour.deregistration_lag = Duration::from_mins(1);
    });
    let token = bench.token().await;
    let runner = bench.online(&token, "jit-1", &["fargate"]).await;
    let path = format!("/orgs/octo-org/actions/runners/{runner}");
    bench.github.queue_job(JobSpec::labels(["fargate"]));
    bench.github.take_job(runner).unwrap().unwrap();
    let delete = || bench.call(Method::DELETE, &path, &token, None);
    assert_eq!(delete().await.status(), 422);
    bench.github.finish_job(runner, "success");
    assert_eq!(delete().await.status(), 422);
    bench.clock.advance(Duration::from_secs(30));
    assert_eq!(delete().await.status(), 204);
    assert_eq!(delete().await.status(), 404);
    let other = bench.online(&token, "jit-2", &["fargate"]).await;
    bench.github.queue_job(JobSpec::labels(["fargate"]));
    bench.github.take_job(other).unwrap().unwrap();
    bench.github.finish_job(other, "success");
    assert!(bench.github.runner(other).is_some());
    bench.clock.advance(Duration::from_mins(1));
    assert!(bench.github.runner(other).is_none());
}

#[tokio::test]
async fn busy_lags_and_errs_as_told() {
    let bench = Bench::new().await;
    bench.github.behave(|behaviour| behaviour.busy_lag = Duration::from_secs(45));
    let token = bench.token().await;
    let runner = bench.online(&token, "jit-1", &["fargate"]).await;
    let path = format!("/orgs/octo-org/actions/runners/{runner}");
    let busy = || async { body(bench.get(&path, &token).await).await["busy"] == true };
    bench.github.queue_job(JobSpec::labels(["fargate"]));
    bench.github.take_job(runner).unwrap().unwrap();
    assert!(!busy().await);
    assert_eq!(bench.call(Method::DELETE, &path, &token, None).await.status(), 422);
    bench.clock.advance(Duration::from_secs(45));
    assert!(busy().await);
    bench.github.seem_idle(runner, true);
    assert!(!busy().await);
    bench.github.behave(|behaviour| behaviour.deletion_trusts_busy = true);
    assert_eq!(bench.call(Method::DELETE, &path, &token, None).await.status(), 204);
    assert_eq!(bench.github.jobs()[0].conclusion.as_deref(), Some("failure"));
}

#[tokio::test]
async fn a_killed_runner_stays_registered_and_its_job_is_lost_later() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    let runner = bench.online(&token, "jit-1", &["fargate"]).await;
    let job = bench.github.queue_job(JobSpec::labels(["fargate"]));
    bench.github.take_job(runner).unwrap().unwrap();
    bench.github.kill(runner);
    assert_eq!(bench.github.job(job).unwrap().status, JobStatus::InProgress);
    bench.clock.advance(Duration::from_mins(10));
    assert_eq!(bench.github.job(job).unwrap().conclusion.as_deref(), Some("failure"));
    assert!(!bench.github.runner(runner).unwrap().online);
}

#[tokio::test]
async fn unused_runners_and_queued_jobs_expire_after_a_day() {
    let bench = Bench::new().await;
    let runner = bench.github.orphan(&Scope::org("octo-org"), "jit-1", &["fargate"], false);
    let job = bench.github.queue_job(JobSpec::labels(["large"]));
    bench.clock.advance(Duration::from_hours(24) - Duration::from_secs(1));
    assert!(bench.github.runner(runner).is_some());
    bench.clock.advance(Duration::from_secs(1));
    assert!(bench.github.runner(runner).is_none());
    assert_eq!(bench.github.job(job).unwrap().status, JobStatus::Completed);
}

#[tokio::test]
async fn a_cancelled_job_frees_its_runner() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    let runner = bench.online(&token, "jit-1", &["fargate"]).await;
    let job = bench.github.queue_job(JobSpec::labels(["fargate"]));
    bench.github.take_job(runner).unwrap().unwrap();
    bench.github.cancel_job(job);
    assert!(bench.github.runner(runner).is_none());
    let queued = bench.github.queue_job(JobSpec::labels(["fargate"]));
    bench.github.cancel_job(queued);
    let job = bench.github.job(queued).unwrap();
    assert_eq!((job.conclusion.as_deref(), job.runner_id), (Some("cancelled"), None));
}

#[tokio::test]
async fn runs_are_found_by_status_and_may_be_closed_too_early() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    let job = bench.github.queue_job(JobSpec::labels(["fargate"]));
    let run = bench.github.job(job).unwrap().run_id;
    let sibling = bench.github.queue_job(JobSpec::labels(["fargate"]).of_run(run));
    let queued = "/repos/octo-org/octo-repo/actions/runs?status=queued";
    assert_eq!(body(bench.get(queued, &token).await).await["workflow_runs"][0]["id"], json!(run));
    let jobs = body(bench.get(&format!("/repos/octo-org/octo-repo/actions/runs/{run}/jobs"), &token).await).await;
    assert_eq!((&jobs["jobs"][0]["id"], &jobs["jobs"][1]["id"]), (&json!(job), &json!(sibling)));
    bench.github.close_run(run);
    assert_eq!(body(bench.get(queued, &token).await).await["total_count"], 0);
    let path = format!("/repos/octo-org/octo-repo/actions/runs/{run}");
    assert_eq!(body(bench.get(&path, &token).await).await["status"], "completed");
    assert_eq!(bench.github.job(job).unwrap().status, JobStatus::Queued);
    assert_eq!(bench.get("/repos/octo-org/octo-repo/actions/jobs/1", &token).await.status(), 404);
}
