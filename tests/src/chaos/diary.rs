//! What happened to each job, to find out why a run failed.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

use jitgate::job::{JobId, RunnerId};
use time::OffsetDateTime;

use crate::wire::Request;
use crate::world::START;

/// The number of digits of GitHub's job ids, and their first digits.
const JOB_ID_LENGTH: usize = 11;
const JOB_ID_BEGINS: &str = "52";

#[derive(Debug)]
struct Entry {
    at: OffsetDateTime,
    jobs: BTreeSet<JobId>,
    text: String,
}

/// One run's diary.
#[derive(Debug, Default)]
pub(super) struct Diary {
    entries: Vec<Entry>,
    /// The jobs for which registrations and tasks were made.
    jobs_of_runners: HashMap<u64, JobId>,
    jobs_of_tasks: HashMap<String, JobId>,
}

impl Diary {
    pub(super) fn note(&mut self, at: OffsetDateTime, jobs: impl IntoIterator<Item = JobId>, text: impl Into<String>) {
        self.entries.push(Entry { at, jobs: jobs.into_iter().collect(), text: text.into() });
    }

    pub(super) fn made_runner(&mut self, runner: RunnerId, job: JobId) {
        self.jobs_of_runners.insert(runner.0, job);
    }

    pub(super) fn made_task(&mut self, task: &str, job: JobId) {
        self.jobs_of_tasks.insert(task.to_owned(), job);
    }

    pub(super) fn job_of_runner(&self, runner: RunnerId) -> Option<JobId> {
        self.jobs_of_runners.get(&runner.0).copied()
    }

    pub(super) fn job_of_task(&self, task: &str) -> Option<JobId> {
        self.jobs_of_tasks.get(task).copied()
    }

    /// The jobs that a call concerns.
    pub(super) fn jobs_in(&self, request: &Request) -> BTreeSet<JobId> {
        let body = String::from_utf8_lossy(request.body());
        let mut jobs = job_ids(&body);
        jobs.extend(job_ids(request.uri().path_and_query().map_or("", http::uri::PathAndQuery::as_str)));
        if jobs.is_empty() {
            let last = request.uri().path().rsplit('/').next().and_then(|last| last.parse().ok());
            jobs.extend(last.and_then(|id| self.jobs_of_runners.get(&id)));
            if body.contains(":task/") {
                jobs.extend(body.split('"').filter_map(|text| self.jobs_of_tasks.get(text)));
            }
        }
        jobs
    }

    /// Everything that concerns a job, one line each.
    pub(super) fn of(&self, job: JobId) -> String {
        let mut text = format!("job {job}:\n");
        for entry in self.entries.iter().filter(|entry| entry.jobs.contains(&job)) {
            let _ = writeln!(text, "{:>12.3}s  {}", (entry.at - START).as_seconds_f64(), entry.text);
        }
        text
    }

    /// The last entries.
    pub(super) fn end(&self) -> String {
        let mut text = "the last that happened:\n".to_owned();
        for entry in self.entries.iter().rev().take(40).rev() {
            let _ = writeln!(text, "{:>12.3}s  {:?} {}", (entry.at - START).as_seconds_f64(), entry.jobs, entry.text);
        }
        text
    }
}

/// The ids of jobs in a text.
fn job_ids(text: &str) -> BTreeSet<JobId> {
    let bytes = text.as_bytes();
    let is_digit = |index: usize| bytes.get(index).is_some_and(u8::is_ascii_digit);
    text.match_indices(JOB_ID_BEGINS)
        .filter(|(start, _)| *start == 0 || !is_digit(start - 1))
        .filter(|(start, _)| (*start..start + JOB_ID_LENGTH).all(is_digit) && !is_digit(start + JOB_ID_LENGTH))
        .filter_map(|(start, _)| text[start..start + JOB_ID_LENGTH].parse().ok())
        .map(JobId)
        .collect()
}
