//! A recorded delivery: what the functions read of a `workflow_job` that is queued, and nothing else of it.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

/// The version of the lines that this code writes and reads.
const VERSION: u8 = 1;

/// A line of a recording. The structs below name the fields that are kept; all others are dropped while GitHub's answer is
/// read, and with them the request's headers, among which is the signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Recorded {
    v: u8,
    /// `X-GitHub-Delivery`
    pub(super) delivery: String,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) delivered_at: OffsetDateTime,
    #[serde(flatten)]
    pub(super) payload: Payload,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Payload {
    pub(super) action: String,
    pub(super) workflow_job: WorkflowJob,
    pub(super) repository: Repository,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    organization: Option<Organization>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    installation: Option<Installation>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WorkflowJob {
    pub(super) id: u64,
    run_id: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run_attempt: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) workflow_name: Option<String>,
    pub(super) labels: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    html_url: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Repository {
    pub(super) name: String,
    pub(super) owner: Owner,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) private: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) visibility: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owner {
    id: u64,
    pub(super) login: String,
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Organization {
    login: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Installation {
    id: u64,
}

impl Recorded {
    /// From GitHub's answer about one delivery; `None` if its payload is none that the webhook takes.
    pub(super) fn of(delivery: &str, delivered_at: OffsetDateTime, whole: &Value) -> Option<Self> {
        let payload = Payload::deserialize(&whole["request"]["payload"]).ok()?;
        Some(Self { v: VERSION, delivery: delivery.to_owned(), delivered_at, payload })
    }

    /// A line, with its end.
    pub(super) fn line(&self) -> String {
        let json = serde_json::to_string(self).expect("a struct of strings and numbers always becomes JSON");
        format!("{json}\n")
    }

    /// `owner/name`
    pub(super) fn repository(&self) -> String {
        format!("{}/{}", self.payload.repository.owner.login, self.payload.repository.name)
    }
}

/// The jobs of a recording, each once: GitHub may announce one twice.
pub(super) fn read(text: &str) -> Result<Vec<Recorded>, String> {
    let mut seen = HashSet::new();
    let mut jobs = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = format!("line {}", number + 1);
        let recorded: Recorded = serde_json::from_str(line).map_err(|error| format!("{place}: {error}"))?;
        if recorded.v != VERSION {
            return Err(format!("{place}: of version {}, and this command reads version {VERSION}", recorded.v));
        }
        if recorded.payload.action == "queued" && seen.insert(recorded.payload.workflow_job.id) {
            jobs.push(recorded);
        }
    }
    Ok(jobs)
}
