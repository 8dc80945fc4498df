//! Check runs, and who may write them.

use super::*;

const SHA: &str = "3484a3fb816e0859fd6e1cea078d76385ff50625";
const PATH: &str = "/repos/octo-org/octo-repo/check-runs";

/// A GitHub with a repository, whose App may write check runs.
async fn bench() -> Bench {
    let bench = Bench::new().await;
    bench.github.add_repository(ORGANIZATION, "octo-repo");
    bench.github.grant(INSTALLATION, &[("checks", "write"), ("metadata", "read")]);
    bench
}

fn text(title: &str) -> Value {
    json!({ "title": title, "summary": "Why." })
}

async fn create(bench: &Bench, token: &str, name: &str) -> Value {
    let wanted = json!({ "name": name, "head_sha": SHA, "external_id": "jit-1", "output": text("No capacity") });
    let answer = bench.call(Method::POST, PATH, token, Some(wanted)).await;
    assert_eq!(answer.status(), 201);
    body(answer).await
}

async fn listed(bench: &Bench, token: &str, query: &str) -> Vec<Value> {
    let answer = bench.get(&format!("/repos/octo-org/octo-repo/commits/{SHA}/check-runs{query}"), token).await;
    assert_eq!(answer.status(), 200);
    body(answer).await["check_runs"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn a_check_run_is_made_changed_completed_and_opened_again() {
    let bench = bench().await;
    let token = bench.token().await;
    let made = create(&bench, &token, "a").await;
    assert_eq!((&made["status"], &made["conclusion"]), (&json!("queued"), &Value::Null));
    let path = format!("{PATH}/{}", made["id"]);
    let done = json!({ "conclusion": "neutral", "output": text("Over") });
    let done = body(bench.call(Method::PATCH, &path, &token, Some(done)).await).await;
    assert_eq!((&done["status"], &done["output"]["title"]), (&json!("completed"), &json!("Over")));
    assert!(done["completed_at"].is_string());
    let again = json!({ "status": "queued", "output": text("No capacity") });
    let again = body(bench.call(Method::PATCH, &path, &token, Some(again)).await).await;
    assert_eq!((&again["status"], &again["conclusion"]), (&json!("queued"), &Value::Null));
    assert_eq!(again["external_id"], "jit-1");
}

#[tokio::test]
async fn a_commits_check_runs_are_listed_by_name_the_latest_of_each_or_all() {
    let bench = bench().await;
    let token = bench.token().await;
    for name in ["a", "a", "b"] {
        create(&bench, &token, name).await;
    }
    assert_eq!(listed(&bench, &token, "").await.len(), 2);
    assert_eq!(listed(&bench, &token, "?check_name=a").await.len(), 1);
    assert_eq!(listed(&bench, &token, "?check_name=a&filter=all").await.len(), 2);
    assert_eq!(listed(&bench, &token, "?filter=all&per_page=2").await.len(), 2);
    assert!(listed(&bench, &token, "?check_name=c").await.is_empty());
}

#[tokio::test]
async fn what_github_would_not_take_is_refused() {
    let bench = bench().await;
    let token = bench.token().await;
    for (wanted, says) in [
        (json!({ "name": "a", "head_sha": "0".repeat(40) }), "No commit found for SHA"),
        (json!({ "name": "a", "head_sha": SHA, "status": "completed" }), "No conclusion"),
        (
            json!({ "name": "a", "head_sha": SHA, "output": { "title": "t", "summary": "x".repeat(65_536) } }),
            "Validation Failed",
        ),
    ] {
        let (status, message) = refusal(bench.call(Method::POST, PATH, &token, Some(wanted)).await).await;
        assert!(status == 422 && message.contains(says), "{status} {message}");
    }
    let unknown = bench.call(Method::PATCH, &format!("{PATH}/1"), &token, Some(json!({ "status": "queued" }))).await;
    assert_eq!(unknown.status(), 404);
}

#[tokio::test]
async fn only_an_app_with_the_permission_writes_check_runs() {
    let bench = bench().await;
    let wanted = json!({ "name": "a", "head_sha": SHA });
    let reader = bench.token_with(Some(json!({ "permissions": { "checks": "read" } }))).await;
    let reader = body(reader).await["token"].as_str().expect("a token").to_owned();
    assert!(listed(&bench, &reader, "").await.is_empty());
    let answer = bench.call(Method::POST, PATH, &reader, Some(wanted.clone())).await;
    assert_eq!(refusal(answer).await, (StatusCode::FORBIDDEN, "Resource not accessible by integration".to_owned()));
    bench.github.add_personal_token("ghp_1", &["repo"]);
    assert!(listed(&bench, "ghp_1", "").await.is_empty());
    let answer = bench.call(Method::POST, PATH, "ghp_1", Some(wanted)).await;
    assert_eq!(refusal(answer).await, (StatusCode::FORBIDDEN, "You must authenticate via a GitHub App.".to_owned()));
    bench.github.grant(INSTALLATION, &PERMISSIONS);
    let answer = bench.token_with(Some(json!({ "permissions": { "checks": "write" } }))).await;
    assert_eq!(answer.status(), 422, "not granted");
}
