//! Stories of the webhook: every request gets an answer.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use jitgate::aws::Patience;
use jitgate::config::WebhookConfig;
use jitgate::job::Message;
use jitgate_tests::aws::answers;
use jitgate_tests::github::GitHub;
use jitgate_tests::lambda::http_event::Front;
use jitgate_tests::logs::logged;
use jitgate_tests::payloads::{WorkflowJobEvent, examples, sign};
use jitgate_tests::wire::Fault;
use jitgate_tests::world::{Delivery, JOB_QUEUE, SECRET_ID, START, WEBHOOK_SECRET, World, answer};
use proptest::prelude::*;
use serde_json::{Value, json};
use webhook::{HttpResponse, Webhook};

fn status(response: &HttpResponse) -> (u16, String) {
    let body: Value = serde_json::from_str(&response.body).expect("a JSON body");
    assert!(body["status"].is_string() && body["reason"].is_string(), "{body}");
    (response.status_code, body["status"].as_str().unwrap_or_default().to_owned())
}

fn reason(response: &HttpResponse) -> String {
    let body: Value = serde_json::from_str(&response.body).expect("a JSON body");
    body["reason"].as_str().expect("a reason").to_owned()
}

fn queued() -> WorkflowJobEvent {
    WorkflowJobEvent::queued().labels(["fargate", "Linux"])
}

#[tokio::test]
async fn a_fitting_job_is_on_the_queue_before_github_gets_202() {
    let world = World::new().await;
    let response = world.deliver(&queued()).await;
    assert_eq!(status(&response), (202, "queued".to_owned()));
    let messages = world.aws.sqs.messages(JOB_QUEUE);
    assert_eq!(messages.len(), 1);
    insta::assert_snapshot!(messages[0].body);
    let owner = queued().json()["repository"]["owner"]["id"].to_string();
    assert_eq!(messages[0].group.as_deref(), Some(owner.as_str()), "the owner is the tenant of the fair queue");
}

#[tokio::test]
async fn all_three_kinds_of_event_are_understood_alike() {
    let world = World::new().await;
    let delivery = Delivery::signed("workflow_job", queued().bytes());
    let events = Front::ALL.map(|front| [delivery.event().to_event(front), delivery.event().base64().to_event(front)]);
    for event in events.into_iter().flatten() {
        assert_eq!(status(&answer(&world.webhook, event).await), (202, "queued".to_owned()));
    }
    let messages = world.aws.sqs.messages(JOB_QUEUE);
    assert_eq!(messages.len(), 6);
    assert!(messages.iter().all(|message| message.body == messages[0].body));
}

#[tokio::test]
async fn each_of_githubs_own_examples_is_answered_with_a_success() {
    let world = World::new().await;
    assert_eq!(WorkflowJobEvent::examples().len(), 8);
    for event in WorkflowJobEvent::examples() {
        let response = world.deliver(&event).await;
        assert_eq!(status(&response), (200, "ignored".to_owned()), "{}", event.json());
    }
    for event in WorkflowJobEvent::examples() {
        let action = event.json()["action"].clone();
        let response = world.deliver(&event.labels(["fargate"]).public(false)).await;
        let expected = if action == "queued" { (202, "queued") } else { (200, "ignored") };
        assert_eq!(status(&response), (expected.0, expected.1.to_owned()), "{action}");
    }
}

#[tokio::test]
async fn a_ping_is_answered_and_other_events_are_ignored_with_the_reason() {
    let world = World::new().await;
    let ping = serde_json::to_vec(&examples("ping")[0]).unwrap();
    assert_eq!(world.request(&Delivery::signed("ping", ping)).await.status_code, 200);
    let response = world.request(&Delivery::signed("push", "{}")).await;
    assert_eq!(status(&response), (200, "ignored".to_owned()));
    assert!(reason(&response).contains("push"));
    for action in ["in_progress", "waiting", "invented"] {
        let response = world.deliver(&queued().action(action)).await;
        assert_eq!(status(&response), (200, "ignored".to_owned()));
        assert!(reason(&response).contains(action));
    }
    assert_eq!(world.waiting(), 0);
}

#[tokio::test]
async fn labels_that_fit_no_class_are_named() {
    let world = World::new().await;
    let response = world.deliver(&queued().labels(["fargate", "macos"])).await;
    assert_eq!(status(&response), (200, "ignored".to_owned()));
    assert!(reason(&response).contains("fargate, macos"), "{}", response.body);
    let response = world.deliver(&queued().labels(Vec::<String>::new())).await;
    assert!(reason(&response).contains("no labels"), "{}", response.body);
    assert_eq!(world.waiting(), 0);
}

#[tokio::test]
async fn a_wrong_signature_is_refused_without_saying_what_the_right_one_is() {
    let world = World::new().await;
    let body = queued().bytes();
    let right = sign(WEBHOOK_SECRET, &body);
    let unsigned = Delivery::new("workflow_job", body.clone());
    for delivery in [
        unsigned.clone(),
        unsigned.clone().signature(""),
        unsigned.clone().signature("sha256="),
        unsigned.clone().signature(&right.replace("sha256=", "sha1=")),
        unsigned.clone().signature(&right[..right.len() - 1]),
        unsigned.clone().signature(&sign("another secret", &body)),
        unsigned.clone().signature(&sign(WEBHOOK_SECRET, b"another body")),
    ] {
        let response = world.request(&delivery).await;
        assert_eq!(status(&response), (401, "refused".to_owned()));
        assert!(!response.body.contains(&right[7..]), "{}", response.body);
    }
    assert_eq!(world.waiting(), 0);
}

#[tokio::test]
async fn requests_that_cannot_be_deliveries_are_refused_before_anything_is_called() {
    let world = World::new().await;
    let delivery = Delivery::signed("workflow_job", queued().bytes());
    for method in ["GET", "PUT", "HEAD", "DELETE"] {
        assert_eq!(status(&world.request(&delivery.clone().method(method)).await), (405, "refused".to_owned()));
    }
    let form = delivery.clone().header("Content-Type", "application/x-www-form-urlencoded; charset=utf-8");
    let response = world.request(&form).await;
    assert_eq!(status(&response), (415, "refused".to_owned()));
    assert!(reason(&response).contains("application/json"));
    let large = Delivery::signed("workflow_job", vec![b' '; 1024 * 1024 + 1]);
    assert_eq!(status(&world.request(&large).await), (413, "refused".to_owned()));
    assert_eq!(
        status(&answer(&world.webhook, large.event().base64().to_event(Front::FunctionUrl)).await),
        (413, "refused".to_owned())
    );
    let mut not_base64 = delivery.event().to_event(Front::FunctionUrl);
    not_base64["isBase64Encoded"] = true.into();
    assert_eq!(status(&answer(&world.webhook, not_base64).await), (400, "refused".to_owned()));
    assert!(world.aws.calls().all().is_empty());
}

#[tokio::test]
async fn the_largest_body_is_still_taken() {
    let world = World::new().await;
    let mut body = queued().bytes();
    body.resize(1024 * 1024, b' ');
    let delivery = Delivery::signed("workflow_job", body);
    assert_eq!(world.request(&delivery).await.status_code, 202);
    assert_eq!(answer(&world.webhook, delivery.event().base64().to_event(Front::FunctionUrl)).await.status_code, 202);
}

#[tokio::test]
async fn a_signed_payload_that_lacks_something_is_refused_with_the_fields_name() {
    let world = World::new().await;
    let refuse = async |body: Vec<u8>| {
        let response = world.request(&Delivery::signed("workflow_job", body)).await;
        assert_eq!(status(&response), (400, "refused".to_owned()), "{}", response.body);
        reason(&response)
    };
    for (body, says) in [
        ("", "not a JSON object"),
        ("no", "not a JSON object"),
        ("[\"queued\"]", "not a JSON object"),
        ("{", "not JSON"),
        ("{}", "action"),
    ] {
        let found = refuse(body.into()).await;
        assert!(found.contains(says), "{body:?}: {found}");
    }
    for pointer in [
        "/workflow_job",
        "/workflow_job/id",
        "/workflow_job/run_id",
        "/workflow_job/labels",
        "/repository",
        "/repository/name",
        "/repository/owner",
        "/repository/owner/login",
        "/repository/owner/id",
    ] {
        let field = pointer.rsplit('/').next().unwrap();
        let found = refuse(queued().without(pointer).bytes()).await;
        assert!(found.contains(field), "{pointer} missing: {found}");
        let found = refuse(queued().with(pointer, json!({ "of": ["another", "kind"] })).bytes()).await;
        assert!(found.contains(field), "{pointer} of another type: {found}");
        let found = refuse(queued().with(pointer, Value::Null).bytes()).await;
        assert!(found.contains(field), "{pointer} null: {found}");
    }
    let found = refuse(queued().with("/workflow_job/created_at", json!("yesterday")).bytes()).await;
    assert!(found.contains("created_at"), "{found}");
    let found = refuse(queued().with("/repository/name", json!("")).bytes()).await;
    assert!(found.contains("repository.name"), "{found}");
    let nameless = Delivery::signed("workflow_job", queued().bytes()).without_header("X-GitHub-Event");
    let response = world.request(&nameless).await;
    assert_eq!(response.status_code, 400);
    assert!(reason(&response).contains("X-GitHub-Event"));
    assert_eq!(world.waiting(), 0);
}

/// `..` would lead to another route of GitHub's, and a URL drops a line break without a word.
#[tokio::test]
async fn a_signed_payload_with_a_name_that_github_cannot_have_given_is_refused() {
    let world = World::new().await;
    let queued = || queued().of_organization("octo-org");
    for action in ["queued", "completed"] {
        for pointer in ["/repository/name", "/repository/owner/login", "/organization/login"] {
            for name in [".", "..", "x\ny", "x\r", "x\ty", "x y", "x/y", "x\\y", "%2e%2e", "x?y", "x#y", "ä", "x\0"] {
                let event = queued().action(action).with(pointer, json!(name));
                let response = world.deliver(&event).await;
                assert_eq!(status(&response), (400, "refused".to_owned()), "{pointer} {name:?}: {}", response.body);
                let field = pointer.trim_start_matches('/').replace('/', ".");
                assert!(reason(&response).contains(&field), "{}", response.body);
            }
        }
    }
    for (pointer, name) in [
        ("/repository/name", "r".repeat(101)),
        ("/repository/owner/login", "o".repeat(40)),
        ("/repository/owner/login", "o.o".to_owned()),
        ("/organization/login", "o".repeat(40)),
    ] {
        assert_eq!(world.deliver(&queued().with(pointer, json!(name))).await.status_code, 400, "{pointer} {name}");
    }
    assert_eq!(world.waiting(), 0);
    for (owner, name) in [("octocat_acme", ".github"), ("Old--", "a.b_c-d"), ("0", "...")] {
        let event = queued().in_repository(owner, name).of_organization(owner);
        assert_eq!(world.deliver(&event).await.status_code, 202, "{owner}/{name}");
    }
}

#[tokio::test]
async fn optional_fields_may_be_missing() {
    let world = World::new().await;
    let event = queued().without("/organization").without("/installation").without("/workflow_job/html_url");
    let event = event.without("/workflow_job/run_attempt").without("/workflow_job/created_at");
    let event = event.without("/workflow_job/workflow_name");
    assert_eq!(world.deliver(&event).await.status_code, 202);
    let message = Message::parse(&world.aws.sqs.messages(JOB_QUEUE)[0].body).unwrap();
    assert_eq!(message.job.installation_id, None);
    assert_eq!((message.job.html_url, message.job.workflow), (None, None));
    assert_eq!((message.job.run_attempt, message.job.created_at), (1, START));
}

#[tokio::test]
async fn the_message_stays_small_however_long_the_names() {
    let world = World::with(&[("RUNNER_CLASSES", &long_class())]).await;
    let event = queued()
        .in_repository(&"o".repeat(39), &"r".repeat(100))
        .of_organization(&"o".repeat(39))
        .labels([long_label('a'), long_label('b')])
        .with("/workflow_job/html_url", json!(format!("https://github.com/{}", "x".repeat(173))))
        .with("/workflow_job/workflow_name", json!("w".repeat(5000)))
        .with("/workflow_job/name", json!("n".repeat(5000)));
    assert_eq!(world.deliver(&event).await.status_code, 202);
    let body = world.aws.sqs.messages(JOB_QUEUE)[0].body.clone();
    let job = Message::parse(&body).unwrap().job;
    assert!(job.html_url.is_some() && job.workflow == Some("w".repeat(64)), "{job:?}");
    assert!(body.len() <= 1120, "{} bytes", body.len());
    let event = event.with("/workflow_job/html_url", json!(format!("https://github.com/{}", "x".repeat(174))));
    assert_eq!(world.deliver(&event).await.status_code, 202);
    assert_eq!(Message::parse(&world.aws.sqs.messages(JOB_QUEUE)[1].body).unwrap().job.html_url, None);
    let response = world.deliver(&event.labels([long_label('a'), long_label('b'), "fargate".to_owned()])).await;
    assert_eq!(status(&response), (200, "ignored".to_owned()));
    assert!(reason(&response).contains("300 characters"), "{}", response.body);
}

fn long_label(letter: char) -> String {
    letter.to_string().repeat(150)
}

fn long_class() -> String {
    json!([{
        "name": "c".repeat(24),
        "labels": [long_label('a'), long_label('b'), "fargate"],
        "task_definition": "runner",
        "subnets": ["subnet-1"],
    }])
    .to_string()
}

#[tokio::test]
async fn when_the_queue_refuses_github_gets_503_and_the_next_delivery_starts_afresh() {
    let world = World::new().await;
    world.aws.faults().script("SendMessage", Fault::Refuse(answers::unavailable()));
    world.aws.faults().script("SendMessage", Fault::Drop);
    assert_eq!(status(&world.deliver(&queued()).await), (503, "failed".to_owned()));
    assert_eq!(status(&world.deliver(&queued()).await), (503, "failed".to_owned()));
    assert_eq!(world.deliver(&queued()).await.status_code, 202);
    assert_eq!(world.waiting(), 1);
}

#[tokio::test]
async fn when_the_secret_cannot_be_read_github_gets_503_and_the_next_delivery_starts_afresh() {
    let world = World::new().await;
    world.aws.faults().script("GetSecretValue", Fault::Refuse(answers::unavailable()));
    assert_eq!(status(&world.deliver(&queued()).await), (503, "failed".to_owned()));
    assert_eq!(world.deliver(&queued()).await.status_code, 202);
    world.aws.secrets.rotate(SECRET_ID, r#"{"webhook_secret":""}"#);
    let webhook = world.new_webhook().unwrap();
    let event = Delivery::signed("workflow_job", queued().bytes()).event().to_event(Front::FunctionUrl);
    assert_eq!(status(&answer(&webhook, event).await), (503, "failed".to_owned()));
}

#[tokio::test]
async fn the_secret_is_read_once_for_many_deliveries_and_again_after_a_while() {
    let world = World::new().await;
    for _ in 0..20 {
        world.deliver(&queued()).await;
    }
    assert_eq!(world.aws.calls().count("GetSecretValue"), 1);
    assert_eq!(world.aws.calls().count("SendMessage"), 20, "one call per delivery");
    world.clock.advance(Duration::from_mins(6));
    world.deliver(&queued()).await;
    assert_eq!(world.aws.calls().count("GetSecretValue"), 2);
}

#[tokio::test]
async fn a_cached_secret_serves_while_secrets_manager_is_down_but_not_for_ever() {
    let world = World::new().await;
    world.deliver(&queued()).await;
    world.aws.faults().script_times("GetSecretValue", Fault::Refuse(answers::unavailable()), 1000);
    world.clock.advance(Duration::from_mins(30));
    for _ in 0..50 {
        assert_eq!(world.deliver(&queued()).await.status_code, 202);
    }
    assert_eq!(world.aws.calls().count("GetSecretValue"), 2, "not read for each delivery");
    world.clock.advance(Duration::from_mins(31));
    assert_eq!(world.deliver(&queued()).await.status_code, 503);
}

#[tokio::test]
async fn a_cached_secret_serves_in_time_while_secrets_manager_does_not_answer() {
    let world = World::new().await;
    let retries = RetryConfig::standard().with_max_attempts(3);
    let sdk = world.aws.sdk_config_with(retries).into_builder().timeout_config(Patience::WEBHOOK.timeouts()).build();
    let config = WebhookConfig::from_environment(&world.environment()).expect("a complete environment");
    let webhook = Webhook::new(&sdk, config, world.clock.clone());
    let (body, signature) = queued().signed(WEBHOOK_SECRET);
    let delivery = Delivery::new("workflow_job", body).signature(&signature).event().to_event(Front::FunctionUrl);
    assert_eq!(answer(&webhook, delivery.clone()).await.status_code, 202);
    world.clock.advance(Duration::from_mins(6));
    world.aws.faults().script_times("GetSecretValue", Fault::Delay(Duration::from_mins(1)), 9);
    // The function's time-out. Source: `template.yaml`.
    let response = tokio::time::timeout(Duration::from_secs(10), answer(&webhook, delivery)).await;
    assert_eq!(response.expect("its time is over").status_code, 202);
}

#[tokio::test]
async fn a_rotation_needs_no_redeploy_and_loses_no_delivery() {
    let world = World::new().await;
    let signed_with = |secret: &str| {
        let delivery = Delivery::new("workflow_job", queued().bytes());
        let signature = sign(secret, &delivery.body);
        delivery.signature(&signature)
    };
    assert_eq!(world.request(&signed_with(WEBHOOK_SECRET)).await.status_code, 202);
    world.aws.secrets.rotate(SECRET_ID, &GitHub::app_secret("the next one").to_string());
    world.clock.advance(Duration::from_secs(6));
    assert_eq!(world.request(&signed_with("the next one")).await.status_code, 202, "the new secret, at once");
    assert_eq!(world.request(&signed_with(WEBHOOK_SECRET)).await.status_code, 202, "and still the old secret");
    let fresh = world.new_webhook().unwrap();
    let old = answer(&fresh, signed_with(WEBHOOK_SECRET).event().to_event(Front::FunctionUrl)).await;
    assert_eq!(old.status_code, 202, "also in a process that never saw it as current");
    world.aws.secrets.rotate(SECRET_ID, &GitHub::app_secret("the one after").to_string());
    world.clock.advance(Duration::from_mins(6));
    assert_eq!(world.request(&signed_with(WEBHOOK_SECRET)).await.status_code, 401, "two rotations later it is invalid");
}

#[tokio::test]
async fn a_payload_that_does_not_say_counts_as_public_and_an_internal_repository_as_private() {
    let world = World::new().await;
    let silent = queued().without("/repository/private").without("/repository/visibility");
    let response = world.deliver(&silent).await;
    assert!(response.status_code == 200 && response.body.contains("the repository is public"), "{}", response.body);
    let internal = queued().with("/repository/private", json!(true)).with("/repository/visibility", json!("internal"));
    assert_eq!(world.deliver(&internal).await.status_code, 202);
}

#[tokio::test]
async fn two_rotations_within_five_minutes_leave_only_the_last_two_secrets_valid() {
    let world = World::new().await;
    let signed_with = |secret: &str| {
        let delivery = Delivery::new("workflow_job", queued().bytes());
        let signature = sign(secret, &delivery.body);
        delivery.signature(&signature)
    };
    assert_eq!(world.request(&signed_with(WEBHOOK_SECRET)).await.status_code, 202);
    for next in ["the next one", "the one after"] {
        world.clock.advance(Duration::from_mins(1));
        world.aws.secrets.rotate(SECRET_ID, &GitHub::app_secret(next).to_string());
    }
    world.clock.advance(Duration::from_secs(6));
    assert_eq!(world.request(&signed_with("the one after")).await.status_code, 202, "at once");
    assert_eq!(world.request(&signed_with("the next one")).await.status_code, 202, "the previous one");
    assert_eq!(world.request(&signed_with(WEBHOOK_SECRET)).await.status_code, 401, "no version any more");
}

#[tokio::test]
async fn a_forged_flood_does_not_become_a_flood_of_calls() {
    let world = World::new().await;
    let forged = Delivery::new("workflow_job", queued().bytes()).signature(&sign("guess", &queued().bytes()));
    for _ in 0..200 {
        assert_eq!(world.request(&forged).await.status_code, 401);
    }
    let calls = world.aws.calls().count("GetSecretValue");
    assert!(calls <= 3, "{calls} calls");
    for second in 0..60 {
        world.clock.advance(Duration::from_secs(1));
        assert_eq!(world.request(&forged).await.status_code, 401, "second {second}");
    }
    let calls = world.aws.calls().count("GetSecretValue");
    assert!(calls <= 3 + 2 * 13, "{calls} calls in a minute");
    world.aws.faults().script_times("GetSecretValue", Fault::Refuse(answers::unavailable()), 1000);
    world.clock.advance(Duration::from_secs(6));
    let before = world.aws.calls().count("GetSecretValue");
    let flood = async {
        for _ in 0..50 {
            assert_eq!(world.request(&forged).await.status_code, 503, "the signature cannot be checked now");
        }
    };
    let ((), lines) = logged(flood).await;
    let errors = lines.lines().filter(|line| line.contains("cannot be verified")).count();
    assert_eq!(errors, 1, "one line for each real look: {lines}");
    let calls = world.aws.calls().count("GetSecretValue") - before;
    assert!(calls <= 2, "{calls} calls while Secrets Manager is down");
}

#[tokio::test]
async fn the_birth_time_is_when_the_delivery_came() {
    let world = World::new().await;
    world.deliver(&queued()).await;
    let message = Message::parse(&world.aws.sqs.messages(JOB_QUEUE)[0].body).unwrap();
    assert_eq!((message.progress.born_at, message.job.queued_at), (START, START));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_flipped_bit_of_body_or_signature_is_refused(place in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let body = queued().bytes();
        let signature = hex::decode(&sign(WEBHOOK_SECRET, &body)[7..]).unwrap();
        let parse = |bytes: &[u8]| {
            webhook::signature::Signature::parse(&format!("sha256={}", hex::encode(bytes))).unwrap()
        };
        prop_assert!(parse(&signature).is_of(WEBHOOK_SECRET.as_bytes(), &body));
        let mut changed = body.clone();
        changed[place.index(body.len())] ^= 1 << bit;
        prop_assert!(!parse(&signature).is_of(WEBHOOK_SECRET.as_bytes(), &changed));
        let mut changed = signature.clone();
        changed[place.index(signature.len())] ^= 1 << bit;
        prop_assert!(!parse(&changed).is_of(WEBHOOK_SECRET.as_bytes(), &body));
    }

    #[test]
    fn no_header_text_makes_the_parser_panic(text in ".{0,100}") {
        let _ = webhook::signature::Signature::parse(&text);
    }
}
