//! Hooks, their deliveries, and the outcomes.

use std::sync::Arc;

use jitgate::job::{InstallationId, JobId};
use time::OffsetDateTime;

use super::scope::Scope;

/// Whose hook it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookTarget {
    /// The App's own, which covers all its installations. In a request: that of the App which asks.
    App,
    /// An organisation's or a repository's.
    Scope(Scope),
}

/// Whose hook it is, among several Apps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HookOwner {
    /// The App with this id.
    App(u64),
    Scope(Scope),
}

/// A hook. An App's sends the App's events, any other sends `workflow_job`.
#[derive(Clone, Debug)]
pub(super) struct Hook {
    pub(super) id: u64,
    pub(super) owner: HookOwner,
    pub(super) url: String,
    /// Absent if only the courier knows it.
    pub(super) secret: Option<String>,
    pub(super) active: bool,
    pub(super) created_at: OffsetDateTime,
}

/// A delivery to send. Report its outcome with [`delivered`](super::GitHub::delivered).
#[derive(Clone, Debug)]
pub struct Delivery {
    /// GitHub's id of this attempt.
    pub id: u64,
    /// `X-GitHub-Delivery`: a redelivery keeps it.
    pub guid: String,
    /// `X-GitHub-Event`
    pub event: String,
    /// `X-GitHub-Hook-ID`
    pub hook_id: u64,
    /// The hook's URL.
    pub url: String,
    /// The hook's secret, unless only the courier knows it.
    pub secret: Option<String>,
    /// The payload, still unsigned.
    pub body: Arc<[u8]>,
    /// Whether it is a redelivery.
    pub redelivery: bool,
    /// The job that it announces.
    pub job_id: Option<JobId>,
}

/// The outcome of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The status of the answer. GitHub writes 502 if it could not connect and 504 after a time-out.
    pub status: u16,
    /// The answer's body.
    pub body: String,
}

impl Outcome {
    /// The receiver could not be reached.
    pub fn unreachable() -> Self {
        Self { status: 502, body: String::new() }
    }

    /// The receiver took longer than GitHub's ten seconds.
    pub fn timed_out() -> Self {
        Self { status: 504, body: String::new() }
    }

    /// Whether the log's filter counts it as a success.
    pub fn succeeded(&self) -> bool {
        (200..400).contains(&self.status)
    }
}

/// A delivery in the log.
#[derive(Clone, Debug)]
pub(super) struct DeliveryRecord {
    pub(super) id: u64,
    pub(super) guid: String,
    pub(super) hook: u64,
    pub(super) event: String,
    pub(super) action: Option<String>,
    pub(super) installation: Option<InstallationId>,
    pub(super) repository: Option<u64>,
    pub(super) job_id: Option<JobId>,
    /// Absent if payloads are not kept.
    pub(super) payload: Option<Arc<[u8]>>,
    pub(super) redelivery: bool,
    pub(super) delivered_at: OffsetDateTime,
    pub(super) outcome: Option<Outcome>,
}
