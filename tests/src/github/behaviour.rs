//! How GitHub can be slow or odd.

use std::collections::BTreeMap;
use std::time::Duration;

use time::OffsetDateTime;

/// When GitHub stops serving a version of the runner.
#[derive(Clone, Copy, Debug, Default)]
pub struct EndOfLife {
    /// From then on it cannot be registered.
    pub registration: Option<OffsetDateTime>,
    /// From then on it gets no jobs.
    pub runtime: Option<OffsetDateTime>,
}

/// How this GitHub is slow or odd. By default it is neither.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each switches one oddity on, independently of the others")]
pub struct Behaviour {
    /// How long after a job's start `busy` is still false. Users reported 25 to 60 s.
    pub busy_lag: Duration,
    /// Whether GitHub refuses a deletion by `busy` instead of by whether the runner has a job.
    pub deletion_trusts_busy: bool,
    /// How long after its job's end a runner's deletion is still refused. Users reported tens of seconds.
    pub deletion_refused_after_job: Duration,
    /// How long after its job's end a registration stays.
    pub deregistration_lag: Duration,
    /// How long after a runner vanished GitHub fails its job.
    pub lost_job_after: Duration,
    /// How long GitHub keeps an ephemeral runner that never had a job: about a day.
    pub unused_runner_after: Duration,
    /// How long a job may be queued before GitHub cancels it. Source: GitHub's "Actions limits".
    pub queued_job_after: Duration,
    /// Whether GitHub answers 404 to an App JWT that it sees twice within a second, as users reported.
    pub identical_jwt_fails: bool,
    /// How long after its creation an installation token has not reached all of GitHub's servers. Users saw seconds, up to
    /// half a minute. Source: octokit/auth-app.js#65 and #589.
    pub token_lag: Duration,
    /// What calls with such a token hear, in turn. 401: the server does not know the token yet. 403 and 404: it does not know
    /// its permissions or what it may see. 200: it knows all. Source: octokit/auth-app.js#589.
    pub lag_answers: Vec<u16>,
    /// Whether GitHub tells when versions of the runner end; GHES and some plans do not.
    pub deprecations_offered: bool,
    /// When each version ends.
    pub end_of_life: BTreeMap<String, EndOfLife>,
    /// Whether GitHub gives queued jobs to idle runners. In March and August 2026 it did not for hours. Source: actions/runner#4076,
    /// actions-runner-controller#4395 to #4397.
    pub dispatches: bool,
    /// Whether GitHub turns runners away when they open a session, as it did for hours in August 2026. Source:
    /// actions/runner#4613.
    pub turns_runners_away: bool,
    /// Whether runners reach GitHub. Those that do not go on trying.
    pub is_reachable: bool,
    /// Whether runners that are turned away say so if they are asked to: those from before March 2026 end with 0 whatever happens.
    /// Source: actions/runner#4285.
    pub runners_say_why: bool,
    /// The version of the runner stand-ins.
    pub runner_version: String,
    /// Whether to keep the payloads of successful deliveries, which take most of a long run's memory.
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
            token_lag: Duration::ZERO,
            lag_answers: vec![403],
            deprecations_offered: true,
            end_of_life: BTreeMap::new(),
            dispatches: true,
            turns_runners_away: false,
            is_reachable: true,
            runners_say_why: true,
            runner_version: "2.336.0".to_owned(),
            keep_payloads: true,
        }
    }
}
