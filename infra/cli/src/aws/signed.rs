//! A signed call to a service whose official crate is not worth its build. On two cores that of Lambda takes a minute,
//! for two calls.

use std::time::{Duration, SystemTime};

use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use reqwest::{Method, StatusCode};

use super::{Aws, errors};
use crate::trouble::{Exit, Trouble};

/// Tries of a call that nobody answers, or that AWS answers with an error of its own or with a limit: as many as the
/// official crates make. Each call here can be repeated.
const TRIES: u32 = 3;

/// A call.
pub(super) struct Signed<'a> {
    /// The service's name in signatures.
    pub(super) service: &'a str,
    /// The region that it is signed for.
    pub(super) region: &'a str,
    /// The HTTP method.
    pub(super) method: &'a str,
    /// The whole address.
    pub(super) address: &'a str,
    /// The body's type.
    pub(super) content_type: &'a str,
    /// The operation, of a service that has it in a header.
    pub(super) target: Option<&'a str>,
    /// The body.
    pub(super) body: &'a str,
}

impl Aws {
    /// Calls a service of the region whose operations are paths, and whose host has its name in signatures.
    pub(super) async fn rest(
        &self,
        service: &str,
        method: &str,
        path: &str,
        body: &str,
        what: &str,
    ) -> Result<(StatusCode, String), Trouble> {
        let address = format!("{}/{path}", self.endpoint(&format!("{service}.{}", self.region)));
        let call = Signed {
            service,
            region: &self.region,
            method,
            address: &address,
            content_type: "application/json",
            target: None,
            body,
        };
        call.send(self, what).await
    }
}

impl Signed<'_> {
    /// Makes the call, again if that may help, and returns status and text, whatever they are. `what` names it in errors.
    pub(super) async fn send(&self, aws: &Aws, what: &str) -> Result<(StatusCode, String), Trouble> {
        let mut tries = 1;
        loop {
            let outcome = self.send_once(aws, what).await;
            let is_passing = match &outcome {
                Ok((status, text)) => status.is_server_error() || (!status.is_success() && errors::names_limit(text)),
                Err(trouble) => trouble.exit == Exit::Unknown,
            };
            if !is_passing || tries == TRIES {
                return outcome;
            }
            tokio::time::sleep(Duration::from_millis(400 * u64::from(tries))).await;
            tries += 1;
        }
    }

    async fn send_once(&self, aws: &Aws, what: &str) -> Result<(StatusCode, String), Trouble> {
        let headers = self.sign(aws).await.map_err(|words| {
            let trouble = errors::explain(what, "", &words, false);
            Trouble { exit: Exit::SignIn, remedy: "sign in to AWS again".to_owned(), ..trouble }
        })?;
        let silent = |error: &reqwest::Error| errors::explain(what, "", &crate::http::words_of(error), true);
        let method = Method::from_bytes(self.method.as_bytes()).unwrap_or_default();
        let mut request = crate::http::client().request(method, self.address).body(self.body.to_owned());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.send().await.map_err(|error| silent(&error))?;
        let status = answer.status();
        Ok((status, answer.text().await.map_err(|error| silent(&error))?))
    }

    async fn sign(&self, aws: &Aws) -> Result<Vec<(String, String)>, String> {
        let provider = aws.sdk.credentials_provider().ok_or("no credentials")?;
        let identity = provider.provide_credentials().await.map_err(|error| error.to_string())?.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| error.to_string())?
            .into();
        let url = url::Url::parse(self.address).map_err(|error| error.to_string())?;
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let own = [Some(("content-type", self.content_type)), self.target.map(|target| ("x-amz-target", target))];
        let own = own.into_iter().flatten();
        let body = SignableBody::Bytes(self.body.as_bytes());
        let headers = own.clone().chain([("host", host.as_str())]);
        let request =
            SignableRequest::new(self.method, self.address, headers, body).map_err(|error| error.to_string())?;
        let (instructions, _) = sign(request, &parameters).map_err(|error| error.to_string())?.into_parts();
        let made = instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(made.chain(own.map(|(name, value)| (name.to_owned(), value.to_owned()))).collect())
    }
}
