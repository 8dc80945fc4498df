//! Holds every call against GitHub's own OpenAPI description (npm `@octokit/openapi`).
//!
//! The description has 13 MB and a thousand calls. It is scanned once per process, and only what a test really calls is
//! parsed and compiled. Objects are closed: a field that GitHub does not describe is a violation, in requests as well
//! as in answers, so that neither the functions nor the stand-in invent one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use http::header::CONTENT_TYPE;
use jsonschema::Validator;
use reqwest::Url;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::payloads::npm_file;
use crate::wire::{Answer, Request};

/// Answers that GitHub gives to any call, although its description has them for few or none, each with its reason.
/// They must still have the shape of an error, if they are JSON.
const ANY_CALL: [(u16, &str); 9] = [
    (400, "the body is not JSON"),
    (401, "no token, or a bad one"),
    (403, "a permission is missing, or a rate limit was hit"),
    (404, "there is no such thing, or the token must not know of it"),
    (429, "a rate limit was hit"),
    (500, "GitHub failed"),
    (502, "GitHub's front end could not reach what is behind it"),
    (503, "GitHub is overloaded"),
    (504, "GitHub took too long"),
];

/// Where the description cannot be meant as it stands: the call, a place in its operation, what is written there and
/// what is meant.
const ERRATA: [(&str, &str, &str, &str); 1] = [
    // An account would have to be a user and an enterprise at once. Elsewhere the same field has `anyOf`.
    (
        "GET /app/installations",
        "/responses/200/content/application~1json/schema/items/properties/account",
        "allOf",
        "anyOf",
    ),
];

/// What was said that GitHub would not have said or understood.
#[derive(Default)]
pub struct Checker {
    violations: Mutex<BTreeSet<String>>,
}

impl Checker {
    /// Checks a request and its answer, where there was one.
    pub fn check(&self, request: &Request, answer: Option<&Answer>) {
        let found = violations(request, answer);
        if !found.is_empty() {
            lock(&self.violations).extend(found);
        }
    }

    /// All that was wrong so far.
    pub fn violations(&self) -> Vec<String> {
        lock(&self.violations).iter().cloned().collect()
    }
}

fn violations(request: &Request, answer: Option<&Answer>) -> Vec<String> {
    let path = request.uri().path();
    let path = path.strip_prefix("/api/v3").unwrap_or(path);
    let method = request.method().as_str().to_lowercase();
    // Most calls are of GitHub's public API; some only its enterprise customers have.
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

fn public() -> &'static Description {
    static PUBLIC: OnceLock<Description> = OnceLock::new();
    PUBLIC.get_or_init(|| Description::load("api.github.com.json"))
}

fn enterprise() -> &'static Description {
    static ENTERPRISE: OnceLock<Description> = OnceLock::new();
    ENTERPRISE.get_or_init(|| Description::load("ghec.json"))
}

/// A description whose parts are parsed when they are needed.
struct Description {
    /// Paths with their templates cut at the slashes.
    paths: Vec<(Vec<&'static str>, &'static RawValue)>,
    components: HashMap<&'static str, HashMap<&'static str, &'static RawValue>>,
    compiled: Mutex<HashMap<String, Arc<Operation>>>,
}

impl Description {
    fn load(file: &str) -> Self {
        #[derive(Deserialize)]
        struct Document {
            #[serde(borrow)]
            paths: HashMap<&'static str, &'static RawValue>,
            #[serde(borrow)]
            components: HashMap<&'static str, HashMap<&'static str, &'static RawValue>>,
        }
        let file = npm_file(&format!("@octokit/openapi/generated/{file}"));
        let text = std::fs::read_to_string(file).expect("a readable description");
        // Needed until the process ends.
        let text: &'static str = Box::leak(text.into_boxed_str());
        let document: Document = serde_json::from_str(text).expect("an OpenAPI description");
        let paths = document.paths.into_iter().map(|(path, item)| (path.split('/').collect(), item)).collect();
        Self { paths, components: document.components, compiled: Mutex::default() }
    }

    /// The call that a path means, and the values of its parameters.
    fn find(&self, method: &str, path: &str) -> Option<(Arc<Operation>, PathValues)> {
        let segments: Vec<&str> = path.split('/').collect();
        let fits = |template: &&(Vec<&'static str>, _)| {
            let pairs = || template.0.iter().zip(&segments);
            template.0.len() == segments.len() && pairs().all(|(part, segment)| is_parameter(part) || part == segment)
        };
        // `…/runners/generate-jitconfig` means that, not a runner of that name.
        let literal = |template: &&(Vec<&'static str>, _)| template.0.iter().filter(|part| !is_parameter(part)).count();
        let (template, item) = self.paths.iter().filter(fits).max_by_key(literal)?;
        let values = template
            .iter()
            .zip(&segments)
            .filter(|(part, _)| is_parameter(part))
            .map(|(part, segment)| (part.trim_matches(['{', '}']), (*segment).to_owned()))
            .collect();
        Some((self.operation(method, &template.join("/"), item)?, values))
    }

    fn operation(&self, method: &str, template: &str, item: &RawValue) -> Option<Arc<Operation>> {
        let name = format!("{} {template}", method.to_uppercase());
        if let Some(known) = lock(&self.compiled).get(&name) {
            return Some(Arc::clone(known));
        }
        let mut item: Value = serde_json::from_str(item.get()).expect("an item of the description");
        let operation = item.get_mut(method)?;
        for (_, place, written, meant) in ERRATA.iter().filter(|(call, ..)| *call == name) {
            let place = operation.pointer_mut(place).and_then(Value::as_object_mut);
            let place = place.expect("errata fit the pinned description");
            let content = place.remove(*written).expect("errata fit the pinned description");
            place.insert((*meant).to_owned(), content);
        }
        let operation = Arc::new(Operation::compile(self, name.clone(), operation));
        lock(&self.compiled).insert(name, Arc::clone(&operation));
        Some(operation)
    }

    /// Follows a reference, if it is one.
    fn resolve(&self, value: &Value) -> Value {
        match value["$ref"].as_str() {
            None => value.clone(),
            Some(reference) => self.component(reference),
        }
    }

    fn component(&self, reference: &str) -> Value {
        let mut parts = reference.trim_start_matches("#/components/").splitn(2, '/');
        let kind = parts.next().unwrap_or_default();
        let name = parts.next().unwrap_or_default();
        let raw = self.components.get(kind).and_then(|of_kind| of_kind.get(name));
        let raw = raw.unwrap_or_else(|| panic!("the description lacks {reference}"));
        serde_json::from_str(raw.get()).expect("a component of the description")
    }

    /// A validator for one of the description's schemas.
    fn validator(&self, schema: &Value, closed: bool) -> Validator {
        let mut definitions = BTreeMap::new();
        let mut schema = self.convert(schema, closed, &mut definitions);
        schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
        schema["$defs"] = json!(definitions);
        let options = jsonschema::options().should_validate_formats(true);
        options.build(&schema).unwrap_or_else(|error| panic!("a schema of the description: {error}"))
    }

    /// OpenAPI 3.0's dialect in JSON Schema's. What it refers to comes among the definitions.
    fn convert(&self, schema: &Value, closed: bool, definitions: &mut BTreeMap<String, Value>) -> Value {
        let Some(fields) = schema.as_object() else { return schema.clone() };
        if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
            let name = reference.rsplit('/').next().unwrap_or_default();
            let name = if closed { name.to_owned() } else { format!("{name}-open") };
            if !definitions.contains_key(&name) {
                // Before the content, since schemas may refer to themselves.
                definitions.insert(name.clone(), Value::Null);
                let content = self.convert(&self.component(reference), closed, definitions);
                definitions.insert(name.clone(), content);
            }
            return json!({ "$ref": format!("#/$defs/{name}") });
        }
        let mut converted = Map::new();
        for (keyword, value) in fields {
            let value = match (keyword.as_str(), value) {
                ("properties", Value::Object(properties)) => properties
                    .iter()
                    .map(|(name, property)| (name.clone(), self.convert(property, closed, definitions)))
                    .collect(),
                ("items" | "additionalProperties" | "not", value) => self.convert(value, closed, definitions),
                ("anyOf" | "oneOf", Value::Array(choices)) => {
                    choices.iter().map(|choice| self.convert(choice, closed, definitions)).collect()
                }
                // Each part knows only some of the fields.
                ("allOf", Value::Array(parts)) => {
                    parts.iter().map(|part| self.convert(part, false, definitions)).collect()
                }
                (
                    "type" | "enum" | "format" | "required" | "pattern" | "minLength" | "maxLength" | "minimum"
                    | "maximum" | "minItems" | "maxItems" | "uniqueItems" | "minProperties" | "maxProperties",
                    value,
                ) => value.clone(),
                _ => continue,
            };
            converted.insert(keyword.clone(), value);
        }
        if closed && fields.contains_key("properties") && !fields.contains_key("additionalProperties") {
            converted.insert("additionalProperties".to_owned(), json!(false));
        }
        if fields.get("nullable") == Some(&json!(true)) {
            return json!({ "anyOf": [{ "type": "null" }, converted] });
        }
        Value::Object(converted)
    }
}

/// The values in a path, with the names of their parameters.
type PathValues = Vec<(&'static str, String)>;

fn is_parameter(part: &str) -> bool {
    part.starts_with('{')
}

/// One call.
struct Operation {
    name: String,
    /// Of path and query, by name.
    parameters: HashMap<String, Parameter>,
    /// The body's schema, and whether there must be one.
    body: Option<(Validator, bool)>,
    /// By status; `None` where there is no body.
    answers: HashMap<u16, Option<Validator>>,
    error: Validator,
}

struct Parameter {
    in_path: bool,
    required: bool,
    is_text: bool,
    schema: Validator,
}

impl Operation {
    fn compile(description: &Description, name: String, operation: &Value) -> Self {
        let empty = Vec::new();
        let parameters = operation["parameters"].as_array().unwrap_or(&empty).iter().map(|parameter| {
            let parameter = description.resolve(parameter);
            let schema = description.resolve(&parameter["schema"]);
            let compiled = Parameter {
                in_path: parameter["in"] == "path",
                required: parameter["required"] == true,
                is_text: schema["type"] == "string",
                schema: description.validator(&schema, true),
            };
            (parameter["name"].as_str().unwrap_or_default().to_owned(), compiled)
        });
        let parameters = parameters.collect();
        let body = operation.get("requestBody").map(|body| {
            let body = description.resolve(body);
            let schema = &body["content"]["application/json"]["schema"];
            (description.validator(schema, true), body["required"] == true)
        });
        let answers = operation["responses"].as_object().into_iter().flatten().filter_map(|(status, answer)| {
            let status: u16 = status.parse().ok()?;
            let answer = description.resolve(answer);
            let schema = answer["content"]["application/json"].get("schema");
            // Errors say more than the description does: `status`, for one.
            Some((status, schema.map(|schema| description.validator(schema, status < 400))))
        });
        let answers = answers.collect();
        let error = description.validator(&json!({ "$ref": "#/components/schemas/basic-error" }), false);
        Self { name, parameters, body, answers, error }
    }

    fn check_request(&self, request: &Request, path_values: &PathValues) -> Vec<String> {
        let mut found = Vec::new();
        for (name, value) in path_values {
            self.check_parameter(name, value, true, &mut found);
        }
        let url = Url::parse("http://github.example").and_then(|base| base.join(&request.uri().to_string()));
        let query: HashMap<String, String> =
            url.map(|url| url.query_pairs().into_owned().collect()).unwrap_or_default();
        for (name, value) in &query {
            self.check_parameter(name, value, false, &mut found);
        }
        for (name, parameter) in &self.parameters {
            if parameter.required && !parameter.in_path && !query.contains_key(name) {
                found.push(format!("{}: the parameter {name} is missing", self.name));
            }
        }
        match (&self.body, request.body().is_empty()) {
            (Some((_, true)), true) => found.push(format!("{}: the request has no body", self.name)),
            (None, false) => found.push(format!("{}: the request has a body", self.name)),
            (Some((schema, _)), false) => match serde_json::from_slice::<Value>(request.body()) {
                Err(_) => found.push(format!("{}: the request's body is not JSON", self.name)),
                Ok(body) => self.check_body("request", schema, &body, &mut found),
            },
            (_, true) => {}
        }
        found
    }

    fn check_parameter(&self, name: &str, value: &str, in_path: bool, found: &mut Vec<String>) {
        let known = self.parameters.get(name).filter(|parameter| parameter.in_path == in_path);
        let Some(parameter) = known else {
            found.push(format!("{}: there is no parameter {name}", self.name));
            return;
        };
        let text = || Value::String(value.to_owned());
        let value = if parameter.is_text { text() } else { serde_json::from_str(value).unwrap_or_else(|_| text()) };
        if let Err(error) = parameter.schema.validate(&value) {
            found.push(format!("{}: the parameter {name}: {error}", self.name));
        }
    }

    fn check_answer(&self, answer: &Answer) -> Vec<String> {
        let mut found = Vec::new();
        let status = answer.status().as_u16();
        let is_json = answer.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().ends_with(b"json"));
        let body = serde_json::from_slice::<Value>(answer.body());
        let schema = match self.answers.get(&status) {
            Some(schema) => schema.as_ref(),
            None if ANY_CALL.iter().any(|(known, _)| *known == status) => is_json.then_some(&self.error),
            None => {
                found.push(format!("{}: answer {status}: GitHub never gives it", self.name));
                return found;
            }
        };
        match (schema, body) {
            (None, _) if !is_json || answer.body().is_empty() => {}
            (None, _) => found.push(format!("{}: answer {status}: has a body", self.name)),
            (Some(_), Err(_)) => found.push(format!("{}: answer {status}: not JSON", self.name)),
            (Some(schema), Ok(body)) => self.check_body(&format!("answer {status}"), schema, &body, &mut found),
        }
        found
    }

    fn check_body(&self, what: &str, schema: &Validator, body: &Value, found: &mut Vec<String>) {
        for error in schema.iter_errors(body) {
            // Bodies may hold tokens and JIT configurations; the error alone says enough.
            let place = error.instance_path().to_string();
            found.push(format!("{}: {what}: {place}: {}", self.name, error.masked()));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
