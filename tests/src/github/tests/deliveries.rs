//! Deliveries and their log.

use super::*;
use crate::payloads::WorkflowJobEvent;

#[tokio::test]
async fn the_apps_hook_sends_logs_and_sends_again() {
    let bench = Bench::new().await;
    bench.github.add_hook(HookTarget::App, "https://hooks.example/");
    let job = bench.github.queue_job(JobSpec::labels(["fargate"]));
    let first = bench.github.take_deliveries().pop().unwrap();
    assert!(bench.github.take_deliveries().is_empty());
    let payload: Value = serde_json::from_slice(&first.body).unwrap();
    assert_eq!((&payload["action"], &payload["workflow_job"]["id"]), (&json!("queued"), &json!(job)));
    assert_eq!(payload["installation"]["id"], json!(INSTALLATION));
    let jwt = bench.jwt();
    let failed = "/app/hook/deliveries?status=failure";
    assert_eq!(body(bench.get(failed, &jwt).await).await, json!([]));
    bench.github.delivered(first.id, Outcome { status: 503, body: "{}".to_owned() });
    let log = body(bench.get(failed, &jwt).await).await;
    assert_eq!((&log[0]["guid"], &log[0]["status_code"]), (&json!(first.guid), &json!(503)));
    let whole = body(bench.get(&format!("/app/hook/deliveries/{}", first.id), &jwt).await).await;
    assert_eq!(whole["request"]["payload"], payload);
    let again = format!("/app/hook/deliveries/{}/attempts", first.id);
    assert_eq!(bench.call(Method::POST, &again, &jwt, None).await.status(), 202);
    let second = bench.github.take_deliveries().pop().unwrap();
    assert_eq!((&second.guid, &second.body, second.redelivery), (&first.guid, &first.body, true));
    assert_ne!(second.id, first.id);
    bench.github.delivered(second.id, Outcome { status: 202, body: "{}".to_owned() });
    let log = body(bench.get("/app/hook/deliveries?status=success", &jwt).await).await;
    assert_eq!((log.as_array().unwrap().len(), &log[0]["redelivery"]), (1, &json!(true)));
    bench.clock.advance(Duration::from_hours(72));
    let jwt = bench.jwt();
    assert_eq!(body(bench.get("/app/hook/deliveries", &jwt).await).await, json!([]));
    assert_eq!(bench.call(Method::POST, &again, &jwt, None).await.status(), 404);
    let token = bench.token().await;
    assert_eq!(bench.get("/app/hook/deliveries", &token).await.status(), 401);
}

#[tokio::test]
async fn deliveries_come_in_pages_newest_first() {
    let bench = Bench::new().await;
    bench.github.add_hook(HookTarget::App, "https://hooks.example/");
    for _ in 0..5 {
        bench.github.queue_job(JobSpec::labels(["fargate"]));
    }
    let mut sent = Vec::new();
    for delivery in bench.github.take_deliveries() {
        sent.push(json!(delivery.id));
        bench.github.delivered(delivery.id, Outcome::unreachable());
    }
    sent.reverse();
    let jwt = bench.jwt();
    let mut path = "/app/hook/deliveries?per_page=2&status=failure".to_owned();
    let mut seen = Vec::new();
    loop {
        let answer = bench.get(&path, &jwt).await;
        let link = answer.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
        seen.extend(body(answer).await.as_array().unwrap().iter().map(|delivery| delivery["id"].clone()));
        let Some(link) = link else { break };
        let url = link.trim_start_matches('<').split('>').next().unwrap();
        path = url.strip_prefix(&bench.endpoint.url()).unwrap().to_owned();
    }
    assert_eq!(seen, sent);
    assert_eq!(bench.get("/app/hook/deliveries?cursor=nowhere", &jwt).await.status(), 400);
}

#[tokio::test]
async fn organisations_and_repositories_have_hooks_of_their_own() {
    let bench = Bench::new().await;
    bench.github.grant(INSTALLATION, &[("organization_hooks", "write"), ("repository_hooks", "read")]);
    let of_org = bench.github.add_hook(HookTarget::Scope(Scope::org("octo-org")), "https://hooks.example/org");
    let rockets = Scope::repo("octo-org", "rockets");
    let of_repo = bench.github.add_hook(HookTarget::Scope(rockets), "https://hooks.example/repo");
    bench.github.queue_job(JobSpec::labels(["fargate"]).in_repository("octo-org", "gardens"));
    bench.github.queue_job(JobSpec::labels(["fargate"]).in_repository("octo-org", "rockets"));
    let deliveries = bench.github.take_deliveries();
    let hooks: Vec<u64> = deliveries.iter().map(|delivery| delivery.hook_id).collect();
    assert_eq!(hooks, [of_org, of_org, of_repo]);
    assert_eq!(deliveries[1].guid, deliveries[2].guid);
    for delivery in &deliveries {
        let payload: Value = serde_json::from_slice(&delivery.body).unwrap();
        assert!(payload.get("installation").is_none());
        bench.github.delivered(delivery.id, Outcome::timed_out());
    }
    let token = bench.token().await;
    assert_eq!(body(bench.get("/orgs/octo-org/hooks", &token).await).await[0]["id"], of_org);
    assert_eq!(body(bench.get("/repos/octo-org/rockets/hooks", &token).await).await[0]["id"], of_repo);
    let log = format!("/orgs/octo-org/hooks/{of_org}/deliveries");
    let listed = body(bench.get(&log, &token).await).await;
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["status"]), (2, &json!("timed out")));
    let again = |log: &str| format!("{log}/{}/attempts", listed[0]["id"]);
    assert_eq!(bench.call(Method::POST, &again(&log), &token, None).await.status(), 202);
    let log = format!("/repos/octo-org/rockets/hooks/{of_repo}/deliveries");
    let of_repo = &body(bench.get(&log, &token).await).await[0]["id"];
    assert_eq!(bench.get(&format!("{log}/{of_repo}"), &token).await.status(), 200);
    let not_allowed = bench.call(Method::POST, &format!("{log}/{of_repo}/attempts"), &token, None).await;
    assert_eq!(not_allowed.status(), 403);
}

#[tokio::test]
async fn deliveries_look_like_the_example_they_are_made_from() {
    let bench = Bench::new().await;
    bench.github.add_hook(HookTarget::App, "https://hooks.example/");
    let token = bench.token().await;
    for (number, example) in WorkflowJobEvent::examples().iter().enumerate() {
        let spec = JobSpec::labels(["fargate"]).named("deploy").like_example(number);
        let job = bench.github.queue_job(spec);
        let runner = bench.online(&token, &format!("jit-{job}"), &["fargate"]).await;
        bench.github.take_job(runner).unwrap().unwrap();
        bench.github.finish_job(runner, "success");
        let payloads: Vec<Value> = bench
            .github
            .take_deliveries()
            .iter()
            .map(|delivery| serde_json::from_slice(&delivery.body).unwrap())
            .collect();
        for (payload, action) in payloads.iter().zip(["queued", "in_progress", "completed"]) {
            let its = &payload["workflow_job"];
            assert_eq!((&payload["action"], &its["status"], &its["id"]), (&json!(action), &json!(action), &json!(job)));
            assert_eq!((&its["labels"], &its["name"]), (&json!(["fargate"]), &json!("deploy")));
            assert_eq!(its["runner_id"].is_null(), action == "queued");
            assert_eq!(its["conclusion"].is_null(), action != "completed");
            assert_eq!(payload["repository"]["full_name"], "octo-org/octo-repo");
            assert_eq!(payload["organization"]["login"], "octo-org");
            assert_eq!(payload.get("installation").is_some(), example.json().get("installation").is_some());
            assert_eq!(payload["sender"], example.json()["sender"]);
        }
        assert_eq!(payloads.len(), 3);
    }
}

#[tokio::test]
async fn an_example_can_be_adopted_as_it_is() {
    let bench = Bench::new().await;
    for event in WorkflowJobEvent::examples() {
        let job = bench.github.adopt(&event);
        let known = bench.github.job(job).unwrap();
        assert_eq!(
            (json!(known.id), json!(known.labels)),
            (event.json()["workflow_job"]["id"].clone(), event.json()["workflow_job"]["labels"].clone())
        );
    }
    let found = bench.get("/users/wolfy1339/installation", &bench.jwt()).await;
    assert_eq!(body(found).await["id"], 3_456_996);
}
