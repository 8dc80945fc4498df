//! Sends what hooks have to say to a webhook URL, as GitHub does: signed, with ten seconds of patience, once.

use std::sync::Arc;
use std::time::Duration;

use jitgate::job::JobId;
use reqwest::header::HOST;
use time::OffsetDateTime;

use super::GitHub;
use super::hooks::{Delivery, Outcome};
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

impl GitHub {
    /// The deliveries to be sent, each given out once: the taker sends them and says how it went.
    pub fn take_deliveries(&self) -> Vec<Delivery> {
        self.state().0.take_unsent()
    }

    /// Waits until there may be deliveries to send.
    pub async fn deliveries_wait(&self) {
        self.0.unsent.notified().await;
    }

    /// Writes into the log how sending a delivery went.
    pub fn delivered(&self, id: u64, outcome: Outcome) {
        let (mut state, now) = self.state();
        state.record_outcome(id, outcome, now);
    }

    /// GitHub forgets the latest delivery of a job before anybody could send it: it is in no log, and is never made up
    /// for. False if there was none to be sent.
    pub fn forget_delivery(&self, job: JobId) -> bool {
        let (mut state, _) = self.state();
        state.withdraw_unsent(job).is_some_and(|id| state.deliveries.remove(&id).is_some())
    }

    /// The latest delivery of a job did not reach its receiver, back then. False if there was none to be sent.
    pub fn lose_delivery(&self, job: JobId, at: OffsetDateTime) -> bool {
        let (mut state, _) = self.state();
        let lost = state.withdraw_unsent(job);
        if let Some(id) = lost {
            state.record_outcome(id, Outcome::unreachable(), at);
        }
        lost.is_some()
    }

    /// How sending a delivery went, if it has been sent.
    pub fn outcome(&self, id: u64) -> Option<Outcome> {
        self.state().0.outcome(id)
    }

    /// Id and GUID of the last delivery that tells of this job.
    pub fn last_delivery_of(&self, job: JobId) -> Option<(u64, String)> {
        self.state().0.last_delivery_of(job)
    }
}
