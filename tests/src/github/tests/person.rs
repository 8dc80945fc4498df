//! A person at a browser, without the browser: sends forms, and reads what comes back.

use reqwest::redirect::Policy;

use super::*;

/// A page, or where the browser is sent instead.
pub(super) struct Seen {
    pub(super) status: u16,
    pub(super) location: String,
    pub(super) text: String,
}

impl Seen {
    /// The value of the form's hidden field or input.
    pub(super) fn field(&self, name: &str) -> String {
        let after =
            self.text.split_once(&format!("name=\"{name}\" value=\"")).unwrap_or_else(|| panic!("{}", self.text)).1;
        after.split('"').next().unwrap().to_owned()
    }

    /// A parameter of the URL that the browser is sent to.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        let url = reqwest::Url::parse(&self.location).unwrap();
        url.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
    }
}

/// A GitHub with an organisation `acme` of the user `mona`, who is signed in.
pub(super) struct Person {
    pub(super) bench: Bench,
    http: reqwest::Client,
}

impl Person {
    pub(super) async fn new() -> Self {
        let bench = Bench::on(GitHub::empty).await;
        bench.github.add_owner("acme", "mona");
        bench.github.add_repository("acme", "rockets");
        bench.github.add_repository("acme", "gardens");
        bench.github.sign_in("mona");
        let http = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
        Self { bench, http }
    }

    fn url(&self, path: &str) -> String {
        if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.bench.endpoint.url()) }
    }

    async fn read(answer: Response) -> Seen {
        let location = answer.headers().get("location").map(|to| to.to_str().unwrap().to_owned()).unwrap_or_default();
        Seen { status: answer.status().as_u16(), location, text: answer.text().await.unwrap() }
    }

    pub(super) async fn see(&self, path: &str) -> Seen {
        Self::read(self.http.get(self.url(path)).send().await.unwrap()).await
    }

    pub(super) async fn send(&self, path: &str, fields: &[(&str, &str)]) -> Seen {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        let request = self.http.post(self.url(path)).header("content-type", "application/x-www-form-urlencoded");
        Self::read(request.body(form.finish()).send().await.unwrap()).await
    }

    /// Sends a manifest for the organisation's settings.
    pub(super) async fn propose(&self, manifest: &Value) -> Seen {
        self.send("/organizations/acme/settings/apps/new?state=s1", &[("manifest", &manifest.to_string())]).await
    }

    /// Clicks "Create GitHub App".
    pub(super) async fn create(&self, manifest: &Value) -> Seen {
        let page = self.propose(manifest).await;
        let (token, name) = (page.field("authenticity_token"), page.field("name"));
        let fields = [("authenticity_token", token.as_str()), ("name", name.as_str())];
        self.send("/organizations/acme/settings/apps/manifest", &fields).await
    }

    /// Exchanges a code for the App.
    pub(super) async fn convert(&self, code: &str) -> (u16, Value) {
        let url = self.url(&format!("/app-manifests/{code}/conversions"));
        let answer = self.bench.http.post(url).send().await.unwrap();
        (answer.status().as_u16(), body(answer).await)
    }

    /// An App from start to end.
    pub(super) async fn app(&self) -> Value {
        let back = self.create(&manifest()).await;
        let (status, app) = self.convert(&back.parameter("code").unwrap()).await;
        assert_eq!(status, 201);
        app
    }

    /// Proves to be the App.
    pub(super) fn jwt(&self, app: &Value) -> String {
        let now = self.bench.clock.now().unix_timestamp();
        Bench::jwt_by(app["pem"].as_str().unwrap(), &app["id"], now - 60, now + 540)
    }
}

/// What jitgate asks for, at an organisation.
pub(super) fn manifest() -> Value {
    json!({
        "name": "jitgate-4711",
        "url": "https://jitgate.example",
        "hook_attributes": { "url": "https://abc.lambda-url.us-east-1.on.aws/", "active": true },
        "redirect_url": "http://127.0.0.1:4711/done?step=2",
        "public": false,
        "default_permissions": { "actions": "read", "organization_self_hosted_runners": "write" },
        "default_events": ["workflow_job"],
    })
}
