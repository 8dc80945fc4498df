//! What classes say to recorded jobs, before and after.

use std::collections::BTreeMap;

use jitgate::admission::Provenance;
use jitgate::classes::{Asked, RunnerClasses};
use serde::Serialize;
use serde_json::Value;

use super::delivery::Recorded;
use crate::explain;

/// What becomes of a job between two sets of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Change {
    /// It was taken and no longer is.
    Lost,
    /// It was not taken and is now.
    Gained,
    /// It is taken as before, by another class, at another size or at another price.
    Changed,
    /// Nothing changes.
    Same,
}

/// What classes say to a job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Verdict {
    pub(super) taken: bool,
    /// As `jitgate explain --json` has it: class, size, disk, architecture, capacity and price, or the reason.
    #[serde(flatten)]
    pub(super) says: Value,
}

/// A job with its verdicts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Compared {
    pub(super) job: u64,
    pub(super) repository: String,
    pub(super) workflow: Option<String>,
    pub(super) labels: Vec<String>,
    /// Nothing if there is nothing to compare with.
    pub(super) before: Option<Verdict>,
    pub(super) after: Verdict,
    pub(super) change: Option<Change>,
}

/// The classes' verdict on a job: the class that fits, as the webhook and the worker find it, unless that does not take jobs of
/// where the code comes from. Whether a run is of a fork, the worker asks GitHub: here it counts as none.
pub(super) fn judge(classes: &RunnerClasses, job: &Recorded) -> Verdict {
    let repository = &job.payload.repository;
    let labels = &job.payload.workflow_job.labels;
    let asked = Asked { owner: &repository.owner.login, repository: &repository.name, labels };
    let (mut says, fits) = explain::of_job(classes, &asked);
    if let Value::Object(fields) = &mut says {
        fields.retain(|name, _| !matches!(name.as_str(), "labels" | "classes" | "nearest"));
    }
    let is_public = Provenance::is_public(repository.visibility.as_deref(), repository.private);
    let class = classes.fit(&asked).ok().map(|fit| fit.class);
    let refusal = class.and_then(|class| Provenance { is_public, is_from_fork: None }.check(class).err());
    match refusal {
        None => Verdict { taken: fits, says },
        Some(unwelcome) => {
            Verdict { taken: false, says: serde_json::json!({ "class": null, "reason": unwelcome.to_string() }) }
        }
    }
}

/// Each job under the new classes, and under the old ones if they are known.
pub(super) fn compare(jobs: &[Recorded], old: Option<&RunnerClasses>, new: &RunnerClasses) -> Vec<Compared> {
    let each = jobs.iter().map(|job| {
        let before = old.map(|old| judge(old, job));
        let after = judge(new, job);
        Compared {
            job: job.payload.workflow_job.id,
            repository: job.repository(),
            workflow: job.payload.workflow_job.workflow_name.clone(),
            labels: job.payload.workflow_job.labels.clone(),
            change: before.as_ref().map(|before| change(before, &after)),
            before,
            after,
        }
    });
    each.collect()
}

fn change(before: &Verdict, after: &Verdict) -> Change {
    match (before.taken, after.taken) {
        (true, false) => Change::Lost,
        (false, true) => Change::Gained,
        // Another reason for taking no job is no difference for the job.
        (false, false) => Change::Same,
        (true, true) if before == after => Change::Same,
        (true, true) => Change::Changed,
    }
}

/// How many jobs there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    pub(super) jobs: usize,
    pub(super) taken: usize,
    pub(super) lost: usize,
    pub(super) gained: usize,
    pub(super) changed: usize,
    pub(super) same: usize,
}

impl Counts {
    pub(super) fn of(compared: &[Compared]) -> Self {
        let of = |change| compared.iter().filter(|each| each.change == Some(change)).count();
        Self {
            jobs: compared.len(),
            taken: compared.iter().filter(|each| each.after.taken).count(),
            lost: of(Change::Lost),
            gained: of(Change::Gained),
            changed: of(Change::Changed),
            same: of(Change::Same),
        }
    }
}

/// Jobs that are alike, with how many they are: those of a repository with the same labels and verdicts.
pub(super) fn alike(compared: &[Compared]) -> Vec<(&Compared, usize)> {
    let mut groups: BTreeMap<_, (&Compared, usize)> = BTreeMap::new();
    for each in compared {
        let verdicts =
            [each.before.as_ref(), Some(&each.after)].map(|verdict| verdict.map(|verdict| verdict.says.to_string()));
        let key = (each.change, each.repository.as_str(), &each.labels, verdicts);
        groups.entry(key).or_insert((each, 0)).1 += 1;
    }
    groups.into_values().collect()
}
