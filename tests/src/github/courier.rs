//! Sends what hooks have to say to a webhook URL, as GitHub does: signed, with ten seconds of patience, once.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HOST;

use super::{Delivery, GitHub, Outcome};
use crate::payloads::sign;

/// How long GitHub waits for an answer. Source: GitHub's "Best practices for using webhooks".
const PATIENCE: Duration = Duration::from_secs(10);

/// Carries deliveries.
pub struct Courier {
    github: GitHub,
    http: reqwest::Client,
    url: String,
    host: Option<String>,
    secret: String,
}

impl Courier {
    /// To this URL, with this `Host` header if it is not the URL's own, signed with this secret.
    pub fn new(github: GitHub, url: String, host: Option<String>, secret: String) -> Self {
        let http =
            reqwest::Client::builder().no_proxy().timeout(PATIENCE).user_agent("GitHub-Hookshot/stand-in").build();
        Self { github, http: http.expect("a client without special demands"), url, host, secret }
    }

    /// Sends whatever comes up, for ever. Deliveries do not wait for each other.
    pub async fn run(self: Arc<Self>) {
        loop {
            for delivery in self.github.take_deliveries() {
                let courier = Arc::clone(&self);
                tokio::spawn(async move { courier.deliver(&delivery).await });
            }
            self.github.deliveries_wait().await;
        }
    }

    /// Sends one delivery and writes into the log how that went.
    pub async fn deliver(&self, delivery: &Delivery) -> Outcome {
        let Delivery { guid, event, body, .. } = delivery;
        let outcome = self.post(event, guid, body.to_vec(), None).await;
        self.github.delivered(delivery.id, outcome.clone());
        outcome
    }

    /// Sends anything, signed unless a signature is given; the log does not hear of it.
    pub async fn post(&self, event: &str, guid: &str, body: Vec<u8>, signature: Option<String>) -> Outcome {
        let signature = signature.unwrap_or_else(|| sign(&self.secret, &body));
        let mut request = self
            .http
            .post(&self.url)
            .header("accept", "*/*")
            .header("content-type", "application/json")
            .header("x-github-delivery", guid)
            .header("x-github-event", event)
            .header("x-github-hook-installation-target-type", "integration")
            .header("x-hub-signature-256", signature)
            .body(body);
        if let Some(host) = &self.host {
            request = request.header(HOST, host);
        }
        match request.send().await {
            Ok(answer) => {
                let status = answer.status().as_u16();
                Outcome { status, body: answer.text().await.unwrap_or_default() }
            }
            Err(error) if error.is_timeout() => Outcome::timed_out(),
            Err(_) => Outcome::unreachable(),
        }
    }
}
