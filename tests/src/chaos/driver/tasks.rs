//! Tasks and runners.

use std::collections::BTreeMap;
use std::time::Duration;

use cleaner::Event as CleanerEvent;
use serde_json::json;

use super::parts::{AtWork, Event};
use super::{CLEANER_MENDS, Driver};
use crate::aws::ecs::{Pace, StopCode, TaskChange};
use crate::chaos::incidents::CUT_OFF;
use crate::runner::{JIT_CONFIG_VARIABLE, Runner, Step};

impl Driver {
    pub(super) fn prepare_task(&mut self) -> Duration {
        let start = self.chance.seconds(5, 70);
        let stop = self.chance.seconds(0, 30);
        let appear = if self.plan.appear.is_zero() {
            Duration::ZERO
        } else {
            Duration::from_millis(self.chance.below(u64::try_from(self.plan.appear.as_millis()).expect("short") + 1))
        };
        self.world.aws.ecs.set_pace(Pace { start: Some(start), stop, appear });
        start
    }

    /// Decides whether a new task dies before it takes a job.
    pub(super) fn curse(&mut self, task: &str, start: Duration) {
        if self.is_quiet || !self.deaths.happens(self.knobs.deaths) {
            return;
        }
        self.report.deaths += 1;
        let most = u64::try_from(start.as_millis()).expect("short") + 2_000;
        let delay = Duration::from_millis(self.deaths.below(most));
        self.after(delay, Event::Reclaim(task.to_owned()));
    }

    /// Reacts to changes of tasks and to new deliveries.
    pub(super) fn pump(&mut self) {
        self.world.aws.ecs.settle();
        while let Ok(change) = self.changes.try_recv() {
            match change {
                TaskChange::Running(started) => self.start_runner(&started.task, started.environment),
                TaskChange::Stopping { task, .. } => self.end_runner(&task, false),
                TaskChange::Stopped { task } => {
                    self.count_stop(&task);
                    self.end_runner(&task, true);
                    // EventBridge loses some events.
                    if self.knobs.cleaner && !self.mishaps.happens(self.knobs.faults / 10.0) {
                        let delay = self.chance.seconds(1, 5);
                        let event = self.stop_event(&task);
                        self.after(delay, Event::Clean(Some(event)));
                    }
                }
            }
        }
        self.collect_deliveries();
    }

    /// The part of EventBridge's event that the cleaner reads.
    fn stop_event(&self, task: &str) -> CleanerEvent {
        let stopped = self.world.aws.ecs.task(task).expect("a task that has just stopped");
        CleanerEvent::from(json!({
            "detail-type": "ECS Task State Change",
            "detail": {
                "taskArn": task,
                "lastStatus": "STOPPED",
                "stopCode": stopped.stop_code.map(StopCode::as_str),
                "containers": [{ "name": stopped.definition.container, "exitCode": stopped.exit_code }],
                "overrides": *stopped.overrides,
            },
        }))
    }

    pub(super) fn start_runner(&mut self, task: &str, environment: BTreeMap<String, String>) {
        if !self.world.github.is_reachable() {
            self.report.struck(CUT_OFF);
            self.diary.note(self.now(), self.diary.job_of_task(task), "its runner cannot reach GitHub");
            self.cut_off.insert(task.to_owned(), environment);
            return;
        }
        let config = environment.get(JIT_CONFIG_VARIABLE).map(String::as_str).unwrap_or_default();
        let work = self.chance.seconds(*self.knobs.work.start(), *self.knobs.work.end());
        let job = self.diary.job_of_task(task);
        if let Ok(runner) = Runner::start(&self.world.github, config, work) {
            self.diary.note(self.now(), job, "its runner is online");
            self.runners.insert(task.to_owned(), AtWork { runner, work });
            if !self.hangs(task) {
                self.step(task);
            }
        } else {
            self.diary.note(self.now(), job, "its runner is refused");
            self.refuse_runner(task, &environment);
        }
    }

    fn end_runner(&mut self, task: &str, killed: bool) {
        self.idle.remove(task);
        self.cut_off.remove(task);
        let job = self.diary.job_of_task(task);
        if let Some(working) = self.working.remove(task) {
            self.judge.complain(Some(working), "its runner was stopped while it worked");
        }
        if let Some(job) = job {
            // Its job may still wait.
            self.promise(job, CLEANER_MENDS);
        }
        self.diary.note(self.now(), job, if killed { "its task is over" } else { "its task is told to stop" });
        if let Some(AtWork { runner, .. }) = self.runners.remove(task) {
            if killed {
                runner.kill();
            } else {
                runner.terminate();
            }
        }
    }

    pub(super) fn step(&mut self, task: &str) {
        let Some(AtWork { runner, work }) = self.runners.get_mut(task) else { return };
        let (step, work) = (runner.step(), *work);
        let own = self.diary.job_of_task(task);
        match step {
            Step::Idle => {
                self.idle.insert(task.to_owned());
                self.report.most_idle = self.report.most_idle.max(self.idle.len());
            }
            Step::Working(job) => {
                self.idle.remove(task);
                if self.working.insert(task.to_owned(), job).is_none() {
                    let text = if own == Some(job) { "runs on its own runner" } else { "runs on another's runner" };
                    self.diary.note(self.world.clock.now(), own.into_iter().chain([job]), format!("{job} {text}"));
                    self.after(work, Event::Step(task.to_owned()));
                    self.judge.taken(job, self.now());
                    self.judge.worked(task);
                    if let Some(waiting) = own.filter(|own| *own != job) {
                        // The other job's runner comes, or the launch that finds the other job running launches this
                        // one again.
                        self.promise(waiting, CLEANER_MENDS);
                    }
                    self.progress = self.now();
                }
            }
            Step::Finished(_) | Step::Gone => {
                self.working.remove(task);
                self.idle.remove(task);
                self.runners.remove(task);
                self.world.aws.ecs.exit(task, 0);
            }
        }
    }

    /// Idle runners ask for a job, in random order.
    pub(super) fn offer(&mut self) {
        let mut idle: Vec<_> = self.idle.iter().cloned().collect();
        self.chance.shuffle(&mut idle);
        for task in idle {
            self.step(&task);
        }
    }
}
