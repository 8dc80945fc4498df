//! The stand-in's own tests: it must behave like GitHub.

mod apps;
mod auth;
mod checks;
mod courier;
mod deliveries;
mod description;
mod installations;
mod jobs;
mod limits;
mod manifests;
mod person;
mod runners;

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jitgate::job::RunnerId;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Response, StatusCode};
use time::macros::datetime;

use super::*;
use crate::wire::{Endpoint, serve};

const START: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);

/// A GitHub on a port, and a client that may break the rules.
struct Bench {
    github: GitHub,
    clock: Clock,
    endpoint: Endpoint,
    http: reqwest::Client,
}

impl Bench {
    async fn new() -> Self {
        Self::on(GitHub::new).await
    }

    async fn on(github: impl FnOnce(Clock) -> GitHub) -> Self {
        let clock = Clock::manual(START);
        let github = github(clock.clone());
        let endpoint = serve(Arc::new(github.clone())).await;
        let http = reqwest::Client::builder().no_proxy().user_agent("jitgate-tests").build().unwrap();
        Self { github, clock, endpoint, http }
    }

    fn jwt_of(issuer: &Value, iat: i64, exp: i64) -> String {
        Self::jwt_by(&AppKey::of_tests().private_pem, issuer, iat, exp)
    }

    fn jwt_by(private_pem: &str, issuer: &Value, iat: i64, exp: i64) -> String {
        let key = EncodingKey::from_rsa_pem(private_pem.as_bytes()).unwrap();
        let claims = json!({ "iss": issuer, "iat": iat, "exp": exp });
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key).unwrap()
    }

    fn jwt(&self) -> String {
        let now = self.clock.now().unix_timestamp();
        Self::jwt_of(&json!(CLIENT_ID), now - 60, now + 540)
    }

    async fn call(&self, method: Method, path: &str, token: &str, body: Option<Value>) -> Response {
        let request = self.http.request(method, format!("{}{path}", self.endpoint.url())).bearer_auth(token);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        request.send().await.unwrap()
    }

    async fn get(&self, path: &str, token: &str) -> Response {
        self.call(Method::GET, path, token, None).await
    }

    async fn token_with(&self, body: Option<Value>) -> Response {
        self.call(Method::POST, "/app/installations/77/access_tokens", &self.jwt(), body).await
    }

    async fn token(&self) -> String {
        let answer = self.token_with(None).await;
        assert_eq!(answer.status(), 201);
        body(answer).await["token"].as_str().unwrap().to_owned()
    }

    async fn register(&self, token: &str, name: &str, labels: &[&str]) -> Response {
        self.register_at("/orgs/octo-org", token, name, labels).await
    }

    async fn register_at(&self, scope: &str, token: &str, name: &str, labels: &[&str]) -> Response {
        let wanted = json!({ "name": name, "runner_group_id": 1, "labels": labels });
        self.call(Method::POST, &format!("{scope}/actions/runners/generate-jitconfig"), token, Some(wanted)).await
    }

    /// A registered runner that has come online.
    async fn online(&self, token: &str, name: &str, labels: &[&str]) -> RunnerId {
        let config = body(self.register(token, name, labels).await).await["encoded_jit_config"].clone();
        let runner = self.github.recognise(config.as_str().unwrap()).expect("GitHub's own configuration");
        self.github.connect(runner).unwrap();
        runner
    }
}

/// Tests may send anything, but every answer must agree with GitHub's description.
impl Drop for Bench {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let lies = self.github.violations().into_iter().filter(|found| found.contains(": answer "));
            assert_eq!(lies.collect::<Vec<String>>(), Vec::<String>::new());
        }
    }
}

async fn body(answer: Response) -> Value {
    answer.json().await.unwrap()
}

async fn refusal(answer: Response) -> (StatusCode, String) {
    let status = answer.status();
    let body = body(answer).await;
    assert_eq!(body["documentation_url"].as_str().map(|url| url.starts_with("https://docs.github.com/")), Some(true));
    (status, body["message"].as_str().unwrap().to_owned())
}
