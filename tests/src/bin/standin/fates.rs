//! What is to go wrong with the task that is started for a job.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jitgate::job::JobId;
use serde::Deserialize;

/// What becomes of a job's next task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fate {
    /// Its image cannot be pulled: it stops before its runner connects.
    NeverStarts,
    /// Its image takes longer to pull than anybody watches.
    Slow,
    /// It goes on although its runner has done its job.
    Hangs,
}

/// Each is met once; clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Fates(Arc<Mutex<HashMap<JobId, Fate>>>);

impl Fates {
    /// For the job's next task.
    pub(crate) fn decide(&self, job: JobId, fate: Fate) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(job, fate);
    }

    /// What a task meets now.
    pub(crate) fn meet(&self, job: JobId) -> Option<Fate> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&job)
    }
}
