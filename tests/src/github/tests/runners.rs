//! Registrations.

use super::*;

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
async fn busy_lags_and_errs_as_configured() {
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
async fn the_end_of_versions_is_answered_if_it_is_offered() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    let path = "/orgs/octo-org/actions/runners/deprecations/2.329.0";
    assert_eq!(body(bench.get(path, &token).await).await["registration_deprecates_at"], Value::Null);
    let end = EndOfLife { registration: Some(START), runtime: None };
    bench.github.behave(|behaviour| behaviour.end_of_life = [("2.329.0".to_owned(), end)].into());
    assert_eq!(body(bench.get(path, &token).await).await["registration_deprecates_at"], "2026-11-01T12:00:00Z");
    bench.github.behave(|behaviour| behaviour.deprecations_offered = false);
    assert_eq!(bench.get(path, &token).await.status(), 404);
}

#[tokio::test]
async fn ten_thousand_registrations_are_listed_without_delay() {
    let clock = Clock::manual(START);
    let github = GitHub::unchecked(clock);
    github.add_personal_token("ghp_admin", &["admin:org"]);
    let endpoint = serve(Arc::new(github.clone())).await;
    for number in 0..10_000 {
        github.orphan(&Scope::org("octo-org"), &format!("jit-{number}"), &["fargate"], false);
    }
    let http = reqwest::Client::builder().no_proxy().user_agent("jitgate-tests").build().unwrap();
    let url = endpoint.url() + "/orgs/octo-org/actions/runners?per_page=100&page=";
    let begin = std::time::Instant::now();
    for page in 1..=100 {
        let answer = http.get(format!("{url}{page}")).bearer_auth("ghp_admin").send().await.unwrap();
        assert_eq!(body(answer).await["runners"].as_array().unwrap().len(), 100);
    }
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}
