//! What a pass came to, for the log and as metrics.

use jitgate::metrics::Metrics;

/// What became of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// Nothing had to be done, or somebody else had done it.
    Nothing,
    RegistrationDeleted,
    TaskStopped,
    /// GitHub says that the runner is busy, so it was left alone.
    LeftBusy,
    /// The job is queued in a run that has ended.
    LeftStuck,
    Relaunched,
    GivenUp,
    Redelivered,
    Failed,
}

/// How often each came about.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    deleted: usize,
    stopped: usize,
    busy: usize,
    stuck: usize,
    relaunched: usize,
    given_up: usize,
    redelivered: usize,
    /// Steps that failed, and places that could not be looked at.
    pub(crate) failed: usize,
}

impl Tally {
    pub(crate) fn add(&mut self, steps: impl IntoIterator<Item = Done>) {
        for step in steps {
            match step {
                Done::Nothing => {}
                Done::RegistrationDeleted => self.deleted += 1,
                Done::TaskStopped => self.stopped += 1,
                Done::LeftBusy => self.busy += 1,
                Done::LeftStuck => self.stuck += 1,
                Done::Relaunched => self.relaunched += 1,
                Done::GivenUp => self.given_up += 1,
                Done::Redelivered => self.redelivered += 1,
                Done::Failed => self.failed += 1,
            }
        }
    }

    pub(crate) fn measure(&self, metrics: &mut Metrics) {
        metrics.count("RegistrationsDeleted", self.deleted);
        metrics.count("TasksStopped", self.stopped);
        metrics.count("RunnersLeftBusy", self.busy);
        metrics.count("JobsStuck", self.stuck);
        metrics.count("JobsRelaunched", self.relaunched);
        metrics.count("JobsGivenUp", self.given_up);
        metrics.count("DeliveriesRepeated", self.redelivered);
        metrics.count("StepsFailed", self.failed);
    }
}
