//! The outcome of a pass: for the log, as metrics, and as the invocation's outcome.

use std::collections::BTreeMap;

use jitgate::ecs::EcsError;
use jitgate::metrics::{Metrics, Unit};

use crate::context::Pass;

/// What became of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Done {
    /// There was nothing to do, or it was already done.
    Nothing,
    RegistrationDeleted,
    TaskStopped,
    /// GitHub says that the runner is busy, or has connected after all.
    LeftBusy,
    /// GitHub assigns no jobs to the class's runners, and an idle one stays as a probe.
    Unassigned,
    /// GitHub gives the job no runner, whatever is launched: its run has ended, or its runner group does not admit its
    /// repository.
    Stuck,
    Relaunched,
    /// Launched again, since another job had taken its runner.
    Swapped,
    /// Launched, although no delivery had announced it.
    Found,
    GivenUp,
    Redelivered,
    /// GitHub will soon stop serving a version of the runner.
    VersionEnds,
    /// Left to the next pass.
    Left,
    /// A step failed, or something could not be looked at.
    Failed,
}

impl Done {
    /// The metric that counts it.
    fn metric(self) -> Option<&'static str> {
        Some(match self {
            Self::Nothing => return None,
            Self::RegistrationDeleted => "RegistrationsDeleted",
            Self::TaskStopped => "TasksStopped",
            Self::LeftBusy => "RunnersLeftBusy",
            Self::Unassigned => "RunnersUnassigned",
            Self::Stuck => "JobsStuck",
            Self::Relaunched => "JobsRelaunched",
            Self::Swapped => "JobsStolen",
            Self::Found => "JobsFound",
            Self::GivenUp => "JobsGivenUp",
            Self::Redelivered => "DeliveriesRepeated",
            Self::VersionEnds => "RunnerVersionsEnding",
            Self::Left => "StepsLeft",
            Self::Failed => "StepsFailed",
        })
    }
}

/// How often each happened.
#[derive(Debug, Default)]
pub(crate) struct Tally(BTreeMap<Done, usize>);

/// What could not be done. Each failure was logged where it happened.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// Without the tasks, what is alive is unknown, so nothing was touched.
    #[error(transparent)]
    Tasks(#[from] EcsError),
    /// Everything else was done.
    #[error("{0} steps of the clean-up failed, see the log")]
    Incomplete(usize),
}

impl Tally {
    pub(crate) fn add(&mut self, step: Done) {
        *self.0.entry(step).or_default() += 1;
    }

    /// Ends a pass: writes its log line and its metrics. `tasks` is how many live tasks it saw.
    pub(crate) fn close(self, pass: Pass<'_>, tasks: usize) -> Result<(), CleanError> {
        tracing::info!(tally = ?self.0, tasks, "clean-up done");
        let mut metrics = Metrics::new(&pass.config.name_prefix, "cleaner");
        for (done, count) in &self.0 {
            if let Some(metric) = done.metric() {
                metrics.count(metric, *count);
            }
        }
        // CloudWatch charges a metric for each hour with a value, and an idle fleet has a pass in each.
        if let Some(remaining) = pass.github.take_budget().filter(|_| tasks > 0) {
            metrics.put("GitHubBudgetRemaining", Unit::Count, remaining);
        }
        metrics.write(pass.clock.now());
        match self.0.get(&Done::Failed) {
            Some(failed) => Err(CleanError::Incomplete(*failed)),
            None => Ok(()),
        }
    }
}

impl Extend<Done> for Tally {
    fn extend<T: IntoIterator<Item = Done>>(&mut self, steps: T) {
        steps.into_iter().for_each(|step| self.add(step));
    }
}
