//! Proves that a fleet works, from the outside: each check asks whoever will have to agree later.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use sha2::Sha256;
use url::Url;

use crate::aws::Aws;
use crate::github::{Delivery, Installation, SignedIn};
use crate::screen::Screen;
use crate::trouble::Trouble;

/// The webhook may have read the secret before it was filled in, and looks again when a signature does not match, at
/// most every few seconds.
const TRIES: u32 = 20;
const BETWEEN_TRIES: Duration = Duration::from_secs(3);

/// How often GitHub's ping is repeated while the webhook refuses it, and how long a process of the webhook keeps a copy of the
/// secret before a wrong signature lets it look again: a little longer than `PAUSE` in functions/webhook/src/secrets.rs.
const PINGS: u32 = 3;
const SECRET_COPY: Duration = Duration::from_secs(6);

/// GitHub's log shows a repeated delivery after a few seconds.
const PING_TRIES: u32 = 30;

/// A check and how it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked.
    pub check: &'static str,
    /// How it went.
    pub outcome: Outcome,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// As it should be.
    Good,
    /// It could not be looked at.
    Unknown,
}

/// What is verified.
pub struct Verification<'a> {
    /// The account.
    pub aws: &'a Aws,
    /// The terminal.
    pub screen: &'a Screen,
    /// Where deliveries go.
    pub webhook: &'a Url,
    /// What they are signed with.
    pub webhook_secret: &'a SecretString,
    /// The App, unless a token is used in its place.
    pub app: Option<&'a SignedIn>,
    /// Its installations.
    pub installations: &'a [Installation],
}

impl Verification<'_> {
    /// Runs all checks. The first that fails ends them.
    pub async fn run(&self) -> Result<Vec<Check>, Trouble> {
        let mut checks = vec![
            self.step("an unsigned delivery is refused", self.refuses_unsigned()).await?,
            self.step("a signed ping is taken", self.takes_signed()).await?,
        ];
        if let Some(app) = self.app {
            checks.push(self.step("the App's webhook leads here", self.leads_here(app)).await?);
            checks.push(self.step("GitHub's own ping arrives, so both know one secret", self.ping(app)).await?);
            checks.push(self.step("runners may be registered", self.may_register(app)).await?);
        }
        Ok(checks)
    }

    async fn step(
        &self,
        check: &'static str,
        work: impl Future<Output = Result<Outcome, Trouble>>,
    ) -> Result<Check, Trouble> {
        let waiting = self.screen.wait(format!("checking: {check}"));
        let outcome =
            work.await.map_err(|trouble| Trouble { what: format!("not so: {check}: {}", trouble.what), ..trouble })?;
        match outcome {
            Outcome::Good => waiting.done(check),
            Outcome::Unknown => {
                waiting.clear();
                self.screen.warn(format!("could not be looked at: {check}"));
            }
        }
        Ok(Check { check, outcome })
    }

    async fn refuses_unsigned(&self) -> Result<Outcome, Trouble> {
        match self.post(None).await? {
            401 => Ok(Outcome::Good),
            403 => Err(Trouble::failed(
                "AWS answers 403 in the webhook's place",
                "let nothing in your organisation forbid public Function URLs (lambda:InvokeFunctionUrl)",
            )),
            status => Err(Trouble::failed(format!("the webhook answers {status}"), "read the webhook's log")),
        }
    }

    async fn takes_signed(&self) -> Result<Outcome, Trouble> {
        let mut last = 0;
        for _ in 0..TRIES {
            last = self.post(Some(self.webhook_secret)).await?;
            match last {
                200 => return Ok(Outcome::Good),
                401 | 500..=599 => tokio::time::sleep(BETWEEN_TRIES).await,
                _ => break,
            }
        }
        Err(Trouble::failed(format!("the webhook answers {last}"), "read the webhook's log"))
    }

    async fn post(&self, key: Option<&SecretString>) -> Result<u16, Trouble> {
        knock(self.aws, self.webhook, key).await
    }

    async fn leads_here(&self, app: &SignedIn) -> Result<Outcome, Trouble> {
        let hook = app.hook().await?;
        if same(&hook.url, self.webhook) {
            return Ok(Outcome::Good);
        }
        Err(Trouble::failed(
            format!("the App delivers to {:?}, not to {}", hook.url, self.webhook),
            "correct the App's webhook URL, or run `jitgate app`",
        ))
    }

    /// GitHub logs a ping when an App is made. To repeat it proves that its secret and ours are one. GitHub sent it before the
    /// secret was stored, so a process of the webhook that refused it may refuse it once more.
    async fn ping(&self, app: &SignedIn) -> Result<Outcome, Trouble> {
        let log = app.deliveries().await?;
        let Some(ping) = log.iter().find(|delivery| delivery.event == "ping") else {
            // GitHub forgets deliveries after three days.
            return Ok(match log.first() {
                Some(latest) if (200..300).contains(&latest.status_code) => Outcome::Good,
                _ => Outcome::Unknown,
            });
        };
        let mut status = repeated(app, ping).await?;
        for _ in 1..PINGS {
            if status != Some(401) {
                break;
            }
            tokio::time::sleep(SECRET_COPY).await;
            status = repeated(app, ping).await?;
        }
        match status {
            Some(200..=299) => Ok(Outcome::Good),
            Some(401) => Err(Trouble::failed(
                "the webhook answers GitHub's ping with 401: the secrets differ",
                "run `jitgate app --replace`, or copy the secret's webhook_secret into the App's settings",
            )),
            Some(status) => {
                Err(Trouble::failed(format!("GitHub's ping is answered with {status}"), "read the webhook's log"))
            }
            None => Ok(Outcome::Unknown),
        }
    }

    async fn may_register(&self, app: &SignedIn) -> Result<Outcome, Trouble> {
        for installation in self.installations.iter().filter(|installation| installation.suspended_at.is_none()) {
            let mut wanted = installation.permissions.clone();
            wanted.retain(|name, _| {
                matches!(name.as_str(), "actions" | "administration" | "organization_self_hosted_runners")
            });
            app.token(installation.id, &wanted).await?;
        }
        Ok(Outcome::Good)
    }
}

/// Has a delivery repeated, and returns how that was answered; `None` if GitHub does not show it in time.
async fn repeated(app: &SignedIn, delivery: &Delivery) -> Result<Option<u16>, Trouble> {
    let known: Vec<u64> = app.deliveries().await?.iter().map(|each| each.id).collect();
    app.redeliver(delivery.id).await?;
    for _ in 0..PING_TRIES {
        let log = app.deliveries().await?;
        let answer = log.iter().find(|each| each.guid == delivery.guid && !known.contains(&each.id));
        match answer.map(|each| each.status_code) {
            Some(0) | None => tokio::time::sleep(Duration::from_secs(1)).await,
            status => return Ok(status),
        }
    }
    Ok(None)
}

/// Sends the webhook a ping, signed or not, and returns the answer's status.
pub(crate) async fn knock(aws: &Aws, webhook: &Url, key: Option<&SecretString>) -> Result<u16, Trouble> {
    let body = r#"{"zen":"Approachable is better than simple.","hook_id":1}"#;
    let (way, host) = aws.way_to(webhook);
    let mut request = crate::http::client()
        .post(way)
        .header("content-type", "application/json")
        .header("x-github-event", "ping")
        .header("x-github-delivery", "00000000-0000-0000-0000-000000000000")
        .body(body);
    if let Some(host) = host {
        request = request.header("host", host);
    }
    if let Some(key) = key {
        request = request.header("x-hub-signature-256", signature(key, body.as_bytes()));
    }
    let answer = request.send().await.map_err(|error| {
        Trouble::unknown(format!("{webhook}: {}", crate::http::words_of(&error)), "check this machine's network")
    })?;
    Ok(answer.status().as_u16())
}

fn signature(key: &SecretString, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// Whether two addresses are one, apart from a slash at the end.
pub(crate) fn same(one: &str, other: &Url) -> bool {
    one.trim_end_matches('/') == other.as_str().trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source: GitHub's "Validating webhook deliveries", "Testing the webhook payload validation".
    #[test]
    fn a_signature_is_githubs() {
        let key = SecretString::from("It's a Secret to Everybody");
        assert_eq!(
            signature(&key, b"Hello, World!"),
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
    }

    #[test]
    fn a_slash_at_the_end_makes_no_difference() {
        let url = Url::parse("https://w.example/").unwrap();
        assert!(same("https://w.example", &url) && same("https://w.example/", &url) && !same("", &url));
    }
}
