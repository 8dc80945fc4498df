//! No secret appears in a log, an answer, a message, a tag or a URL.

use std::collections::HashSet;
use std::time::Duration;

use jitgate_tests::aws::answers;
use jitgate_tests::github;
use jitgate_tests::github::keys::AppKey;
use jitgate_tests::lambda::http_event::{Front, scheduled};
use jitgate_tests::lambda::{Function, FunctionError};
use jitgate_tests::payloads::sign;
use jitgate_tests::wire::Fault;
use jitgate_tests::world::{DEAD_LETTER_QUEUE, Delivery, JOB_QUEUE, SECRET_ID, WEBHOOK_SECRET, World};
use serde_json::{Value, json};

use crate::{PLANTED, deliver, delivery, start, work, world};

const PERSONAL_TOKEN: &str = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";

/// Everything that must never appear, in pieces long enough to recognise it.
struct Hidden {
    whole: Vec<String>,
    /// Pieces of 16 bytes of the App's key.
    sixteens: HashSet<Vec<u8>>,
    /// Pieces of 32 bytes of JIT configs.
    thirty_twos: HashSet<Vec<u8>>,
}

impl Hidden {
    fn of(world: &World) -> Self {
        let mut hidden = Self {
            whole: [WEBHOOK_SECRET, PERSONAL_TOKEN, PLANTED].map(str::to_owned).to_vec(),
            sixteens: HashSet::new(),
            thirty_twos: HashSet::new(),
        };
        let key = &AppKey::of_tests().private_pem;
        for line in key.lines().filter(|line| !line.starts_with("-----")) {
            hidden.sixteens.extend(line.as_bytes().windows(16).map(<[u8]>::to_vec));
        }
        for call in world.aws.calls().all().into_iter().filter(|call| call.operation == "RunTask") {
            let request: Value = serde_json::from_str(&call.body).expect("JSON");
            let environment = &request["overrides"]["containerOverrides"][0]["environment"];
            let config = environment[0]["value"].as_str().expect("a config");
            hidden.thirty_twos.extend(config.as_bytes().windows(32).map(<[u8]>::to_vec));
        }
        hidden
    }

    /// The first line of a text that contains a secret. JWTs and JIT configs begin with `eyJ`, GitHub's tokens with the
    /// other two prefixes.
    fn shown_in<'a>(&self, text: &'a str) -> Option<&'a str> {
        text.lines().find(|line| {
            self.whole.iter().any(|secret| line.contains(secret.as_str()))
                || line.as_bytes().windows(16).any(|piece| self.sixteens.contains(piece))
                || line.as_bytes().windows(32).any(|piece| self.thirty_twos.contains(piece))
                || ["ghs_", "ghp_", "eyJ"].iter().any(|form| {
                    line.match_indices(form).any(|(at, _)| {
                        line[at + form.len()..].chars().take_while(char::is_ascii_alphanumeric).count() >= 16
                    })
                })
        })
    }
}

/// Asserts that no secret appears in answers, logs, queues, URLs, messages and tags.
fn assert_nothing_shows(world: &World, functions: &[&Function], said: &str, hidden: &Hidden) {
    let mut places: Vec<(String, String)> = vec![("an answer".to_owned(), said.to_owned())];
    places.extend(functions.iter().map(|function| (format!("the log of {function:?}"), function.output())));
    for queue in [JOB_QUEUE, DEAD_LETTER_QUEUE] {
        places.push((format!("the queue {queue}"), format!("{:?}", world.aws.sqs.messages(queue))));
    }
    for call in world.aws.calls().all().into_iter().chain(world.api.calls.all()) {
        places.push(("a URL".to_owned(), call.target));
        if call.operation == "SendMessage" {
            places.push(("a message".to_owned(), call.body));
        }
    }
    places.extend(world.aws.ecs.tasks().into_iter().map(|task| ("a tag".to_owned(), format!("{:?}", task.tags))));
    let shown =
        places.iter().filter_map(|(place, text)| Some(format!("{place} shows a secret: {}", hidden.shown_in(text)?)));
    let shown: Vec<_> = shown.collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
}

/// Every call of the operation meets this fault until [`clear_faults`]: no number of retries gets past it.
fn fail(world: &World, operation: &str, fault: &Fault) {
    world.aws.faults().script_times(operation, fault.clone(), 1_000);
    world.api.faults.script_times(operation, fault.clone(), 1_000);
}

fn clear_faults(world: &World) {
    world.aws.faults().clear();
    world.api.faults.clear();
}

/// What Lambda gets of an invocation; it logs errors too.
fn heard(answer: Result<Value, FunctionError>) -> String {
    answer.map_or_else(|error| error.to_string(), |answer| answer.to_string()) + "\n"
}

/// An answer with this status and a body that cannot be read.
fn garbage(status: u16, body: &str) -> Fault {
    let answer = http::Response::builder().status(status).header("content-type", "application/json");
    Fault::Refuse(answer.body(body.to_owned().into()).expect("an answer"))
}

#[tokio::test]
async fn no_secret_shows_anywhere_whatever_goes_wrong_and_however_much_is_logged() {
    let world = world().await;
    let (webhook, worker) = (start(&world, "webhook").await, start(&world, "worker").await);
    let cleaner = start(&world, "cleaner").await;
    let mut said = String::new();

    // What the webhook refuses.
    let body = world.github.event(world.queue_job(), "queued").bytes();
    let right = sign(WEBHOOK_SECRET, &body);
    for signature in ["", "sha256=00", &sign("guess", &body)] {
        let forged = Delivery::new("workflow_job", body.clone()).signature(signature);
        said += &heard(webhook.invoke(&forged.event().to_event(Front::HttpApi)).await);
    }
    let secret = github::GitHub::app_secret(WEBHOOK_SECRET).to_string();
    for unusable in
        [&format!("{{ not JSON: {WEBHOOK_SECRET}"), &secret.replace("BEGIN RSA", "BEGIN"), &json!([secret]).to_string()]
    {
        world.aws.secrets.rotate(SECRET_ID, unusable);
        webhook.restart().await;
        worker.restart().await;
        said += &heard(webhook.invoke(&delivery(&world)).await);
        // The worker reads another secret than the webhook did.
        world.aws.secrets.rotate(SECRET_ID, &secret);
        deliver(&webhook, &delivery(&world)).await;
        world.aws.secrets.rotate(SECRET_ID, unusable);
        if let Some(batch) = world.source.take() {
            said += &heard(worker.invoke(batch.event()).await);
        }
        said += &heard(cleaner.invoke(&scheduled(world.clock.now())).await);
        world.aws.secrets.rotate(SECRET_ID, &secret);
    }

    // Faults of AWS and GitHub.
    for (operation, fault) in [
        ("RunTask", Fault::Refuse(answers::invalid_parameter("subnet"))),
        ("RunTask", Fault::Refuse(answers::capacity_unavailable())),
        ("RunTask", Fault::Refuse(answers::conflict(&["arn:aws:ecs:eu-central-1:123456789012:task/x/y".to_owned()]))),
        ("RunTask", Fault::Refuse(answers::ok(&json!({ "unexpected": true })))),
        ("RunTask", Fault::Drop),
        ("SendMessage", Fault::Refuse(answers::server_exception())),
        ("generate-jitconfig", Fault::Refuse(github::answers::bad_credentials())),
        ("generate-jitconfig", Fault::Refuse(github::answers::forbidden())),
        ("generate-jitconfig", Fault::Refuse(github::answers::secondary_limit(Some(Duration::from_secs(1))))),
        ("generate-jitconfig", Fault::Refuse(github::answers::validation_failed(&["labels"]))),
        ("generate-jitconfig", Fault::Refuse(github::answers::server_error())),
        ("generate-jitconfig", Fault::Refuse(github::answers::bad_gateway())),
        ("generate-jitconfig", Fault::LoseAnswer),
        ("access-token", Fault::Refuse(github::answers::forbidden())),
        ("access-token", Fault::Refuse(github::answers::bad_credentials())),
        ("access-token", Fault::Refuse(github::answers::error(422, "The permissions requested are not granted."))),
        ("access-token", Fault::Drop),
    ] {
        worker.restart().await;
        cleaner.restart().await;
        assert_eq!(deliver(&webhook, &delivery(&world)).await, 202);
        fail(&world, operation, &fault);
        said += &heard(work(&worker, &world).await.1);
        said += &heard(cleaner.invoke(&scheduled(world.clock.now())).await);
        clear_faults(&world);
    }
    world.aws.sqs.put(JOB_QUEUE, "nothing that can be read");
    said += &heard(work(&worker, &world).await.1);

    let mut hidden = Hidden::of(&world);
    hidden.whole.push(right);
    assert!(hidden.sixteens.len() > 1000 && hidden.thirty_twos.len() > 1000);
    let log = worker.output();
    assert!(log.contains("job deferred") && log.contains("job given up") && log.contains("runner launched"), "{log}");
    assert_nothing_shows(&world, &[&webhook, &worker, &cleaner], &said, &hidden);
}

/// Asserts that no function quotes this answer to its first call, with nothing cached.
/// The secret that the webhook reads holds the App's key, too.
#[tokio::test]
async fn only_the_webhook_secret_stays_in_the_webhooks_memory() {
    let world = world().await;
    let webhook = start(&world, "webhook").await;
    assert_eq!(deliver(&webhook, &delivery(&world)).await, 202);
    // Has the secret read again, and nothing after it, which would lie over it in the connection's buffers.
    let forged = Delivery::new("workflow_job", b"{}").header("X-Hub-Signature-256", &sign("guess", b"{}"));
    assert_eq!(deliver(&webhook, &forged.event().to_event(Front::FunctionUrl)).await, 401);
    let hidden = Hidden::of(&world);
    let memory = webhook.memory();
    let has = |text: &[u8]| memory.iter().any(|piece| piece.windows(text.len()).any(|window| window == text));
    assert!(has(WEBHOOK_SECRET.as_bytes()), "it keeps this one");
    let left =
        memory.iter().flat_map(|piece| piece.windows(16)).filter(|piece| hidden.sixteens.contains(*piece)).count();
    assert_eq!(left, 0, "pieces of the App's key");
}

async fn assert_not_quoted(world: &World, operation: &str, answer: &Fault) {
    let (webhook, worker) = (start(world, "webhook").await, start(world, "worker").await);
    let cleaner = start(world, "cleaner").await;
    assert_eq!(deliver(&webhook, &delivery(world)).await, 202);
    webhook.restart().await;
    fail(world, operation, answer);
    let said = [
        heard(webhook.invoke(&delivery(world)).await),
        heard(work(&worker, world).await.1),
        heard(cleaner.invoke(&scheduled(world.clock.now())).await),
    ];
    clear_faults(world);
    let functions = [&webhook, &worker, &cleaner];
    assert!(functions.iter().any(|function| function.output().contains("error")), "{operation}: no error is logged");
    assert_nothing_shows(world, &functions, &said.concat(), &Hidden::of(world));
}

#[tokio::test]
async fn an_unreadable_answer_of_github_is_not_quoted() {
    let mut world = world().await;
    world.let_github_talk_nonsense();
    for (operation, body) in [
        ("access-token", format!(r#"{{"token":["{PLANTED}"],"expires_at":"2026-11-02T10:00:00Z"}}"#)),
        ("access-token", format!(r#"{{"token":"x","expires_at":"{PLANTED}"}}"#)),
        ("access-token", PLANTED.to_owned()),
        ("generate-jitconfig", format!(r#"{{"runner":{{"id":"{PLANTED}"}},"encoded_jit_config":"x"}}"#)),
        ("generate-jitconfig", format!(r#"{{"encoded_jit_config":"{PLANTED}"#)),
    ] {
        assert_not_quoted(&world, operation, &garbage(201, &body)).await;
    }
}

/// ECS's tasks contain JIT configs, and Secrets Manager's answers the whole secret.
#[tokio::test]
async fn an_unreadable_answer_of_aws_is_not_quoted() {
    let cut_off = format!(r#"{{"tasks":[{{"overrides":{{"containerOverrides":[{{"environment":[{{"value":"{PLANTED}"#);
    for (operation, status, body) in [
        ("GetSecretValue", 200, format!(r#"{{"Name":"jitgate/github","SecretString":"{PLANTED}"#)),
        ("GetSecretValue", 200, format!(r#"{{"SecretString":{{"token":"{PLANTED}"}}}}"#)),
        ("GetSecretValue", 500, format!(r#"{{"SecretString":"{PLANTED}"}}"#)),
        ("RunTask", 200, cut_off.clone()),
        ("RunTask", 500, cut_off.clone()),
        ("DescribeTasks", 200, cut_off.clone()),
    ] {
        assert_not_quoted(&world().await, operation, &garbage(status, &body)).await;
    }
}

#[tokio::test]
async fn a_personal_access_token_shows_nowhere() {
    let world = world().await;
    world.github.add_personal_token(PERSONAL_TOKEN, &["admin:org", "repo"]);
    let secret = json!({ "token": PERSONAL_TOKEN, "webhook_secret": WEBHOOK_SECRET });
    world.aws.secrets.put(SECRET_ID, &secret.to_string());
    let (webhook, worker) = (start(&world, "webhook").await, start(&world, "worker").await);
    let cleaner = start(&world, "cleaner").await;
    let mut said = String::new();
    for answer in [None, Some(github::answers::bad_credentials()), Some(github::answers::forbidden())] {
        worker.restart().await;
        cleaner.restart().await;
        assert_eq!(deliver(&webhook, &delivery(&world)).await, 202);
        for operation in ["generate-jitconfig", "list-runners"] {
            if let Some(answer) = &answer {
                fail(&world, operation, &Fault::Refuse(answer.clone()));
            }
        }
        said += &heard(work(&worker, &world).await.1);
        said += &heard(cleaner.invoke(&scheduled(world.clock.now())).await);
        clear_faults(&world);
    }
    assert_eq!((world.live_tasks(), world.api_calls("access-token")), (1, 0));
    assert_nothing_shows(&world, &[&webhook, &worker, &cleaner], &said, &Hidden::of(&world));
}
