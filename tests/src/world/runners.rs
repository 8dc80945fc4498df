//! Time passes, and runners work.

use std::mem;
use std::time::Duration;

use jitgate::ecs::{VERSION_REFUSED, VERSION_VARIABLE};

use super::World;
use crate::aws::ecs::{Pace, Started, TaskChange};
use crate::runner::{JIT_CONFIG_VARIABLE, Runner, Step};

/// How long a job takes.
const WORK: Duration = Duration::from_mins(2);

impl World {
    /// From now on, tasks take this long to start.
    pub fn start_tasks_after(&self, delay: Duration) {
        self.aws.ecs.set_pace(Pace { start: Some(delay), ..Pace::default() });
    }

    /// Time passes: tasks start, runners take jobs and finish them.
    pub fn pass(&mut self, time: Duration) {
        let until = self.clock.now() + time;
        let step = Duration::from_secs(5).min(time);
        loop {
            self.run_runners();
            if self.clock.now() >= until {
                break;
            }
            self.clock.advance(step);
        }
    }

    /// Runners do what is due now.
    pub fn run_runners(&mut self) {
        self.aws.ecs.settle();
        while let Ok(change) = self.changes.try_recv() {
            match change {
                TaskChange::Running(started) => self.starting.push(started),
                TaskChange::Stopping { task, .. } => {
                    self.starting.retain(|started| started.task != task);
                    if let Some(runner) = self.runners.remove(&task) {
                        runner.terminate();
                    }
                }
                TaskChange::Stopped { task } => {
                    self.starting.retain(|started| started.task != task);
                    if let Some(runner) = self.runners.remove(&task) {
                        runner.kill();
                    }
                }
            }
        }
        if self.github.is_reachable() {
            for started in mem::take(&mut self.starting) {
                self.connect(started);
            }
        }
        let ended: Vec<_> = self
            .runners
            .iter_mut()
            .filter_map(|(task, runner)| matches!(runner.step(), Step::Finished(_) | Step::Gone).then(|| task.clone()))
            .collect();
        for task in ended {
            self.runners.remove(&task);
            self.aws.ecs.exit(&task, 0);
        }
    }

    fn connect(&mut self, started: Started) {
        let config = started.environment.get(JIT_CONFIG_VARIABLE).cloned().unwrap_or_default();
        if let Ok(runner) = Runner::start(&self.github, &config, WORK) {
            self.runners.insert(started.task, runner.gated(started.environment));
            return;
        }
        // `run.sh` says that GitHub turned it away only if it can and is asked to.
        let is_asked = started.environment.get(VERSION_VARIABLE).is_some_and(|value| value == "1");
        let says_so = is_asked && self.github.runners_say_why();
        let code = match (self.github.turns_runners_away(), says_so) {
            (true, true) => VERSION_REFUSED,
            (true, false) => 0,
            (false, _) => 1,
        };
        self.aws.ecs.exit(&started.task, code);
    }

    /// The runners that are online lose their connections for good, and their containers go on.
    pub fn hang_runners(&mut self) {
        for (_, runner) in self.runners.drain() {
            runner.kill();
        }
    }

    /// Time passes in which no runner does anything: a running job keeps running.
    pub fn stand_still(&self, time: Duration) {
        self.clock.advance(time);
        self.aws.ecs.settle();
    }

    /// The worker works and time passes until the queue is empty, and then until all runners are done.
    pub async fn work_until_quiet(&mut self) {
        for _ in 0..50 {
            self.work().await;
            if self.waiting() == 0 {
                break;
            }
            self.pass(Duration::from_secs(30));
        }
        self.pass(Duration::from_mins(5));
    }
}
