//! The stand-in against GitHub's description.

use super::*;

#[tokio::test]
async fn scripted_refusals_have_githubs_shape() {
    use crate::wire::Fault;

    let bench = Bench::new().await;
    let token = bench.token().await;
    let minute = Some(Duration::from_mins(1));
    for answer in [
        answers::secondary_limit(minute),
        answers::secondary_limit(None),
        answers::secondary_limit_as(429, minute),
        answers::primary_limit(START),
        answers::bad_credentials(),
        answers::forbidden(),
        answers::not_found(),
        answers::name_in_use("jit-1"),
        answers::validation_failed(&["no"]),
        answers::server_error(),
        answers::bad_gateway(),
        answers::unavailable(),
    ] {
        let status = answer.status();
        bench.endpoint.faults.script(operation::GENERATE_JITCONFIG, Fault::Refuse(answer));
        assert_eq!(bench.register(&token, "jit-1", &["fargate"]).await.status(), status);
    }
    bench.github.assert_spoke_github();
}

#[tokio::test]
async fn nothing_secret_is_in_a_violation() {
    let bench = Bench::new().await;
    let wrong = json!({ "name": ["ghp_secret"], "runner_group_id": "ghp_secret", "labels": "ghp_secret" });
    let path = "/orgs/octo-org/actions/runners/generate-jitconfig";
    bench.call(Method::POST, path, "ghp_secret", Some(wrong)).await;
    let found = bench.github.violations();
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(!found.concat().contains("ghp_secret"), "{found:?}");
}
