//! The counts of a run.

use std::collections::BTreeMap;
use std::fmt;

/// Counts of one run, or of many.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Seeds run.
    pub seeds: u64,
    /// Jobs that came.
    pub jobs: u64,
    /// Jobs cancelled before they had a runner.
    pub cancelled: u64,
    /// Jobs that neither ran nor were cancelled.
    pub lost: u64,
    /// Jobs that ran more than once.
    pub ran_twice: u64,
    /// Second deliveries of one job.
    pub told_twice: u64,
    /// Deliveries that failed and were sent again.
    pub redelivered: u64,
    /// Messages that SQS delivered twice.
    pub repeats: u64,
    /// Invocations of the worker and of the webhook.
    pub invocations: u64,
    /// How many invocations died.
    pub crashes: u64,
    /// Faults of calls, by name.
    pub faults: BTreeMap<&'static str, u64>,
    /// How often each kind of incident struck, by name.
    pub incidents: BTreeMap<&'static str, u64>,
    /// The most tasks of one job.
    pub most_tasks: usize,
    /// The most minutes of one job's tasks whose runners got no job.
    pub most_minutes_in_vain: i64,
    /// Calls by operation.
    pub calls: BTreeMap<String, u64>,
    /// Tasks started.
    pub tasks: u64,
    /// How many of them for a job's second or later launch.
    pub relaunches: u64,
    /// Launches that ECS refused, other than conflicts with an existing task.
    pub turned_away: u64,
    /// Tasks that were chosen to die before they took a job.
    pub deaths: u64,
    /// Messages that were deferred.
    pub deferrals: u64,
    /// Messages that returned because an invocation failed or died.
    pub returns: u64,
    /// Registrations that the cleaner removed, by why they were left.
    pub cleaned: BTreeMap<&'static str, u64>,
    /// The most runners that were online without a job at the same time.
    pub most_idle: usize,
    /// The longest that a job waited for its runner, in seconds.
    pub longest_wait: i64,
    /// The sum of all waits, in seconds.
    pub waited: i64,
}

impl Report {
    /// Counts a fault.
    pub(super) fn fault(&mut self, name: &'static str) {
        *self.faults.entry(name).or_default() += 1;
    }

    /// Counts what an incident struck.
    pub(super) fn struck(&mut self, name: &'static str) {
        *self.incidents.entry(name).or_default() += 1;
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.jobs += other.jobs;
        self.cancelled += other.cancelled;
        self.lost += other.lost;
        self.ran_twice += other.ran_twice;
        self.told_twice += other.told_twice;
        self.redelivered += other.redelivered;
        self.repeats += other.repeats;
        self.invocations += other.invocations;
        self.crashes += other.crashes;
        self.tasks += other.tasks;
        self.relaunches += other.relaunches;
        self.turned_away += other.turned_away;
        self.deaths += other.deaths;
        self.deferrals += other.deferrals;
        self.returns += other.returns;
        self.most_idle = self.most_idle.max(other.most_idle);
        self.longest_wait = self.longest_wait.max(other.longest_wait);
        self.waited += other.waited;
        for (name, count) in &other.faults {
            *self.faults.entry(name).or_default() += count;
        }
        self.most_tasks = self.most_tasks.max(other.most_tasks);
        self.most_minutes_in_vain = self.most_minutes_in_vain.max(other.most_minutes_in_vain);
        for (name, count) in &other.incidents {
            *self.incidents.entry(name).or_default() += count;
        }
        for (name, count) in &other.calls {
            *self.calls.entry(name.clone()).or_default() += count;
        }
        for (name, count) in &other.cleaned {
            *self.cleaned.entry(name).or_default() += count;
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[expect(clippy::cast_precision_loss, reason = "counts of one evening")]
        let per_job = |count: u64| count as f64 / self.jobs.max(1) as f64;
        writeln!(
            formatter,
            "{} seeds, {} jobs: {} lost, {} ran twice, {} cancelled while they waited",
            self.seeds, self.jobs, self.lost, self.ran_twice, self.cancelled
        )?;
        writeln!(
            formatter,
            "{} told twice, {} redelivered, {} messages repeated, {} returned, {} deferred",
            self.told_twice, self.redelivered, self.repeats, self.returns, self.deferrals
        )?;
        writeln!(
            formatter,
            "{} invocations, {} died; {} tasks, {} of them relaunches; {} tasks to die at once",
            self.invocations, self.crashes, self.tasks, self.relaunches, self.deaths
        )?;
        writeln!(
            formatter,
            "waits: {} s at most, {} s on average; {} idle runners at most; registrations that the cleaner removed: {:?}",
            self.longest_wait,
            self.waited / i64::try_from(self.jobs.max(1)).unwrap_or(i64::MAX),
            self.most_idle,
            self.cleaned
        )?;
        writeln!(
            formatter,
            "incidents; {} tasks for one job at most, and {} task-minutes without a job:",
            self.most_tasks, self.most_minutes_in_vain
        )?;
        for (name, count) in &self.incidents {
            writeln!(formatter, "  {count:>7}  {name}")?;
        }
        let total: u64 = self.faults.values().sum();
        writeln!(formatter, "{total} faults:")?;
        for (name, count) in &self.faults {
            writeln!(formatter, "  {count:>7}  {name}")?;
        }
        writeln!(formatter, "calls for a job:")?;
        for (name, count) in &self.calls {
            writeln!(formatter, "  {:>7.3}  {name}", per_job(*count))?;
        }
        Ok(())
    }
}
