//! Keeps secrets out of answers and bundles.

use serde_json::{Map, Value};

/// The fields of a log line that are shown. Others may be added to the lines later, and are left out until somebody has
/// thought about them.
const FIELDS: [&str; 28] = [
    "action",
    "attempt",
    "capacity",
    "class",
    "cpu",
    "deferrals",
    "delay_seconds",
    "delivery.id",
    "error",
    "event",
    "exit_code",
    "failed_starts",
    "image_pull_seconds",
    "job.attempt",
    "level",
    "memory",
    "next.attempt",
    "purpose",
    "ran_seconds",
    "reason",
    "repository",
    "runner.name",
    "start_wait_seconds",
    "stop_code",
    "stopped_reason",
    "swapped.job.id",
    "task.arn",
    "waited_seconds",
];

/// What begins a token of GitHub's. Source: GitHub's "Behind GitHub's new authentication token formats".
const TOKENS: [&str; 6] = ["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"];

/// The shortest run of Base64 that may be a key or a JIT config, which have over a thousand characters. Names of images and
/// addresses of jobs are shorter, and colons break up ARNs and digests.
const LONGEST_WORD: usize = 100;

/// The fields that may be shown, without what looks like a secret.
pub fn fields(line: &Map<String, Value>) -> Map<String, Value> {
    let known = line.iter().filter(|(name, value)| FIELDS.contains(&name.as_str()) && !value.is_null());
    let shown = known.map(|(name, value)| {
        let value = value.as_str().map_or_else(|| value.clone(), |value| text(value).into());
        (name.clone(), value)
    });
    shown.collect()
}

/// A text without what looks like a token, a key or a JIT config.
pub fn text(text: &str) -> String {
    let is_of_word = |letter: char| letter.is_ascii_alphanumeric() || "+/_-=.".contains(letter);
    let mut shown = String::new();
    let mut word = String::new();
    for letter in text.chars().map(Some).chain([None]) {
        match letter {
            Some(letter) if is_of_word(letter) => word.push(letter),
            other => {
                let is_secret = word.len() >= LONGEST_WORD || TOKENS.iter().any(|token| word.contains(token));
                shown.push_str(if is_secret { "[hidden]" } else { &word });
                word.clear();
                shown.extend(other);
            }
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_hidden_and_the_rest_stays() {
        let jit = "eyJ".repeat(40);
        for (before, after) in [
            ("pull ghcr.io/actions/actions-runner@sha256:0123", "pull ghcr.io/actions/actions-runner@sha256:0123"),
            ("token ghs_abc is bad", "token [hidden] is bad"),
            ("github_pat_1A", "[hidden]"),
            (&format!("--jitconfig {jit}"), "--jitconfig [hidden]"),
            (&format!("\"{jit}\"."), "\"[hidden]\"."),
            ("", ""),
        ] {
            assert_eq!(text(before), after);
        }
    }

    #[test]
    fn a_field_that_nobody_has_thought_about_is_left_out() {
        let line = json!({ "error": "ghs_x", "encoded_jit_config": "e", "exit_code": null, "delay_seconds": 5 });
        let shown = fields(line.as_object().unwrap());
        assert_eq!(Value::Object(shown), json!({ "error": "[hidden]", "delay_seconds": 5 }));
    }
}
