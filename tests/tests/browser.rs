//! GitHub's pages in a real browser: what a person does between `jitgate setup` and its GitHub App.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hyper::body::Bytes;
use jitgate::clock::Clock;
use jitgate_tests::browser::{Page, Visit};
use jitgate_tests::github::GitHub;
use jitgate_tests::wire::{Answer, Endpoint, Request, Service, serve};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// What a command serves on loopback: a page that sends a manifest by itself, and the page to come back to.
struct Loopback {
    github: String,
}

impl Service for Loopback {
    fn operation(&self, request: &Request) -> String {
        request.uri().path().to_owned()
    }

    fn answer<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Answer> {
        let host = request.headers()["host"].to_str().expect("a host");
        let manifest = json!({
            "name": "jitgate-browser",
            "url": "https://jitgate.example",
            "hook_attributes": { "url": "https://abc.lambda-url.us-east-1.on.aws/" },
            "redirect_url": format!("http://{host}/done"),
            "default_permissions": { "actions": "read", "organization_self_hosted_runners": "write" },
            "default_events": ["workflow_job"],
        });
        let body = match request.uri().path() {
            "/" => format!(
                "<form action='{}/organizations/acme/settings/apps/new?state=s1' method='post'>\
                 <input type='hidden' name='manifest' value='{manifest}'></form>\
                 <script>document.forms[0].submit()</script>",
                self.github
            ),
            _ => "You can close this page.".to_owned(),
        };
        let answer = http::Response::builder().header("content-type", "text/html").body(Bytes::from(body));
        futures::future::ready(answer.expect("a static header")).boxed()
    }
}

struct Stage {
    github: GitHub,
    web: Endpoint,
    loopback: Endpoint,
    http: reqwest::Client,
}

impl Stage {
    async fn new() -> Self {
        let github = GitHub::empty(Clock::system());
        github.add_owner("acme", "mona");
        github.add_repository("acme", "rockets");
        github.add_repository("acme", "gardens");
        let web = serve(Arc::new(github.clone())).await;
        let loopback = serve(Arc::new(Loopback { github: web.url() })).await;
        let http = reqwest::Client::builder()
            .no_proxy()
            .user_agent("jitgate-tests")
            .build()
            .expect("a client without special demands");
        Self { github, web, loopback, http }
    }

    /// From the command's own page, by way of GitHub, back to it.
    async fn create(&self) -> Option<Page> {
        let back = format!("{}/done", self.loopback.url());
        Visit::to(&self.loopback.url()).click("Create GitHub App").arrive(&back).walk_or_skip().await
    }

    async fn get(&self, path: &str, app: &Value) -> (u16, Value) {
        let now = self.github.clock().now().unix_timestamp();
        let key = EncodingKey::from_rsa_pem(app["pem"].as_str().expect("a key").as_bytes()).expect("a key in PEM");
        let claims = json!({ "iss": app["client_id"], "iat": now - 60, "exp": now + 540 });
        let jwt = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key).expect("a signature");
        let url = format!("{}/api/v3{path}", self.web.url());
        let answer = self.http.get(url).bearer_auth(jwt).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }
}

#[tokio::test]
async fn a_person_creates_an_app_installs_it_and_deletes_it() {
    let stage = Stage::new().await;
    stage.github.sign_in("mona");
    let Some(page) = stage.create().await else { return };
    assert_eq!(page.text, "You can close this page.");
    assert_eq!(page.parameter("state").as_deref(), Some("s1"));
    let code = page.parameter("code").expect("a code");
    let url = format!("{}/api/v3/app-manifests/{code}/conversions", stage.web.url());
    let app: Value = stage.http.post(url).send().await.unwrap().json().await.unwrap();

    let install = format!("{}/installations/new", app["html_url"].as_str().unwrap());
    let visit = Visit::to(&install).check("Only select repositories").check("acme/rockets").click("Install");
    let page = visit.see("is installed on acme").walk_or_skip().await.expect("the browser of before");
    assert!(page.text.contains("acme/rockets") && !page.text.contains("acme/gardens"), "{}", page.text);
    let (_, installations) = stage.get("/app/installations", &app).await;
    assert_eq!(installations[0]["account"]["login"], "acme");
    assert_eq!(installations[0]["repository_selection"], "selected");

    let settings = format!("{}/organizations/acme/settings/apps", stage.web.url());
    let page = Visit::to(&settings)
        .click("jitgate-browser")
        .click("Advanced")
        .click("Delete GitHub App")
        .fill("Please type in the name", "jitgate-browser")
        .click("I understand the consequences, delete this GitHub App")
        .see("GitHub Apps")
        .walk_or_skip()
        .await
        .expect("the browser of before");
    assert!(!page.text.contains("jitgate-browser"), "{}", page.text);
    assert_eq!(stage.get("/app", &app).await.0, 404);
    stage.github.assert_spoke_github();
}

#[tokio::test]
async fn somebody_who_owns_nothing_finds_nothing_and_a_failed_step_is_named_and_pictured() {
    let stage = Stage::new().await;
    let visit = Visit::to(&stage.loopback.url()).fill("Username", "hubot").click("Sign in").see("Page not found");
    stage.github.add_user("hubot");
    let Some(page) = visit.walk_or_skip().await else { return };
    assert_eq!(page.title, "Page not found");
    let visit = Visit::to(&stage.loopback.url()).patience(1).click("Create GitHub App");
    let problem = visit.walk().await.expect_err("there is no such button").to_string();
    assert!(problem.contains("failed to click Create GitHub App"), "{problem}");
    assert!(problem.contains("This is not the web page you are looking for"), "{problem}");
    assert!(std::fs::remove_file(visit.screenshot()).is_ok(), "no screenshot");
}
