//! What a storm does now and then, and what would lose jobs if it lasted.

use std::collections::BTreeSet;

use super::Knobs;

/// Something that storms do for a while. If it lasts, jobs are lost, and an alarm has to tell of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// Calls to GitHub fail.
    GitHub,
    /// ECS starts no task.
    RunTask,
    /// ECS does not say what runs, and stops nothing.
    Tasks,
    /// The queue takes no message.
    Queue,
    /// The secret cannot be read.
    Secret,
    /// Fargate has no capacity.
    Capacity,
    /// Tasks stop before their runners take a job.
    EarlyEnds,
    /// GitHub assigns no jobs to runners.
    Dispatch,
    /// The webhook's process dies.
    WebhookDies,
    /// The worker's process dies.
    WorkerDies,
    /// The cleaner's process dies.
    CleanerDies,
    /// Nothing calls the cleaner.
    NoCleaner,
}

impl Loss {
    /// What is lost if calls of this operation fail.
    pub fn of_call(operation: &str) -> Self {
        match operation {
            "RunTask" => Self::RunTask,
            "DescribeTasks" | "ListTasks" | "StopTask" => Self::Tasks,
            "SendMessage" => Self::Queue,
            "GetSecretValue" => Self::Secret,
            _ => Self::GitHub,
        }
    }
}

impl Knobs {
    /// The losses that a run with these knobs knows. Each knob stands here, so that a new one is thought about.
    pub fn losses(&self) -> BTreeSet<Loss> {
        let Self {
            jobs: _,
            workers: _,
            within: _,
            arrivals: _,
            warm: _,
            vcpus,
            work: _,
            elsewhere: _,
            alike: _,
            // Two runners for a job, or one too many, lose no job.
            told_twice: _,
            repeats: _,
            cancelled: _,
            crashes,
            faults,
            deaths,
            incidents,
            cleaner,
            weather,
            // GitHub's limits delay jobs and lose none.
            counting: _,
            elsewhere_writes: _,
            as_benchmarked: _,
            four_faults: _,
        } = self;
        let calls = ["RunTask", "ListTasks", "SendMessage", "GetSecretValue", "generate-jitconfig"].map(Loss::of_call);
        let deaths_of_processes = [Loss::WebhookDies, Loss::WorkerDies, Loss::CleanerDies];
        let mut losses = BTreeSet::new();
        losses.extend(calls.into_iter().filter(|_| *faults > 0.0));
        losses.extend(deaths_of_processes.into_iter().filter(|_| *crashes > 0.0));
        losses.extend([Loss::EarlyEnds].into_iter().filter(|_| *deaths > 0.0));
        losses.extend([Loss::EarlyEnds, Loss::Dispatch].into_iter().filter(|_| *incidents));
        losses.extend([Loss::Capacity].into_iter().filter(|_| *weather || vcpus.is_some()));
        losses.extend([Loss::NoCleaner].into_iter().filter(|_| *cleaner));
        losses
    }
}
