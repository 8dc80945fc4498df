//! GitHub's own example deliveries, and a builder that turns one of them into the delivery a test needs.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use hmac::{Hmac, KeyInit, Mac};
use jitgate::job::{InstallationId, JobId, OwnerId, RunId, RunnerId};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A file of one of the npm packages that `package.json` names.
///
/// # Panics
/// If the packages are not installed.
pub fn npm_file(path: &str) -> PathBuf {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("node_modules").join(path);
    assert!(file.is_file(), "{path} of npm is missing: run `make test`, or `npm ci` in tests/");
    file
}

/// The examples of one event, in the order in which GitHub publishes them.
///
/// # Panics
/// If the package is not installed, or has no such event.
pub fn examples(event: &str) -> &'static [Value] {
    #[derive(Deserialize)]
    struct Event {
        name: String,
        examples: Vec<Value>,
    }
    static EXAMPLES: OnceLock<HashMap<String, Vec<Value>>> = OnceLock::new();
    let all = EXAMPLES.get_or_init(|| {
        let file = npm_file("@octokit/webhooks-examples/api.github.com/index.json");
        let text = std::fs::read(file).expect("a readable file of examples");
        let events: Vec<Event> = serde_json::from_slice(&text).expect("a list of events, each with its examples");
        events.into_iter().map(|event| (event.name, event.examples)).collect()
    });
    all.get(event).unwrap_or_else(|| panic!("GitHub publishes no example of {event}"))
}

/// The value of `X-Hub-Signature-256` for a body.
pub fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// A builder of a `workflow_job` delivery; starts from one of GitHub's examples.
#[derive(Clone, Debug)]
pub struct WorkflowJobEvent(Value);

impl WorkflowJobEvent {
    /// All of GitHub's examples.
    pub fn examples() -> Vec<Self> {
        examples("workflow_job").iter().cloned().map(Self).collect()
    }

    /// The example with this number, modulo their count.
    pub fn example(number: usize) -> Self {
        let examples = examples("workflow_job");
        Self(examples[number % examples.len()].clone())
    }

    /// A newly queued job of a private repository, as GitHub delivers it to an App.
    pub fn queued() -> Self {
        Self::first_with("queued").without_runner().public(false)
    }

    /// A job that a runner has taken.
    pub fn in_progress() -> Self {
        Self::first_with("in_progress")
    }

    /// A job that succeeded.
    pub fn completed() -> Self {
        Self::first_with("completed").conclusion("success")
    }

    /// A job that waits for the approval of an environment.
    pub fn waiting() -> Self {
        Self::first_with("waiting")
    }

    fn first_with(action: &str) -> Self {
        let found = examples("workflow_job").iter().find(|example| example["action"] == action);
        Self(found.expect("an example of each action").clone())
    }

    /// `action`, with the job's `status` to match.
    #[must_use]
    pub fn action(mut self, action: &str) -> Self {
        self.0["action"] = json!(action);
        self.0["workflow_job"]["status"] = json!(action);
        self
    }

    /// The job's id.
    #[must_use]
    pub fn job(mut self, id: JobId) -> Self {
        self.0["workflow_job"]["id"] = json!(id);
        self
    }

    /// The run's id.
    #[must_use]
    pub fn run(mut self, id: RunId) -> Self {
        self.0["workflow_job"]["run_id"] = json!(id);
        self
    }

    /// Which attempt of the run.
    #[must_use]
    pub fn run_attempt(mut self, attempt: u32) -> Self {
        self.0["workflow_job"]["run_attempt"] = json!(attempt);
        self
    }

    /// The job's name in its workflow.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.0["workflow_job"]["name"] = json!(name);
        self
    }

    /// The labels of `runs-on`.
    #[must_use]
    pub fn labels<S: AsRef<str>>(mut self, labels: impl IntoIterator<Item = S>) -> Self {
        let labels: Vec<Value> = labels.into_iter().map(|label| json!(label.as_ref())).collect();
        self.0["workflow_job"]["labels"] = Value::Array(labels);
        self
    }

    /// When the job was created; while it is queued, also its `started_at`.
    #[must_use]
    pub fn created_at(mut self, moment: OffsetDateTime) -> Self {
        let moment = rfc3339(moment);
        if self.0["workflow_job"]["status"] == "queued" {
            self.0["workflow_job"]["started_at"] = json!(moment);
        }
        self.0["workflow_job"]["created_at"] = json!(moment);
        self
    }

    /// When a runner took the job.
    #[must_use]
    pub fn started_at(mut self, moment: OffsetDateTime) -> Self {
        self.0["workflow_job"]["started_at"] = json!(rfc3339(moment));
        self
    }

    /// How and when the job ended; `None` if it has not.
    #[must_use]
    pub fn completed_at(mut self, moment: Option<OffsetDateTime>) -> Self {
        self.0["workflow_job"]["completed_at"] = json!(moment.map(rfc3339));
        self
    }

    /// How the job ended.
    #[must_use]
    pub fn conclusion(mut self, conclusion: &str) -> Self {
        self.0["workflow_job"]["conclusion"] = json!(conclusion);
        self
    }

    /// The job has not ended.
    #[must_use]
    pub fn without_conclusion(mut self) -> Self {
        self.0["workflow_job"]["conclusion"] = Value::Null;
        self
    }

    /// The runner that took the job.
    #[must_use]
    pub fn runner(mut self, id: RunnerId, name: &str) -> Self {
        let job = &mut self.0["workflow_job"];
        job["runner_id"] = json!(id);
        job["runner_name"] = json!(name);
        job["runner_group_id"] = json!(1);
        job["runner_group_name"] = json!("Default");
        self
    }

    /// No runner has taken the job.
    #[must_use]
    pub fn without_runner(mut self) -> Self {
        for field in ["runner_id", "runner_name", "runner_group_id", "runner_group_name"] {
            self.0["workflow_job"][field] = Value::Null;
        }
        self
    }

    /// The repository, in every URL too; its owner stays an organisation or a user.
    #[must_use]
    pub fn in_repository(mut self, owner: &str, name: &str) -> Self {
        let replace = (self.text("/repository/full_name"), format!("{owner}/{name}"));
        rename(&mut self.0, &replace.0, &replace.1);
        self.0["repository"]["full_name"] = json!(replace.1);
        self.0["repository"]["name"] = json!(name);
        self.0["repository"]["owner"]["login"] = json!(owner);
        if self.0["organization"].is_object() {
            self.0["organization"]["login"] = json!(owner);
        }
        self
    }

    /// Whether the repository is public, as in most of GitHub's examples.
    #[must_use]
    pub fn public(mut self, is_public: bool) -> Self {
        self.0["repository"]["private"] = json!(!is_public);
        self.0["repository"]["visibility"] = json!(if is_public { "public" } else { "private" });
        self
    }

    /// The repository belongs to an organisation, which `organization` names.
    #[must_use]
    pub fn of_organization(mut self, login: &str) -> Self {
        if !self.0["organization"].is_object() {
            let with_one = examples("workflow_job").iter().find(|example| example["organization"].is_object());
            self.0["organization"] = with_one.expect("an example with an organisation")["organization"].clone();
        }
        let name = self.text("/repository/name");
        self.0["repository"]["owner"]["type"] = json!("Organization");
        self.in_repository(login, &name)
    }

    /// The repository belongs to a user: there is no `organization`.
    #[must_use]
    pub fn of_user(mut self, login: &str) -> Self {
        self = self.without("/organization");
        let name = self.text("/repository/name");
        self.0["repository"]["owner"]["type"] = json!("User");
        self.in_repository(login, &name)
    }

    /// The owner's id.
    #[must_use]
    pub fn owner_id(mut self, id: OwnerId) -> Self {
        self.0["repository"]["owner"]["id"] = json!(id);
        if self.0["organization"].is_object() {
            self.0["organization"]["id"] = json!(id);
        }
        self
    }

    /// The App's installation that sends it.
    #[must_use]
    pub fn installation(mut self, id: InstallationId) -> Self {
        self.0["installation"] = json!({ "id": id, "node_id": "MDIzOkludGVncmF0aW9uSW5zdGFsbGF0aW9uMQ==" });
        self
    }

    /// As an organisation's or a repository's hook sends it: without an installation.
    #[must_use]
    pub fn without_installation(self) -> Self {
        self.without("/installation")
    }

    /// Any other field, by JSON pointer; its parent must exist.
    #[must_use]
    pub fn with(mut self, pointer: &str, value: Value) -> Self {
        let (parent, field) = pointer.rsplit_once('/').expect("a JSON pointer");
        self.0.pointer_mut(parent).unwrap_or_else(|| panic!("nothing at {parent}"))[field] = value;
        self
    }

    /// Without one field, by JSON pointer; a missing field is no error.
    #[must_use]
    pub fn without(mut self, pointer: &str) -> Self {
        let (parent, field) = pointer.rsplit_once('/').expect("a JSON pointer");
        if let Some(parent) = self.0.pointer_mut(parent).and_then(Value::as_object_mut) {
            parent.remove(field);
        }
        self
    }

    /// The payload.
    pub fn json(&self) -> &Value {
        &self.0
    }

    /// The payload, as the bytes that are sent and signed.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.to_string().into_bytes()
    }

    /// The bytes and their signature.
    pub fn signed(&self, secret: &str) -> (Vec<u8>, String) {
        let body = self.bytes();
        let signature = sign(secret, &body);
        (body, signature)
    }

    fn text(&self, pointer: &str) -> String {
        self.0.pointer(pointer).and_then(Value::as_str).expect("a string in every example").to_owned()
    }
}

fn rfc3339(moment: OffsetDateTime) -> String {
    // GitHub writes whole seconds.
    let moment = moment.replace_nanosecond(0).expect("zero is a nanosecond");
    moment.format(&Rfc3339).expect("a year of four digits")
}

fn rename(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::String(text) if text.contains(from) => *text = text.replace(from, to),
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, from, to)),
        Value::Object(fields) => fields.values_mut().for_each(|field| rename(field, from, to)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn github_publishes_eight_workflow_jobs_and_a_ping() {
        let actions: Vec<&str> =
            examples("workflow_job").iter().map(|example| example["action"].as_str().unwrap()).collect();
        assert_eq!(
            actions,
            ["in_progress", "completed", "completed", "in_progress", "in_progress", "queued", "queued", "waiting"]
        );
        assert!(examples("ping").iter().all(|ping| ping["zen"].is_string()));
    }

    /// Source: GitHub's "Validating webhook deliveries".
    #[test]
    fn signs_as_github_documents_it() {
        assert_eq!(
            sign("It's a Secret to Everybody", b"Hello, World!"),
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
    }

    #[test]
    fn a_renamed_repository_is_renamed_everywhere() {
        for event in WorkflowJobEvent::examples() {
            let old = event.text("/repository/full_name");
            let event = event.in_repository("acme", "rockets").of_organization("acme");
            assert!(!event.json()["repository"].to_string().contains(&old));
            assert_eq!(event.json()["organization"]["login"], "acme");
            assert_eq!(event.json()["repository"]["full_name"], "acme/rockets");
        }
        let event = WorkflowJobEvent::queued().of_user("mona");
        assert!(event.json().get("organization").is_none());
        assert_eq!(event.json()["repository"]["owner"]["type"], "User");
    }
}
