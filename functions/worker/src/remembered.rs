//! What this process remembers of launches: those that it has started, and those that a limit turned away.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jitgate::ecs::{TaskArn, TaskView};
use jitgate::job::Job;
use jitgate::names::LaunchToken;
use time::{Duration, OffsetDateTime};

use crate::limits::{Holder, Reached, Running, Wanted};

/// How long ECS may fail to list a started task. Its lists lag by seconds.
const LISTED_AFTER: Duration = Duration::seconds(60);

/// How long a job that was turned away is remembered. One whose turn is near comes back every 15 s, to any process: in
/// this time each of three has seen it in all but one of a hundred cases, and each of five in all but seven. A job that
/// was cancelled keeps a place free for as long.
pub(crate) const REMEMBERED_FOR: Duration = Duration::minutes(3);

/// How long it is remembered which delivery announced a job. A message that waits comes by every five minutes, to any process,
/// and has all day to meet the other one.
const ANNOUNCED_FOR: Duration = Duration::minutes(15);

/// The jobs whose first launch came by, with the delivery that announced each and when it came in. A delivery may come in twice.
#[derive(Debug, Default)]
pub(crate) struct Announcements(Mutex<HashMap<LaunchToken, Announced>>);

#[derive(Debug)]
struct Announced {
    by: (String, OffsetDateTime),
    seen_at: OffsetDateTime,
}

impl Announcements {
    /// Whether the job was announced before, too. Of two messages of one launch, that of the lesser delivery becomes the dead
    /// letter should both wait to the end. All processes agree on which it is.
    pub(crate) fn is_second(&self, token: LaunchToken, job: &Job, now: OffsetDateTime) -> bool {
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.retain(|_, announced| now - announced.seen_at < ANNOUNCED_FOR);
        let by = (job.delivery_id.clone(), job.queued_at);
        let is_second = jobs.get(&token).is_some_and(|announced| announced.by < by);
        if !is_second {
            jobs.insert(token, Announced { by, seen_at: now });
        }
        is_second
    }
}

/// The jobs that this process has turned away.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<HashMap<LaunchToken, (Wanted, OffsetDateTime)>>);

impl Waiting {
    /// Those that may still wait.
    pub(crate) fn all(&self, now: OffsetDateTime) -> Vec<Wanted> {
        let mut waiting = self.lock();
        waiting.retain(|_, (_, at)| now - *at < REMEMBERED_FOR);
        waiting.values().map(|(wanted, _)| wanted.clone()).collect()
    }

    /// Remembers the jobs of a batch that were turned away, and forgets the others.
    pub(crate) fn note(&self, wanted: &[Wanted], answers: &[Option<Reached>], now: OffsetDateTime) {
        let mut waiting = self.lock();
        for (job, answer) in wanted.iter().zip(answers) {
            if answer.is_some() && job.comes_back {
                waiting.insert(job.token.clone(), (job.clone(), now));
            } else {
                waiting.remove(&job.token);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LaunchToken, (Wanted, OffsetDateTime)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tasks that this process has started within a minute.
#[derive(Debug, Default)]
pub(crate) struct Started(Mutex<Vec<StartedTask>>);

#[derive(Clone, Debug)]
pub(crate) struct StartedTask {
    arn: TaskArn,
    token: String,
    class: String,
    holder: Holder,
    at: OffsetDateTime,
}

impl Started {
    /// Notes a started task. Old ones are forgotten here too, because without limits nothing else looks at them.
    pub(crate) fn note(&self, arn: &TaskArn, token: &LaunchToken, class: &str, job: &Job, now: OffsetDateTime) {
        let (token, class, holder) = (token.as_str().to_owned(), class.to_owned(), Holder::of(&job.full_name()));
        let mut started = self.lock();
        started.retain(|task| now - task.at < LISTED_AFTER);
        started.push(StartedTask { arn: arn.clone(), token, class, holder, at: now });
    }

    /// All tasks that live: those that ECS lists, and those that it may not list yet.
    pub(crate) fn running(&self, listed: &[TaskView], now: OffsetDateTime) -> Running {
        let mut started = self.lock();
        started.retain(|task| now - task.at < LISTED_AFTER && !listed.iter().any(|seen| seen.arn == task.arn));
        let launch = |task: &TaskView| {
            let job = task.message.as_ref().map(|message| &message.job);
            let class = job.map(|job| job.class.clone()).or_else(|| task.class.clone()).unwrap_or_default();
            let repository = job.map(Job::full_name).or_else(|| task.repository.clone()).unwrap_or_default();
            (task.started_by.clone(), class, Holder::of(&repository))
        };
        let live = listed.iter().filter(|task| !task.is_over).map(launch);
        let unlisted = started.iter().map(|task| (task.token.clone(), task.class.clone(), task.holder.clone()));
        let all: Vec<_> = live.chain(unlisted).collect();
        Running::count(all.iter().map(|(token, class, holder)| (token.as_str(), class.as_str(), holder)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Vec<StartedTask>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
