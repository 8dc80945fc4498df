//! Apps that are made from manifests.

use super::person::{Person, manifest};
use super::*;
use crate::github::courier::Courier;
use crate::openapi::payload_violations;

#[tokio::test]
async fn a_new_app_signs_in_with_its_own_key_until_it_is_deleted() {
    let person = Person::new().await;
    let app = person.app().await;
    let url = person.bench.endpoint.url();
    assert_eq!(app["html_url"], format!("{url}/github-apps/jitgate-4711"));
    assert_eq!((&app["slug"], &app["owner"]["login"]), (&json!("jitgate-4711"), &json!("acme")));
    let permissions = json!({ "actions": "read", "metadata": "read", "organization_self_hosted_runners": "write" });
    assert_eq!((&app["permissions"], &app["events"]), (&permissions, &json!(["workflow_job"])));
    assert_eq!(app["webhook_secret"].as_str().map(str::len), Some(40));
    let own = body(person.bench.get("/app", &person.jwt(&app)).await).await;
    assert_eq!((&own["id"], &own["installations_count"]), (&app["id"], &json!(0)));

    let settings = person.see("/organizations/acme/settings/apps/jitgate-4711").await;
    assert!(settings.text.contains("jitgate-4711") && settings.text.contains("Install App"), "{}", settings.text);
    let advanced = "/organizations/acme/settings/apps/jitgate-4711/advanced";
    assert!(person.see(advanced).await.text.contains("Delete GitHub App"));
    assert_eq!(person.send(advanced, &[("verify", "another")]).await.status, 422);
    assert_eq!(
        person.send(advanced, &[("verify", "jitgate-4711")]).await.location,
        "/organizations/acme/settings/apps"
    );
    let gone = person.bench.get("/app", &person.jwt(&app)).await;
    assert_eq!(refusal(gone).await, (StatusCode::NOT_FOUND, "Integration not found".to_owned()));
    assert!(person.bench.github.apps().is_empty());
    person.bench.github.assert_spoke_github();
}

#[tokio::test]
async fn an_app_without_a_hook_has_no_secret_and_no_key_before_it_is_converted() {
    let person = Person::new().await;
    let mut plain = manifest();
    plain.as_object_mut().unwrap().remove("hook_attributes");
    let code = person.create(&plain).await.parameter("code").unwrap();
    let now = START.unix_timestamp();
    let id = json!(person.bench.github.apps()[0].id);
    let early = person.bench.get("/app", &Bench::jwt_of(&id, now, now + 60)).await;
    assert_eq!(refusal(early).await, (StatusCode::UNAUTHORIZED, "Integration must generate a public key".to_owned()));
    let (_, app) = person.convert(&code).await;
    assert_eq!(app["webhook_secret"], Value::Null);
    assert_eq!(person.bench.get("/app/hook/config", &person.jwt(&app)).await.status(), 404);
}

#[tokio::test]
async fn a_new_hook_is_pinged_before_its_secret_is_known_and_again_on_demand() {
    let person = Person::new().await;
    let app = person.app().await;
    let jwt = person.jwt(&app);
    let ping = person.bench.github.take_deliveries().pop().unwrap();
    assert_eq!((ping.event.as_str(), ping.url.as_str()), ("ping", "https://abc.lambda-url.us-east-1.on.aws/"));
    assert_eq!(json!(ping.secret), app["webhook_secret"]);
    let payload: Value = serde_json::from_slice(&ping.body).unwrap();
    assert_eq!(payload_violations("webhook-ping", &payload), Vec::<String>::new());
    assert_eq!((&payload["hook"]["type"], &payload["hook"]["app_id"]), (&json!("App"), &app["id"]));
    person.bench.github.delivered(ping.id, Outcome { status: 401, body: "{}".to_owned() });
    let log = body(person.bench.get("/app/hook/deliveries", &jwt).await).await;
    assert_eq!(
        (&log[0]["event"], &log[0]["action"], &log[0]["status_code"]),
        (&json!("ping"), &Value::Null, &json!(401))
    );
    let again = format!("/app/hook/deliveries/{}/attempts", ping.id);
    assert_eq!(person.bench.call(Method::POST, &again, &jwt, None).await.status(), 202);
    let again = person.bench.github.take_deliveries().pop().unwrap();
    assert_eq!((again.redelivery, &again.guid), (true, &ping.guid));
}

#[tokio::test]
async fn a_hook_can_be_led_elsewhere_and_its_secret_is_never_shown() {
    let person = Person::new().await;
    let app = person.app().await;
    let jwt = person.jwt(&app);
    let config = body(person.bench.get("/app/hook/config", &jwt).await).await;
    assert_eq!(config["secret"], "********");
    let wanted = json!({ "url": "https://hooks.example/", "secret": "a better secret" });
    let changed = person.bench.call(Method::PATCH, "/app/hook/config", &jwt, Some(wanted)).await;
    let changed = body(changed).await;
    assert_eq!((&changed["url"], &changed["secret"]), (&json!("https://hooks.example/"), &json!("********")));
    let ping = person.bench.github.take_deliveries().pop().unwrap();
    assert_eq!((ping.url.as_str(), ping.secret.as_deref()), ("https://hooks.example/", Some("a better secret")));
    person.bench.github.assert_spoke_github();
}

#[tokio::test]
async fn a_courier_reaches_each_hook_through_a_gateway_by_its_host() {
    let person = Person::new().await;
    let app = person.app().await;
    let gateway = serve(Arc::new(Echo)).await;
    let courier = Courier::to_hooks(person.bench.github.clone(), Some(gateway.url().parse().unwrap()));
    let ping = person.bench.github.take_deliveries().pop().unwrap();
    let seen: Value = serde_json::from_str(&courier.deliver(&ping).await.body).unwrap();
    assert_eq!(seen["host"], "abc.lambda-url.us-east-1.on.aws");
    let secret = app["webhook_secret"].as_str().unwrap();
    assert_eq!(seen["signature"], crate::payloads::sign(secret, &ping.body));
    let by_hand = courier.post("ping", "a-guid", b"{}".to_vec(), Some("sha256=00".to_owned())).await;
    let seen: Value = serde_json::from_str(&by_hand.body).unwrap();
    assert_eq!((&seen["host"], &seen["signature"]), (&json!("abc.lambda-url.us-east-1.on.aws"), &json!("sha256=00")));
    for (github, gateway) in
        [(person.bench.github.clone(), None), (GitHub::empty_unchecked(Clock::system()), Some(gateway.url()))]
    {
        let courier = Courier::to_hooks(github, gateway.map(|url| url.parse().unwrap()));
        assert_eq!(courier.post("ping", "a-guid", Vec::new(), None).await, Outcome::unreachable());
    }
}

/// Answers what it was sent.
struct Echo;

impl Service for Echo {
    fn operation(&self, _: &Request) -> String {
        "echo".to_owned()
    }

    fn answer<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Answer> {
        let header = |name: &str| request.headers()[name].to_str().unwrap();
        let seen = json!({ "host": header("host"), "signature": header("x-hub-signature-256") });
        futures::future::ready(crate::wire::json(200, &seen)).boxed()
    }
}
