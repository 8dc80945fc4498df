//! The stand-in's data, and how a task moves from one status to the next.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use super::events::{Started, StateChange, TaskChange};
use super::idempotency::Tokens;
use super::limits::{Limit, PerProvider, Rates, Shortage, Used};
use super::task::{Status, StopCode, Task, TaskDefinition, id_of};
use super::{Pace, STOPPED_VISIBLE, in_millis};

/// The exit code of a container killed by SIGKILL.
const KILLED: i32 = 137;

/// What happens to a task later.
#[derive(Clone, Copy, Debug)]
enum Due {
    Start(usize),
    FinishStop(usize),
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) now: i64,
    pub(super) pace: Pace,
    pub(super) clusters: HashSet<String>,
    pub(super) lost_subnets: HashSet<String>,
    pub(super) has_instances: bool,
    pub(super) allowed_roles: HashSet<String>,
    pub(super) limits: PerProvider<Limit>,
    pub(super) used: PerProvider<Used>,
    pub(super) shortages: PerProvider<Option<Shortage>>,
    pub(super) rates: Rates,
    pub(super) refusals: VecDeque<String>,
    pub(super) bad_starts: VecDeque<String>,
    pub(super) outage: Option<String>,
    /// Why all tasks of these families fail.
    pub(super) outages_of: BTreeMap<String, String>,
    pub(super) tokens: Tokens,
    pub(super) tasks: Vec<Task>,
    /// Tasks that run or are about to.
    pub(super) wanted: BTreeSet<usize>,
    /// Tasks that are stopping or stopped, as long as they are visible.
    pub(super) ended: BTreeSet<usize>,
    pub(super) listeners: Vec<UnboundedSender<TaskChange>>,
    pub(super) history: Vec<StateChange>,
    definitions: HashMap<String, Vec<Arc<TaskDefinition>>>,
    by_id: HashMap<String, usize>,
    by_starter: HashMap<String, Vec<usize>>,
    /// By moment, then in the order of insertion.
    due: BTreeMap<(i64, u64), Due>,
    /// Stopped tasks, and from when on they are no longer visible.
    to_forget: VecDeque<(i64, usize)>,
    dues_set: u64,
}

impl State {
    pub(super) fn add_definition(&mut self, mut definition: TaskDefinition) -> String {
        let revisions = self.definitions.entry(definition.family.clone()).or_default();
        definition.revision = u32::try_from(revisions.len() + 1).expect("few revisions");
        let arn = definition.arn();
        revisions.push(Arc::new(definition));
        arn
    }

    /// Finds `family`, `family:revision` or an ARN.
    pub(super) fn definition(&self, name: &str) -> Option<Arc<TaskDefinition>> {
        let name = id_of(name);
        let (family, revision) = name.split_once(':').map_or((name, None), |(family, number)| (family, Some(number)));
        let revisions = self.definitions.get(family)?;
        match revision {
            None => revisions.last().cloned(),
            Some(number) => revisions.get(number.parse::<usize>().ok()?.checked_sub(1)?).cloned(),
        }
    }

    /// Finds a task by its ARN or id.
    pub(super) fn find(&self, task: &str) -> Option<usize> {
        self.by_id.get(id_of(task)).copied()
    }

    pub(super) fn started_by(&self, started_by: &str) -> impl Iterator<Item = usize> {
        self.by_starter.get(started_by).into_iter().flatten().copied()
    }

    pub(super) fn add_task(&mut self, task: Task) -> usize {
        let index = self.tasks.len();
        self.by_id.insert(task.id().to_owned(), index);
        if let Some(started_by) = &task.started_by {
            self.by_starter.entry(started_by.clone()).or_default().push(index);
        }
        let used = &mut self.used[task.provider.index()];
        used.tasks += 1;
        used.cpu_units += task.resources.cpu_units;
        self.wanted.insert(index);
        self.tasks.push(task);
        self.record(index);
        if let Some(delay) = self.pace.start {
            self.set_due(in_millis(delay), Due::Start(index));
        }
        index
    }

    /// Does everything that is due, each thing at its own moment.
    pub(super) fn settle(&mut self, now: i64) {
        while let Some(entry) = self.due.first_entry() {
            let (at, _) = *entry.key();
            if at > now {
                break;
            }
            let due = entry.remove();
            self.now = at;
            match due {
                Due::Start(index) => self.start_at(index),
                Due::FinishStop(index) => self.finish(index),
            }
        }
        self.now = now;
        while let Some((at, index)) = self.to_forget.front().copied()
            && at <= now
        {
            self.to_forget.pop_front();
            self.ended.remove(&index);
        }
    }

    pub(super) fn next_due_at(&self) -> Option<i64> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn start(&mut self, task: &str) {
        if let Some(index) = self.find(task) {
            self.start_at(index);
        }
    }

    fn start_at(&mut self, index: usize) {
        let task = &mut self.tasks[index];
        if task.status != Status::Provisioning || !task.is_wanted() {
            return;
        }
        if let Some(reason) = task.bad_start.take() {
            self.mark_stopping(index, StopCode::TaskFailedToStart, &reason);
            self.finish(index);
            return;
        }
        task.status = Status::Running;
        // The image is about half of a start.
        let start = self.now - task.created_at;
        task.pull_started_at = Some(task.created_at + start * 2 / 5);
        task.pull_stopped_at = Some(task.created_at + start * 9 / 10);
        task.started_at = Some(self.now);
        let started = Started {
            task: task.arn.clone(),
            started_by: task.started_by.clone(),
            environment: if self.listeners.is_empty() { BTreeMap::new() } else { task.environment() },
        };
        self.record(index);
        self.tell(&TaskChange::Running(started));
    }

    pub(super) fn exit(&mut self, task: &str, exit_code: i32) {
        let Some(index) = self.find(task) else { return };
        let task = &mut self.tasks[index];
        if task.status == Status::Stopped || task.started_at.is_none() {
            return;
        }
        task.exit_code = Some(exit_code);
        self.mark_stopping(index, StopCode::EssentialContainerExited, "Essential container in task exited");
        self.finish(index);
    }

    pub(super) fn stop_at_once(&mut self, task: &str, code: StopCode, reason: &str) {
        if let Some(index) = self.find(task) {
            self.mark_stopping(index, code, reason);
            self.finish(index);
        }
    }

    /// Tells a task to stop; a repeat changes nothing, and keeps the reason.
    pub(super) fn begin_stop(&mut self, task: &str, code: StopCode, reason: &str) {
        let Some(index) = self.find(task) else { return };
        if !self.tasks[index].is_wanted() {
            return;
        }
        let ran = self.tasks[index].status == Status::Running;
        self.mark_stopping(index, code, reason);
        self.tasks[index].status = Status::Stopping;
        self.record(index);
        if ran {
            let task = self.tasks[index].arn.clone();
            self.tell(&TaskChange::Stopping { task, code });
        }
        self.set_due(in_millis(self.pace.stop), Due::FinishStop(index));
    }

    /// The first cause stays: a runner that exits because it was told to was still stopped by a user.
    fn mark_stopping(&mut self, index: usize, code: StopCode, reason: &str) {
        let task = &mut self.tasks[index];
        if !task.is_wanted() {
            return;
        }
        task.stop_code = Some(code);
        task.stopped_reason = Some(reason.to_owned());
        task.stopping_at = Some(self.now);
        // Documented for `StopTask`. Whether other stops keep the tags is not, so no test may rely on it.
        task.tags.clear();
        self.wanted.remove(&index);
        self.ended.insert(index);
    }

    fn finish(&mut self, index: usize) {
        let task = &mut self.tasks[index];
        if task.status == Status::Stopped {
            return;
        }
        task.status = Status::Stopped;
        task.stopped_at = Some(self.now);
        if task.started_at.is_some() && task.exit_code.is_none() {
            task.exit_code = Some(KILLED);
        }
        let used = &mut self.used[task.provider.index()];
        used.tasks -= 1;
        used.cpu_units -= task.resources.cpu_units;
        let arn = task.arn.clone();
        self.record(index);
        self.tell(&TaskChange::Stopped { task: arn });
        self.to_forget.push_back((self.now.saturating_add(in_millis(STOPPED_VISIBLE)), index));
    }

    fn set_due(&mut self, delay: i64, due: Due) {
        self.dues_set += 1;
        self.due.insert((self.now.saturating_add(delay), self.dues_set), due);
    }

    /// Records the task as it is now.
    pub(super) fn record(&mut self, index: usize) {
        self.tasks[index].version += 1;
        self.history.push(StateChange { at: self.now, task: self.tasks[index].clone() });
    }

    pub(super) fn tell(&mut self, change: &TaskChange) {
        self.listeners.retain(|listener| listener.send(change.clone()).is_ok());
    }

    pub(super) fn take_events(&mut self) -> Vec<Value> {
        let changes = std::mem::take(&mut self.history);
        changes.iter().map(StateChange::to_event).collect()
    }
}
