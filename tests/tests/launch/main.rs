//! Stories of the worker: one runner for each job, whatever comes twice, late or not at all.

mod capacity;
mod credentials;
mod duplicates;
mod lost_answers;
mod ordinary;
mod providers;
mod refusals;
mod roles;
mod taken_names;

use jitgate_tests::world::runner_classes;
use serde_json::Value;

const GENERATE: &str = "generate-jitconfig";

fn class_with(key: &str, value: Value) -> String {
    let mut classes = runner_classes();
    classes[0][key] = value;
    classes.to_string()
}
