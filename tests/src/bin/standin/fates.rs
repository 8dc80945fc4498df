//! The fate of the task that is started for a job.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jitgate::job::JobId;
use serde::Deserialize;

/// What happens to a job's next task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fate {
    /// Its image cannot be pulled: it stops before its runner connects.
    NeverStarts,
    /// Its image takes longer to pull than the demo lasts.
    Slow,
    /// It keeps running although its runner has done its job.
    Hangs,
}

/// Fates by job, each used once; clones share them.
#[derive(Clone, Default)]
pub(crate) struct Fates(Arc<Mutex<HashMap<JobId, Fate>>>);

impl Fates {
    /// Sets the fate of the job's next task.
    pub(crate) fn decide(&self, job: JobId, fate: Fate) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(job, fate);
    }

    /// Takes the fate of a task.
    pub(crate) fn meet(&self, job: JobId) -> Option<Fate> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&job)
    }
}
