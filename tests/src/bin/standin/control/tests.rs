//! The control API, over HTTP.

use std::sync::Mutex;

use jitgate::clock::Clock;
use jitgate_tests::github::HookTarget;
use jitgate_tests::payloads::sign;
use jitgate_tests::wire::serve;

use super::*;

/// A webhook that answers 401 to bad signatures.
struct Webhook(Mutex<Vec<Value>>);

impl Service for Webhook {
    fn operation(&self, _: &Request) -> String {
        "deliver".to_owned()
    }

    fn answer<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Answer> {
        self.0.lock().unwrap().push(serde_json::from_slice(request.body()).unwrap());
        let fits = request.headers()["x-hub-signature-256"] == sign("a secret", request.body()).as_str();
        let answer = wire::json(if fits { 202 } else { 401 }, &json!({ "status": "seen" }));
        futures::future::ready(answer).boxed()
    }
}

struct Bench {
    endpoint: Endpoint,
    webhook: Arc<Webhook>,
    _webhook_endpoint: Endpoint,
    http: reqwest::Client,
}

impl Bench {
    async fn new() -> Self {
        let webhook = Arc::new(Webhook(Mutex::default()));
        let there = serve(Arc::clone(&webhook) as Arc<dyn Service>).await;
        let github = GitHub::new(Clock::system());
        github.add_hook(HookTarget::App, &there.url());
        let courier = Arc::new(Courier::new(github.clone(), there.url(), None, "a secret".to_owned()));
        let standin = Arc::new(Standin::new(github, Arc::clone(&courier), Fates::default()));
        let endpoint = serve(Arc::clone(&standin) as Arc<dyn Service>).await;
        standin.attach(&endpoint);
        tokio::spawn(courier.run());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { endpoint, webhook, _webhook_endpoint: there, http }
    }

    async fn post(&self, what: &str, body: Value) -> (u16, Value) {
        let url = format!("{}/_standin/{what}", self.endpoint.url());
        let answer = self.http.post(url).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn get(&self, what: &str) -> Value {
        let url = format!("{}/_standin/{what}", self.endpoint.url());
        self.http.get(url).send().await.unwrap().json().await.unwrap()
    }
}

#[tokio::test]
async fn a_job_is_queued_and_its_delivery_reported() {
    let bench = Bench::new().await;
    let (status, job) = bench.post("jobs", json!({ "labels": ["fargate"], "name": "deploy", "example": 5 })).await;
    assert_eq!((status, &job["delivery"]["status"]), (201, &json!(202)));
    assert_eq!(job["delivery"]["body"], r#"{"status":"seen"}"#);
    let payload = bench.webhook.0.lock().unwrap()[0].clone();
    assert_eq!(payload["workflow_job"]["id"], job["job_id"]);
    assert_eq!(payload["workflow_job"]["name"], "deploy");
    let state = bench.get("state").await;
    let queued = json!({ "id": job["job_id"], "status": "queued", "conclusion": null, "runner_name": null });
    assert_eq!(state["jobs"], json!([queued]));
    let timeline = bench.get("timeline").await;
    let events: Vec<&Value> = timeline["events"].as_array().unwrap().iter().map(|event| &event["event"]).collect();
    assert_eq!(events, ["queued", "delivered"]);
    assert_eq!(bench.post("jobs", json!({ "label": [] })).await.0, 400);
}

#[tokio::test]
async fn a_delivery_can_fail_or_be_forgotten() {
    let bench = Bench::new().await;
    let lost = json!({ "labels": ["fargate"], "minutes_ago": 2, "told": "in-vain" });
    assert_eq!(bench.post("jobs", lost).await.1["delivery"]["status"], 502);
    let untold = json!({ "labels": ["fargate"], "minutes_ago": 6, "told": "never" });
    assert_eq!(bench.post("jobs", untold).await.1["delivery"], Value::Null);
    let cancelled = json!({ "labels": ["fargate"], "cancelled": true });
    assert_eq!(bench.post("jobs", cancelled).await.1["delivery"]["status"], 202);
    let jobs = bench.get("state").await["jobs"].clone();
    let states: Vec<&Value> = jobs.as_array().unwrap().iter().map(|job| &job["status"]).collect();
    assert_eq!(states, ["queued", "queued", "completed"]);
    assert_eq!(bench.webhook.0.lock().unwrap().len(), 1, "only the last one's `queued` was sent");
    let first = bench.get("state").await["jobs"][0]["id"].clone();
    assert_eq!(bench.post("cancellations", json!({ "job_id": first })).await.0, 200);
    assert_eq!(bench.get("state").await["jobs"][0]["status"], "completed");
}

#[tokio::test]
async fn a_registration_can_be_made_by_hand() {
    let bench = Bench::new().await;
    let orphan = json!({ "name": "jit-default-1-1-1700000000", "labels": ["fargate"], "status": "offline" });
    assert_eq!(bench.post("runners", orphan).await.0, 201);
    let runner = bench.get("state").await["runners"][0].clone();
    assert_eq!((&runner["name"], &runner["status"]), (&json!("jit-default-1-1-1700000000"), &json!("offline")));
}

#[tokio::test]
async fn apps_are_told_and_deleted_and_calls_fail_on_demand() {
    let bench = Bench::new().await;
    let app = bench.get("apps").await["apps"][0].clone();
    assert_eq!((&app["slug"], &app["installations"][0]["account"]), (&json!("jitgate"), &json!("octo-org")));
    let elsewhere = json!({ "labels": ["fargate"], "repository": "octo-org/rockets" });
    assert_eq!(bench.post("jobs", elsewhere).await.1["delivery"]["status"], 202);
    let delivery = bench.get("apps").await["apps"][0]["deliveries"][0].clone();
    assert_eq!((&delivery["event"], &delivery["status"]), (&json!("workflow_job"), &json!(202)));

    let fault = json!({ "operation": "get-app", "fault": { "refuse": 503 }, "times": 2 });
    assert_eq!(bench.post("faults", fault).await.0, 200);
    let url = format!("{}/app", bench.endpoint.url());
    let status = async || bench.http.get(&url).header("user-agent", "tests").send().await.unwrap().status();
    assert_eq!((status().await.as_u16(), status().await.as_u16(), status().await.as_u16()), (503, 503, 401));
    let calls = bench.get("calls").await["calls"].clone();
    let first = json!({ "operation": "get-app", "target": "GET /app", "status": 503 });
    assert_eq!((calls.as_array().map(Vec::len), &calls[0]), (Some(3), &first));
    assert_eq!(bench.post("faults", json!({ "operation": "get-app", "fault": "explode" })).await.0, 400);
    assert_eq!(bench.post("sign-in", json!({ "user": "mona" })).await.0, 200);

    let app = format!("{}/_standin/apps/jitgate", bench.endpoint.url());
    assert_eq!(bench.http.delete(&app).send().await.unwrap().status(), 200);
    assert_eq!(bench.http.delete(&app).send().await.unwrap().status(), 404);
    assert_eq!(bench.get("apps").await["apps"], json!([]));
}

#[tokio::test]
async fn a_delivery_can_be_sent_raw_and_forged() {
    let bench = Bench::new().await;
    let (_, signed) = bench.post("deliveries", json!({ "payload": { "zen": "so" }, "event": "ping" })).await;
    assert_eq!(signed["status"], 202);
    let forged = json!({ "payload": { "zen": "so" }, "signature": "sha256=00" });
    assert_eq!(bench.post("deliveries", forged).await.1, json!({ "status": 401, "body": r#"{"status":"seen"}"# }));
    assert_eq!(bench.webhook.0.lock().unwrap().len(), 2);
}
