//! Incidents after the launch.

use std::collections::BTreeMap;
use std::mem;

use jitgate::ecs::{VERSION_REFUSED, VERSION_VARIABLE};

use super::{CLEANER_MENDS, Driver};
use crate::aws::ecs::TaskDefinition;
use crate::chaos::incidents::{self, Outage, Planned};
use crate::world::START;

impl Driver {
    /// Plans the incidents of the run.
    pub(super) fn plan_incidents(&mut self) {
        let incidents = self.plan.incidents.clone();
        for outage in incidents.outages {
            self.at(START + outage.at, super::Event::Outage(outage));
        }
        if incidents.sidecar {
            let definition = TaskDefinition::new("runner").with_sidecar("agent", 137);
            self.world.aws.ecs.add_task_definition(definition);
        }
        self.world.github.behave(|behaviour| {
            behaviour.token_lag = incidents.token_lag;
            behaviour.lag_answers = vec![403, 200, 404, 200, 401];
        });
    }

    pub(super) fn begin(&mut self, outage: &Planned) {
        self.report.struck(outage.kind.name());
        self.diary.note(self.now(), [], format!("{:?} begins", outage.kind));
        self.set(outage.kind, Some(outage.reason));
        self.judge.excuse_until(self.now() + outage.lasts + CLEANER_MENDS);
        self.after(outage.lasts, super::Event::Recovery(outage.kind));
    }

    pub(super) fn recover(&mut self, kind: Outage) {
        self.diary.note(self.now(), [], format!("{kind:?} is over"));
        self.set(kind, None);
        for (task, environment) in mem::take(&mut self.cut_off) {
            self.start_runner(&task, environment);
        }
        self.offer();
    }

    fn set(&self, kind: Outage, reason: Option<&str>) {
        let is_on = reason.is_some();
        match kind {
            Outage::NoDispatch => self.world.github.behave(|behaviour| behaviour.dispatches = !is_on),
            Outage::TurnsAway => self.world.github.behave(|behaviour| behaviour.turns_runners_away = is_on),
            Outage::Unreachable => self.world.github.behave(|behaviour| behaviour.is_reachable = !is_on),
            Outage::StartsFail => self.world.aws.ecs.fail_starts(reason),
        }
    }

    /// A runner could not connect. `run.sh` says that GitHub turned it away only if it is asked to.
    pub(super) fn refuse_runner(&mut self, task: &str, environment: &BTreeMap<String, String>) {
        let says_so = environment.get(VERSION_VARIABLE).is_some_and(|value| value == "1");
        let code = match (self.world.github.turns_runners_away(), says_so) {
            (true, true) if self.chance.happens(0.5) => VERSION_REFUSED,
            (true, _) => 0,
            (false, _) => 1,
        };
        if self.world.github.turns_runners_away() {
            self.report.struck(incidents::TURNED_AWAY);
        }
        self.world.aws.ecs.exit(task, code);
    }

    /// Whether a runner that has just connected hangs: it loses its connection for good, and its container goes on.
    pub(super) fn hangs(&mut self, task: &str) -> bool {
        let hangs = self.knobs.incidents && !self.is_quiet && self.deaths.happens(incidents::HANGING);
        if hangs && let Some(at_work) = self.runners.remove(task) {
            at_work.runner.kill();
            self.report.struck(incidents::HUNG);
            let job = self.diary.job_of_task(task);
            self.diary.note(self.now(), job, "its runner hangs");
            self.judge.excuse_until(self.now() + CLEANER_MENDS);
        }
        hangs
    }

    /// Counts what an incident did to a task that has stopped.
    pub(super) fn count_stop(&mut self, task: &str) {
        let Some(stopped) = self.world.aws.ecs.task(task) else { return };
        let is_late = stopped.stopped_reason.as_deref().is_some_and(|reason| incidents::REASONS.contains(&reason));
        if is_late {
            self.report.struck(incidents::FAILED_LATE);
        }
        if !stopped.definition.sidecars.is_empty() && stopped.exit_code.is_some() {
            self.report.struck(incidents::BESIDE_SIDECAR);
        }
    }
}
