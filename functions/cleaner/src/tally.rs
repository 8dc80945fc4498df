//! What a pass came to, for the log and as metrics.

use jitgate::metrics::Metrics;

/// What became of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// Nothing had to be done, or somebody else had done it.
    Nothing,
    RegistrationDeleted,
    TaskStopped,
    /// GitHub says that the runner is busy, or has come after all, so it was left alone.
    LeftBusy,
    /// The job is queued in a run that has ended.
    LeftStuck,
    Relaunched,
    /// Launched again, since another job had taken its runner.
    Stolen,
    /// Launched, although nobody had told of it.
    Found,
    GivenUp,
    Redelivered,
    /// GitHub will soon stop serving a version of the runner.
    VersionEnds,
    /// The pass's time was over, or its turn would have come too late: the next pass does it.
    Left,
    Failed,
}

/// How often each came about.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// 1 for a scheduled pass over everything, 0 for one task's end.
    passes: usize,
    deleted: usize,
    stopped: usize,
    busy: usize,
    stuck: usize,
    relaunched: usize,
    stolen: usize,
    found: usize,
    given_up: usize,
    redelivered: usize,
    versions_ending: usize,
    /// What is left to the next pass.
    pub(crate) left: usize,
    /// Steps that failed, and places that could not be looked at.
    pub(crate) failed: usize,
}

impl Tally {
    /// Of a scheduled pass, before it has done anything.
    pub(crate) fn of_pass() -> Self {
        Self { passes: 1, ..Self::default() }
    }

    pub(crate) fn add(&mut self, steps: impl IntoIterator<Item = Done>) {
        for step in steps {
            match step {
                Done::Nothing => {}
                Done::RegistrationDeleted => self.deleted += 1,
                Done::TaskStopped => self.stopped += 1,
                Done::LeftBusy => self.busy += 1,
                Done::LeftStuck => self.stuck += 1,
                Done::Relaunched => self.relaunched += 1,
                Done::Stolen => self.stolen += 1,
                Done::Found => self.found += 1,
                Done::GivenUp => self.given_up += 1,
                Done::Redelivered => self.redelivered += 1,
                Done::VersionEnds => self.versions_ending += 1,
                Done::Left => self.left += 1,
                Done::Failed => self.failed += 1,
            }
        }
    }

    pub(crate) fn measure(&self, metrics: &mut Metrics<'_>) {
        metrics.count("Passes", self.passes);
        metrics.count("RegistrationsDeleted", self.deleted);
        metrics.count("TasksStopped", self.stopped);
        metrics.count("RunnersLeftBusy", self.busy);
        metrics.count("JobsStuck", self.stuck);
        metrics.count("JobsRelaunched", self.relaunched);
        metrics.count("JobsStolen", self.stolen);
        metrics.count("JobsFound", self.found);
        metrics.count("JobsGivenUp", self.given_up);
        metrics.count("DeliveriesRepeated", self.redelivered);
        metrics.count("RunnerVersionsEnding", self.versions_ending);
        metrics.count("StepsLeft", self.left);
        metrics.count("StepsFailed", self.failed);
    }
}
