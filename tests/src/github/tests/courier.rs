//! Sending deliveries.

use std::sync::Mutex;

use super::*;
use crate::github::courier::Courier;
use crate::payloads::sign;
use crate::wire::{self, Fault};

/// A webhook that accepts every correctly signed delivery.
struct Webhook(Mutex<Vec<Request>>);

impl Service for Webhook {
    fn operation(&self, _: &Request) -> String {
        "deliver".to_owned()
    }

    fn answer<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Answer> {
        self.0.lock().unwrap().push(request.clone());
        let fits = request.headers()["x-hub-signature-256"] == sign("a secret", request.body()).as_str();
        let answer = wire::json(if fits { 202 } else { 401 }, &json!({ "status": "seen" }));
        futures::future::ready(answer).boxed()
    }
}

#[tokio::test]
async fn a_courier_signs_sends_and_reports() {
    let bench = Bench::new().await;
    let webhook = Arc::new(Webhook(Mutex::default()));
    let there = serve(Arc::clone(&webhook) as Arc<dyn Service>).await;
    let host = Some("function.example".to_owned());
    let courier = Courier::new(bench.github.clone(), there.url(), host, "a secret".to_owned());
    bench.github.add_hook(HookTarget::App, &there.url());
    let job = bench.github.queue_job(JobSpec::labels(["fargate"]));
    let delivery = bench.github.take_deliveries().pop().unwrap();
    let outcome = courier.deliver(&delivery).await;
    assert_eq!(outcome, Outcome { status: 202, body: r#"{"status":"seen"}"#.to_owned() });
    let request = webhook.0.lock().unwrap().pop().unwrap();
    for (header, value) in [
        ("host", "function.example"),
        ("content-type", "application/json"),
        ("x-github-event", "workflow_job"),
        ("x-github-delivery", delivery.guid.as_str()),
    ] {
        assert_eq!(request.headers()[header], value);
    }
    assert_eq!(bench.github.last_delivery_of(job), Some((delivery.id, delivery.guid)));
    assert_eq!(bench.github.outcome(delivery.id), Some(outcome));

    let forged = courier.post("workflow_job", "a-guid", b"{}".to_vec(), Some("sha256=00".to_owned())).await;
    assert_eq!(forged.status, 401);
    there.faults.script("deliver", Fault::Drop);
    assert_eq!(courier.post("ping", "a-guid", b"{}".to_vec(), None).await, Outcome::unreachable());
}

#[tokio::test]
async fn a_running_courier_sends_deliveries_as_they_come() {
    let bench = Bench::new().await;
    let there = serve(Arc::new(Webhook(Mutex::default()))).await;
    let courier = Courier::new(bench.github.clone(), there.url(), None, "a secret".to_owned());
    bench.github.add_hook(HookTarget::App, &there.url());
    let running = tokio::spawn(Arc::new(courier).run());
    for _ in 0..3 {
        let job = bench.github.queue_job(JobSpec::labels(["fargate"]));
        let (id, _) = bench.github.last_delivery_of(job).unwrap();
        while bench.github.outcome(id).is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(bench.github.outcome(id).unwrap().succeeded());
    }
    running.abort();
}
