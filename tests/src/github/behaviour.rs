//! In which ways GitHub can be slow or odd.

use std::collections::BTreeMap;
use std::time::Duration;

use time::OffsetDateTime;

/// When a version of the runner stops being served.
#[derive(Clone, Copy, Debug, Default)]
pub struct EndOfLife {
    /// From then on it cannot be registered.
    pub registration: Option<OffsetDateTime>,
    /// From then on it gets no jobs.
    pub runtime: Option<OffsetDateTime>,
}

/// In which ways this GitHub is slow or odd. The defaults are a GitHub that is neither.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each switches one oddity on, independently of the others")]
pub struct Behaviour {
    /// How long after a job's start `busy` still says no. Users saw 25 to 60 s.
    pub busy_lag: Duration,
    /// Whether a deletion is refused by what `busy` says instead of by what is true.
    pub deletion_trusts_busy: bool,
    /// How long after its job's end a runner's deletion is still refused. Users saw tens of seconds.
    pub deletion_refused_after_job: Duration,
    /// How long after its job's end a registration stays.
    pub deregistration_lag: Duration,
    /// After how long GitHub fails the job of a runner that has vanished.
    pub lost_job_after: Duration,
    /// After how long GitHub removes an ephemeral runner that never had a job. About a day.
    pub unused_runner_after: Duration,
    /// After how long a queued job is given up. Source: GitHub's "Actions limits".
    pub queued_job_after: Duration,
    /// Whether the same App JWT seen twice within a second is answered 404, as users saw it.
    pub identical_jwt_fails: bool,
    /// Whether GitHub says when versions of the runner end; GHES and some plans don't.
    pub deprecations_offered: bool,
    /// What it says.
    pub end_of_life: BTreeMap<String, EndOfLife>,
    /// The version that runner stand-ins connect with.
    pub runner_version: String,
    /// Whether the payloads of successful deliveries are kept; they are most of the memory of a long run.
    pub keep_payloads: bool,
}

const DAY: Duration = Duration::from_hours(24);

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            busy_lag: Duration::ZERO,
            deletion_trusts_busy: false,
            deletion_refused_after_job: Duration::ZERO,
            deregistration_lag: Duration::ZERO,
            lost_job_after: Duration::from_mins(10),
            unused_runner_after: DAY,
            queued_job_after: DAY,
            identical_jwt_fails: false,
            deprecations_offered: true,
            end_of_life: BTreeMap::new(),
            runner_version: "2.336.0".to_owned(),
            keep_payloads: true,
        }
    }
}
