//! Checks every call against GitHub's own OpenAPI description (npm `@octokit/openapi`).
//!
//! The description has 13 MB and a thousand calls. Each process scans it once, and parses and compiles only the calls
//! that a test makes. Objects are closed: a field that GitHub does not describe is a violation in requests and in
//! answers, so neither the functions nor the stand-in can invent one.

mod description;
mod operation;
mod schema;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::{Value, json};

use self::description::{Description, PathValues};
use self::operation::Operation;
use crate::wire::{Answer, Request, lock};

/// Collects requests and answers that do not agree with the description.
#[derive(Default)]
pub struct Checker {
    violations: Mutex<BTreeSet<String>>,
}

impl Checker {
    /// Checks a request and its answer, if it had one.
    pub fn check(&self, request: &Request, answer: Option<&Answer>) {
        let found = violations(request, answer);
        if !found.is_empty() {
            lock(&self.violations).extend(found);
        }
    }

    /// All violations so far.
    pub fn violations(&self) -> Vec<String> {
        lock(&self.violations).iter().cloned().collect()
    }
}

/// What disagrees in a payload with one of the description's schemas, such as `webhook-ping`.
///
/// # Panics
/// If there is no such schema.
pub fn payload_violations(schema: &str, payload: &Value) -> Vec<String> {
    let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
    let validator = public().description.validator(&schema, true);
    validator.iter_errors(payload).map(|error| format!("{}: {}", error.instance_path(), error.masked())).collect()
}

fn violations(request: &Request, answer: Option<&Answer>) -> Vec<String> {
    let path = request.uri().path();
    let path = path.strip_prefix("/api/v3").unwrap_or(path);
    let method = request.method().as_str().to_lowercase();
    // Most calls are in the description of the public API; those of enterprises are only in the other one.
    let found = public().find(&method, path).or_else(|| enterprise().find(&method, path));
    let Some((operation, values)) = found else {
        return vec![format!("{} {path}: GitHub has no such call", request.method())];
    };
    let mut found = operation.check_request(request, &values);
    if let Some(answer) = answer {
        found.extend(operation.check_answer(answer));
    }
    found
}

fn public() -> &'static Calls {
    static PUBLIC: OnceLock<Calls> = OnceLock::new();
    PUBLIC.get_or_init(|| Calls::of("api.github.com.json"))
}

fn enterprise() -> &'static Calls {
    static ENTERPRISE: OnceLock<Calls> = OnceLock::new();
    ENTERPRISE.get_or_init(|| Calls::of("ghec.json"))
}

/// A description, and the calls compiled from it so far.
struct Calls {
    description: Description,
    compiled: Mutex<HashMap<String, Arc<Operation>>>,
}

impl Calls {
    fn of(file: &str) -> Self {
        Self { description: Description::load(file), compiled: Mutex::default() }
    }

    /// The call that a path stands for, and the values of its parameters.
    fn find(&self, method: &str, path: &str) -> Option<(Arc<Operation>, PathValues)> {
        let found = self.description.find(method, path)?;
        if let Some(known) = lock(&self.compiled).get(&found.name) {
            return Some((Arc::clone(known), found.values));
        }
        let operation = Operation::compile(&self.description, found.name.clone(), &found.operation()?);
        let operation = Arc::new(operation);
        lock(&self.compiled).insert(found.name, Arc::clone(&operation));
        Some((operation, found.values))
    }
}

#[cfg(test)]
mod tests {
    use hyper::body::Bytes;

    use super::*;
    use crate::wire;

    fn request(method: &str, uri: &str, body: &str) -> Request {
        http::Request::builder().method(method).uri(uri).body(Bytes::from(body.to_owned())).unwrap()
    }

    #[test]
    fn what_github_would_not_understand_is_found() {
        const JITCONFIG: &str = "/orgs/o/actions/runners/generate-jitconfig";
        for (method, uri, body, problem) in [
            ("GET", "/orgs/o/actions/runners?per_page=100&name=jit", "", None),
            ("GET", "/api/v3/orgs/o/actions/runners", "", None),
            ("GET", "/orgs/o/actions/runners?perpage=100", "", Some("there is no parameter perpage")),
            ("GET", "/orgs/o/actions/runners?page=two", "", Some("the parameter page")),
            ("GET", "/orgs/o/actions/runners/nine", "", Some("the parameter runner_id")),
            ("GET", "/orgs/o/actions/runners", "{}", Some("the request has a body")),
            ("GET", "/app/hook/deliveries?status=lost", "", Some("the parameter status")),
            ("POST", JITCONFIG, r#"{"name":"n","runner_group_id":1,"labels":["l"]}"#, None),
            ("POST", JITCONFIG, "", Some("the request has no body")),
            ("POST", JITCONFIG, "name=n", Some("is not JSON")),
            ("POST", JITCONFIG, r#"{"name":"n","runner_group_id":1,"labels":[]}"#, Some("request: /labels")),
            ("POST", JITCONFIG, r#"{"name":"n","runner_group_id":"1","labels":["l"]}"#, Some("/runner_group_id")),
            ("POST", JITCONFIG, r#"{"name":"n","runner_group_id":1,"labels":["l"],"group":1}"#, Some("group")),
            ("POST", "/app/installations/1/access_tokens", "", None),
            ("POST", "/app/installations/1/access_tokens", r#"{"permissions":{"runners":"write"}}"#, Some("runners")),
            ("POST", "/enterprises/e/actions/runners/generate-jitconfig", "", Some("the request has no body")),
            ("GET", "/orgs/o/actions/runners/deprecations/2.336.0", "", None),
            ("POST", "/orgs/o/actions/runner", "", Some("the parameter security_product")),
            ("PATCH", "/orgs/o/actions/runners", "", Some("GitHub has no such call")),
        ] {
            let found = violations(&request(method, uri, body), None);
            match problem {
                None => assert!(found.is_empty(), "{method} {uri} {body}: {found:?}"),
                Some(problem) => {
                    assert!(found.iter().any(|found| found.contains(problem)), "{method} {uri} {body}: {found:?}");
                }
            }
        }
    }

    #[test]
    fn what_github_would_not_answer_is_found() {
        let list = request("GET", "/orgs/o/actions/runners", "");
        let delete = request("DELETE", "/orgs/o/actions/runners/1", "");
        let empty = |status| http::Response::builder().status(status).body(Bytes::new()).unwrap();
        for (request, answer, problem) in [
            (&list, wire::json(200, &json!({ "total_count": 0, "runners": [] })), None),
            (&list, wire::json(200, &json!({ "total_count": 0 })), Some("runners")),
            (&list, wire::json(200, &json!({ "total_count": 0, "runners": [], "more": 1 })), Some("more")),
            (&list, wire::json(200, &json!({ "total_count": 0, "runners": [{ "id": 1 }] })), Some("/runners/0")),
            (&list, empty(204), Some("answer 204: GitHub never")),
            (&list, empty(200), Some("not JSON")),
            (&list, wire::json(418, &json!({})), Some("answer 418: GitHub never")),
            (&list, wire::json(403, &json!({ "message": "no", "documentation_url": "there" })), None),
            (&list, wire::json(403, &json!({ "message": 1 })), Some("/message")),
            (&delete, empty(204), None),
            (&delete, wire::json(204, &json!({})), Some("has a body")),
        ] {
            let found = violations(request, Some(&answer));
            match problem {
                None => assert!(found.is_empty(), "{answer:?}: {found:?}"),
                Some(problem) => assert!(found.iter().any(|found| found.contains(problem)), "{answer:?}: {found:?}"),
            }
        }
    }
}
