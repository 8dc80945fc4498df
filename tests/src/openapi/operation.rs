//! One call: its parameters, body and answers.

use std::collections::HashMap;

use http::header::CONTENT_TYPE;
use jsonschema::Validator;
use reqwest::Url;
use serde_json::{Value, json};

use super::description::{Description, PathValues};
use crate::wire::{Answer, Request};

/// Statuses that GitHub answers to any call, although its description lists them for few, each with its reason.
/// If such an answer is JSON, it must have the shape of an error.
const ANY_CALL: [(u16, &str); 10] = [
    (400, "the body is not JSON"),
    (401, "no token, or a bad one"),
    (403, "a permission is missing, or a rate limit was hit"),
    (404, "there is no such thing, or the token must not know of it"),
    (422, "a value is well formed and cannot be: GitHub's \"Troubleshooting the REST API\""),
    (429, "a rate limit was hit"),
    (500, "GitHub failed"),
    (502, "GitHub's front end could not reach what is behind it"),
    (503, "GitHub is overloaded"),
    (504, "GitHub took too long"),
];

/// One call, compiled.
pub(super) struct Operation {
    name: String,
    /// The parameters of path and query, by name.
    parameters: HashMap<String, Parameter>,
    /// The body's schema, and whether there must be one.
    body: Option<(Validator, bool)>,
    /// The schema of each status's body; `None` if it has no body.
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
    pub(super) fn compile(description: &Description, name: String, operation: &Value) -> Self {
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
            // Errors have fields that the description lacks, such as `status`.
            Some((status, schema.map(|schema| description.validator(schema, status < 400))))
        });
        let answers = answers.collect();
        let error = description.validator(&json!({ "$ref": "#/components/schemas/basic-error" }), false);
        Self { name, parameters, body, answers, error }
    }

    pub(super) fn check_request(&self, request: &Request, path_values: &PathValues) -> Vec<String> {
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

    pub(super) fn check_answer(&self, answer: &Answer) -> Vec<String> {
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
            // Bodies may contain tokens and JIT configs; the error says enough without them.
            let place = error.instance_path().to_string();
            found.push(format!("{}: {what}: {place}: {}", self.name, error.masked()));
        }
    }
}
