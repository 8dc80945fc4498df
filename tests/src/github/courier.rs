//! Sends deliveries to a webhook URL as GitHub does: signed, once, with a time-out of ten seconds.

use std::sync::Arc;
use std::time::Duration;

use jitgate::job::JobId;
use reqwest::Url;
use reqwest::header::HOST;
use time::OffsetDateTime;

use super::GitHub;
use super::hooks::{Delivery, Outcome};
use crate::payloads::sign;

/// How long GitHub waits for an answer. Source: GitHub's "Best practices for using webhooks".
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends deliveries.
pub struct Courier {
    github: GitHub,
    http: reqwest::Client,
    way: Way,
}

/// Where deliveries go.
enum Way {
    /// All to one receiver, whatever their hooks say.
    One(Address),
    /// Each to its hook's own URL, through a gateway, if there is one.
    Hooks { gateway: Option<Url> },
}

/// A receiver.
struct Address {
    url: String,
    /// The `Host` header, if it differs from the URL's.
    host: Option<String>,
    secret: String,
}

impl Courier {
    /// A courier to this URL, with a `Host` header if it differs from the URL's, that signs with this secret.
    pub fn new(github: GitHub, url: String, host: Option<String>, secret: String) -> Self {
        Self::on(github, Way::One(Address { url, host, secret }))
    }

    /// A courier that takes each delivery to its hook's URL, signed with the hook's secret, through a gateway on loopback: the
    /// hook's host is in the `Host` header, by which an emulator tells Function URLs apart. Without a gateway no hook is reached:
    /// nothing here leaves the machine, and GitHub allows no hook on loopback.
    pub fn to_hooks(github: GitHub, gateway: Option<Url>) -> Self {
        Self::on(github, Way::Hooks { gateway })
    }

    fn on(github: GitHub, way: Way) -> Self {
        let http =
            reqwest::Client::builder().no_proxy().timeout(PATIENCE).user_agent("GitHub-Hookshot/stand-in").build();
        Self { github, http: http.expect("a client without special demands"), way }
    }

    /// Sends deliveries as they come, for ever and concurrently.
    pub async fn run(self: Arc<Self>) {
        loop {
            for delivery in self.github.take_deliveries() {
                let courier = Arc::clone(&self);
                tokio::spawn(async move { courier.deliver(&delivery).await });
            }
            self.github.deliveries_wait().await;
        }
    }

    /// Sends one delivery and records the outcome in the log.
    pub async fn deliver(&self, delivery: &Delivery) -> Outcome {
        let Delivery { guid, event, body, .. } = delivery;
        let outcome = match &self.way {
            Way::One(address) => self.send(address, event, guid, body.to_vec(), None).await,
            Way::Hooks { gateway } => {
                match Address::of_hook(&delivery.url, delivery.secret.clone(), gateway.as_ref()) {
                    Some(address) => self.send(&address, event, guid, body.to_vec(), None).await,
                    None => Outcome::unreachable(),
                }
            }
        };
        self.github.delivered(delivery.id, outcome.clone());
        outcome
    }

    /// Sends any body, signed unless a signature is given; does not record it in the log. If each hook has its own URL, the hook of
    /// the App that was made last is meant.
    pub async fn post(&self, event: &str, guid: &str, body: Vec<u8>, signature: Option<String>) -> Outcome {
        match &self.way {
            Way::One(address) => self.send(address, event, guid, body, signature).await,
            Way::Hooks { gateway } => {
                let newest = self.github.newest_hook();
                match newest.and_then(|(url, secret)| Address::of_hook(&url, secret, gateway.as_ref())) {
                    Some(address) => self.send(&address, event, guid, body, signature).await,
                    None => Outcome::unreachable(),
                }
            }
        }
    }

    async fn send(&self, to: &Address, event: &str, guid: &str, body: Vec<u8>, signature: Option<String>) -> Outcome {
        let signature = signature.unwrap_or_else(|| sign(&to.secret, &body));
        let mut request = self
            .http
            .post(&to.url)
            .header("accept", "*/*")
            .header("content-type", "application/json")
            .header("x-github-delivery", guid)
            .header("x-github-event", event)
            .header("x-github-hook-installation-target-type", "integration")
            .header("x-hub-signature-256", signature)
            .body(body);
        if let Some(host) = &to.host {
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

impl Address {
    /// A hook's receiver behind the gateway. `None` without a gateway, or if the hook's URL is none.
    fn of_hook(url: &str, secret: Option<String>, gateway: Option<&Url>) -> Option<Self> {
        let (hook, mut through) = (Url::parse(url).ok()?, gateway?.clone());
        let host = match (hook.host_str()?, hook.port()) {
            (host, None) => host.to_owned(),
            (host, Some(port)) => format!("{host}:{port}"),
        };
        through.set_path(hook.path());
        through.set_query(hook.query());
        Some(Self { url: through.into(), host: Some(host), secret: secret.unwrap_or_default() })
    }
}

impl GitHub {
    /// The deliveries to send. Each is returned once; the caller sends it and reports the outcome.
    pub fn take_deliveries(&self) -> Vec<Delivery> {
        self.state().0.take_unsent()
    }

    /// Waits until there may be deliveries to send.
    pub async fn deliveries_wait(&self) {
        self.0.unsent.notified().await;
    }

    /// Records the outcome of a delivery in the log.
    pub fn delivered(&self, id: u64, outcome: Outcome) {
        let (mut state, now) = self.state();
        state.record_outcome(id, outcome, now);
    }

    /// GitHub forgets the latest unsent delivery of a job: it is in no log and is never sent. False if there was none.
    pub fn forget_delivery(&self, job: JobId) -> bool {
        let (mut state, _) = self.state();
        state.withdraw_unsent(job).is_some_and(|id| state.deliveries.remove(&id).is_some())
    }

    /// The latest unsent delivery of a job failed to reach its receiver at this time. False if there was none.
    pub fn lose_delivery(&self, job: JobId, at: OffsetDateTime) -> bool {
        let (mut state, _) = self.state();
        let lost = state.withdraw_unsent(job);
        if let Some(id) = lost {
            state.record_outcome(id, Outcome::unreachable(), at);
        }
        lost.is_some()
    }

    /// The outcome of a delivery, if it was sent.
    pub fn outcome(&self, id: u64) -> Option<Outcome> {
        self.state().0.outcome(id)
    }

    /// Id and GUID of the last delivery for this job.
    pub fn last_delivery_of(&self, job: JobId) -> Option<(u64, String)> {
        self.state().0.last_delivery_of(job)
    }
}
