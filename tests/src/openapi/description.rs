//! GitHub's description, parsed on demand.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::payloads::npm_file;

/// Errors in the description: the call, a place in its operation, what is written there and what is meant.
const ERRATA: [(&str, &str, &str, &str); 1] = [
    // An account would have to be a user and an enterprise at once. Elsewhere the same field has `anyOf`.
    (
        "GET /app/installations",
        "/responses/200/content/application~1json/schema/items/properties/account",
        "allOf",
        "anyOf",
    ),
];

/// A call found by its path.
pub(super) struct Found {
    /// Method and template: `GET /orgs/{org}/actions/runners`.
    pub(super) name: String,
    item: &'static RawValue,
    /// The values of the path's parameters.
    pub(super) values: PathValues,
}

impl Found {
    /// The call's operation, with the errata corrected; `None` if the path does not have the method.
    pub(super) fn operation(&self) -> Option<Value> {
        let (method, _) = self.name.split_once(' ')?;
        let mut item: Value = serde_json::from_str(self.item.get()).expect("an item of the description");
        let mut operation = item.get_mut(method.to_lowercase())?.take();
        for (_, place, written, meant) in ERRATA.iter().filter(|(call, ..)| *call == self.name) {
            let place = operation.pointer_mut(place).and_then(Value::as_object_mut);
            let place = place.expect("errata fit the pinned description");
            let content = place.remove(*written).expect("errata fit the pinned description");
            place.insert((*meant).to_owned(), content);
        }
        Some(operation)
    }
}

/// The parameters of a path: names and values.
pub(super) type PathValues = Vec<(&'static str, String)>;

/// The description of one product: github.com or GitHub Enterprise Cloud.
pub(super) struct Description {
    /// Paths, with their templates split at the slashes.
    paths: Vec<(Vec<&'static str>, &'static RawValue)>,
    components: HashMap<&'static str, HashMap<&'static str, &'static RawValue>>,
}

impl Description {
    pub(super) fn load(file: &str) -> Self {
        #[derive(Deserialize)]
        struct Document {
            #[serde(borrow)]
            paths: HashMap<&'static str, &'static RawValue>,
            #[serde(borrow)]
            components: HashMap<&'static str, HashMap<&'static str, &'static RawValue>>,
        }
        let file = npm_file(&format!("@octokit/openapi/generated/{file}"));
        let text = std::fs::read_to_string(file).expect("a readable description");
        // Used until the process ends.
        let text: &'static str = Box::leak(text.into_boxed_str());
        let document: Document = serde_json::from_str(text).expect("an OpenAPI description");
        let paths = document.paths.into_iter().map(|(path, item)| (path.split('/').collect(), item)).collect();
        Self { paths, components: document.components }
    }

    /// The call that a path stands for.
    pub(super) fn find(&self, method: &str, path: &str) -> Option<Found> {
        let segments: Vec<&str> = path.split('/').collect();
        let fits = |template: &&(Vec<&'static str>, _)| {
            let pairs = || template.0.iter().zip(&segments);
            template.0.len() == segments.len() && pairs().all(|(part, segment)| is_parameter(part) || part == segment)
        };
        // A literal beats a parameter: `…/runners/generate-jitconfig` is not a runner of that name.
        let literal = |template: &&(Vec<&'static str>, _)| template.0.iter().filter(|part| !is_parameter(part)).count();
        let (template, item) = self.paths.iter().filter(fits).max_by_key(literal)?;
        let values = template
            .iter()
            .zip(&segments)
            .filter(|(part, _)| is_parameter(part))
            .map(|(part, segment)| (part.trim_matches(['{', '}']), (*segment).to_owned()))
            .collect();
        Some(Found { name: format!("{} {}", method.to_uppercase(), template.join("/")), item, values })
    }

    /// Follows the reference, if the value is one.
    pub(super) fn resolve(&self, value: &Value) -> Value {
        match value["$ref"].as_str() {
            None => value.clone(),
            Some(reference) => self.component(reference),
        }
    }

    pub(super) fn component(&self, reference: &str) -> Value {
        let mut parts = reference.trim_start_matches("#/components/").splitn(2, '/');
        let kind = parts.next().unwrap_or_default();
        let name = parts.next().unwrap_or_default();
        let raw = self.components.get(kind).and_then(|of_kind| of_kind.get(name));
        let raw = raw.unwrap_or_else(|| panic!("the description lacks {reference}"));
        serde_json::from_str(raw.get()).expect("a component of the description")
    }
}

fn is_parameter(part: &str) -> bool {
    part.starts_with('{')
}
