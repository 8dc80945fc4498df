//! Jobs that wait although something was started for them.
//!
//! A task can stop before its runner took a job, and a runner can take another job than its own: runners with the same
//! labels are interchangeable. Neither is told by anyone, so GitHub is asked, at a few moments after each stop or start
//! and not more often: a call costs a point, and a job whose message is on its way needs no second one. The moments
//! follow from times alone, so nothing has to be remembered between passes.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use jitgate::ecs::TaskView;
use jitgate::github::{JobState, Runner, RunnerStatus};
use jitgate::job::{Attempt, JobId, Message, Purpose, RunnerId};
use jitgate::names::{LaunchToken, RunnerOrigin};
use time::{Duration, OffsetDateTime};

use super::{Places, Seen, Settings, Waiting};

/// How far apart passes are, with something to spare, so that each moment falls into at least one. One that falls into
/// two sends a message twice, which is harmless.
const PASS: Duration = Duration::seconds(330);

/// After a stop that came before the job. The event comes at once; these are for when it was lost.
const AFTER_A_FAILED_START: [Duration; 4] =
    [Duration::minutes(2), Duration::minutes(12), Duration::minutes(30), Duration::minutes(50)];

/// Between these moments each pass asks, if the job's message is not on the queue: those who were to answer may have been
/// out of order at the moments, and ECS forgets the task after an hour.
const UNTIL_FORGOTTEN: Duration = Duration::minutes(55);

/// After any other stop: the runner has done a job, if perhaps not its own.
const AFTER_A_STOP: [Duration; 1] = [Duration::minutes(2)];

/// After a start, while the runner is busy, perhaps with another job, or its registration is gone.
const WHILE_BUSY: [Duration; 3] = [Duration::minutes(5), Duration::minutes(20), Duration::minutes(60)];

/// After a job's last task stopped, while GitHub lists it as queued. Its message may be waiting for capacity in our queue,
/// where nobody can look: each of these may put one more there.
const WHILE_WAITING: [Duration; 5] =
    [WORTH_LISTING, Duration::minutes(20), Duration::minutes(60), Duration::minutes(240), Duration::minutes(960)];

/// After a job was created, while GitHub lists it as queued and no task is known for it: each pass in these times asks, since
/// one may fail to reach its repository. Not in between: it may have been given up, of which no task tells, and each time
/// brings one more dead letter.
const WHILE_UNTOLD: [Range<Duration>; 3] = [
    WORTH_LISTING..Duration::minutes(90),
    Duration::minutes(240)..Duration::minutes(300),
    Duration::minutes(960)..Duration::minutes(1020),
];

/// A job that was queued more recently is not looked for: its delivery is on its way, or its task about to start.
pub const WORTH_LISTING: Duration = Duration::minutes(5);

/// Launches for one job, all together. After that something is wrong that launching does not mend.
pub const MOST_ATTEMPTS: u16 = 8;

/// A job about which GitHub is to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The message of its next launch, should it still wait.
    pub message: Message,
    /// What raised the question.
    pub cause: Cause,
    /// ECS's words about the task that raised it.
    pub stopped_reason: Option<String>,
    /// What took its runner, where that is known: a job, and its repository.
    pub thief: Option<(JobId, String)>,
}

/// What raises a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its task stopped before its runner took a job, as far as can be seen.
    FailedStart,
    /// Its task has stopped after a job, perhaps another.
    Stopped,
    /// Its runner has a job, perhaps another.
    Busy,
    /// Its task lives, but the registration is gone.
    Unregistered,
    /// GitHub lists it as queued, and its last task stopped a while ago.
    StillWaiting,
    /// GitHub lists it as queued, and nothing here knows of it.
    Untold,
}

impl Cause {
    /// Whether the job's message may be on the queue.
    pub fn may_be_queued(self) -> bool {
        matches!(self, Self::StillWaiting | Self::Untold)
    }

    /// In words, for the log.
    pub fn words(self) -> &'static str {
        match self {
            Self::FailedStart => "its task stopped before the job",
            Self::Stopped => "its task has stopped",
            Self::Busy => "its runner has another job",
            Self::Unregistered => "its registration is gone",
            Self::StillWaiting => "it still waits",
            Self::Untold => "nobody told of it",
        }
    }
}

/// What follows from GitHub's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// The job has its runner, had it, or waits for something else.
    None,
    /// It is queued, but its run has ended: GitHub's own inconsistency.
    LeaveStuck,
    /// It waits: send its message.
    Relaunch,
    /// It waits, and has been launched too often.
    GiveUp,
}

/// The jobs to be asked about in a pass.
pub fn questions(now: OffsetDateTime, settings: Settings<'_>, seen: Seen<'_>) -> Vec<Question> {
    let registrations = Registrations::of(settings, seen);
    let latest = latest_tasks(settings, seen);
    let raised = latest.values().filter_map(|task| {
        let cause = if task.is_over {
            after_stop(now, settings, task, &registrations)
        } else {
            while_busy(now, task, seen, &registrations)
        };
        let name = registrations.name_of(task).filter(|_| !task.is_over);
        let thief = name.and_then(|name| seen.working.get(name));
        let thief = thief.map(|working| (working.job, working.repository.clone()));
        Some(Question { thief, ..question_of(now, settings, task, cause?)? })
    });
    let mut questions: Vec<_> = raised.collect();
    let raised: HashSet<_> = questions.iter().map(|question| question.message.job.id).collect();
    let listed = seen.waiting.iter().filter(|waiting| !raised.contains(&waiting.message.job.id));
    questions.extend(
        listed
            .filter_map(|waiting| while_waiting(now, settings, &waiting.message, latest.get(&waiting.message.job.id))),
    );
    questions.sort_by_key(|question| question.message.job.id);
    questions.dedup_by_key(|question| question.message.job.id);
    questions
}

/// Without the questions that a message on the queue may already answer: in a burst, or while there is no capacity, those
/// are many, and each job would get a second message. If more jobs wait, as far as they were listed, than messages are on
/// the queue, some are lost, and nobody knows which.
pub fn without_queued(
    mut questions: Vec<Question>,
    settings: Settings<'_>,
    seen: Seen<'_>,
    on_queue: usize,
) -> Vec<Question> {
    let latest = latest_tasks(settings, seen);
    let waits_in_vain = |waiting: &&Waiting| latest.get(&waiting.message.job.id).is_none_or(|task| task.is_over);
    let waiting = seen.waiting.iter().filter(waits_in_vain).count();
    if on_queue > 0 && waiting <= on_queue {
        questions.retain(|question| !question.cause.may_be_queued());
    }
    questions
}

/// The task of each job's last launch.
fn latest_tasks<'a>(settings: Settings<'_>, seen: Seen<'a>) -> HashMap<JobId, &'a TaskView> {
    let mut latest: HashMap<JobId, (Attempt, &TaskView)> = HashMap::new();
    for task in seen.live.iter().chain(seen.stopped) {
        if let Some((job, attempt)) = LaunchToken::parse(settings.prefix, &task.started_by) {
            let entry = latest.entry(job).or_insert((attempt, task));
            if attempt > entry.0 {
                *entry = (attempt, task);
            }
        }
    }
    latest.into_iter().map(|(job, (_, task))| (job, task)).collect()
}

/// The question about the job of a task; `None` if the task does not carry its message.
pub fn question_of(now: OffsetDateTime, settings: Settings<'_>, task: &TaskView, cause: Cause) -> Option<Question> {
    let (job, attempt) = LaunchToken::parse(settings.prefix, &task.started_by)?;
    let is_of_job = |message: &Message| message.job.id == job && message.purpose == Purpose::Launch;
    let message = task.message.clone().filter(is_of_job)?;
    let message = message.for_launch(attempt.next(), now);
    Some(Question { message, cause, stopped_reason: task.stopped_reason.clone(), thief: None })
}

/// What follows for a job, given how far GitHub says it is. A job that GitHub does not show is left alone: nobody can
/// be waiting for it.
pub fn plan_repair(question: &Question, state: Option<JobState>, run_has_ended: bool) -> Repair {
    match state {
        Some(JobState::Queued) if run_has_ended => Repair::LeaveStuck,
        Some(JobState::Queued) if question.message.progress.attempt.0 > MOST_ATTEMPTS => Repair::GiveUp,
        Some(JobState::Queued) => Repair::Relaunch,
        Some(JobState::InProgress | JobState::Completed | JobState::Waiting) | None => Repair::None,
    }
}

/// How long a relaunch waits: what made one task fail may make the next one fail, too.
pub fn backoff(attempt: Attempt) -> Duration {
    let failed = u32::from(attempt.0.saturating_sub(2)).min(8);
    (Duration::seconds(10) * 2_i32.pow(failed)).min(Duration::minutes(15))
}

/// Heals: image pull failure, Spot reclaim, bad network; and a runner that did another job than its own.
fn after_stop(
    now: OffsetDateTime,
    settings: Settings<'_>,
    task: &TaskView,
    registrations: &Registrations<'_>,
) -> Option<Cause> {
    let since = now - task.stopped_at?;
    if !ended_by_itself(task) || registrations.has_unused(settings, task) {
        let (_, attempt) = LaunchToken::parse(settings.prefix, &task.started_by)?;
        // Given up once, not at each moment.
        let moments = if attempt.0 < MOST_ATTEMPTS { &AFTER_A_FAILED_START[..] } else { &AFTER_A_FAILED_START[..1] };
        let is_open = attempt.0 < MOST_ATTEMPTS && (moments[0]..UNTIL_FORGOTTEN).contains(&since);
        let later = is_open.then_some(Cause::StillWaiting);
        if falls_on(since, moments) { Some(Cause::FailedStart) } else { later }
    } else {
        falls_on(since, &AFTER_A_STOP).then_some(Cause::Stopped)
    }
}

/// Heals: the runner was taken by another job with the same labels (it was *stolen*); its registration vanished before
/// any job came.
fn while_busy(
    now: OffsetDateTime,
    task: &TaskView,
    seen: Seen<'_>,
    registrations: &Registrations<'_>,
) -> Option<Cause> {
    let id = task.runner_id?;
    let place = registrations.places.find(task)?;
    let working = registrations.name_of(task).and_then(|name| seen.working.get(name));
    let cause = match registrations.by_id.get(&(place, id)) {
        Some(runner) if runner.busy || working.is_some() => Cause::Busy,
        Some(_) => return None,
        None => Cause::Unregistered,
    };
    let own_job = task.message.as_ref().map(|message| message.job.id);
    let is_on_its_own = working.is_some_and(|working| Some(working.job) == own_job);
    (!is_on_its_own && falls_on(now - task.created_at?, &WHILE_BUSY)).then_some(cause)
}

/// Heals: a webhook that never came, not even in vain, and whatever the moments above have missed.
fn while_waiting(
    now: OffsetDateTime,
    settings: Settings<'_>,
    message: &Message,
    latest: Option<&&TaskView>,
) -> Option<Question> {
    match latest {
        None => WHILE_UNTOLD.iter().any(|time| time.contains(&(now - message.job.created_at))).then(|| Question {
            message: message.clone(),
            cause: Cause::Untold,
            stopped_reason: None,
            thief: None,
        }),
        Some(task) if task.is_over && falls_on(now - task.stopped_at?, &WHILE_WAITING) => {
            question_of(now, settings, task, Cause::StillWaiting)
                .filter(|question| question.message.progress.attempt.0 <= MOST_ATTEMPTS)
        }
        Some(_) => None,
    }
}

/// Whether the runner ended as it does after a job: an ordinary end, if perhaps after another job than its own.
pub(crate) fn ended_by_itself(task: &TaskView) -> bool {
    task.stop_code.as_deref() == Some("EssentialContainerExited") && matches!(task.exit_code, None | Some(0))
}

/// Finds registrations by what tasks say.
struct Registrations<'a> {
    places: Places,
    by_id: HashMap<(usize, RunnerId), &'a Runner>,
    /// Of runners that have not been there, or are not any more. A stopped task has no tags, but its launch is known.
    unused: HashSet<(JobId, Attempt)>,
}

impl<'a> Registrations<'a> {
    fn of(settings: Settings<'_>, seen: Seen<'a>) -> Self {
        let all =
            || seen.places.iter().enumerate().flat_map(|(at, place)| place.runners.iter().map(move |each| (at, each)));
        let unused = all().filter(|(_, runner)| runner.status == RunnerStatus::Offline && !runner.busy);
        Self {
            places: Places::of(seen.places),
            by_id: all().map(|(place, runner)| ((place, runner.id), runner)).collect(),
            unused: unused
                .filter_map(|(_, runner)| RunnerOrigin::parse(settings.prefix, &runner.name))
                .map(|origin| (origin.job_id, origin.attempt))
                .collect(),
        }
    }

    /// The name of a task's runner: by its registration, or where that is not listed, by its own tag.
    fn name_of<'b>(&'b self, task: &'b TaskView) -> Option<&'b str> {
        let registered = self.places.find(task).zip(task.runner_id).and_then(|key| self.by_id.get(&key));
        registered.map(|runner| runner.name.as_str()).or(task.runner_name.as_deref())
    }

    /// A registration that outlives its task has done no job: GitHub deletes it after one.
    fn has_unused(&self, settings: Settings<'_>, task: &TaskView) -> bool {
        LaunchToken::parse(settings.prefix, &task.started_by).is_some_and(|launch| self.unused.contains(&launch))
    }
}

/// Whether one of the moments lies in the time of this pass.
fn falls_on(since: Duration, moments: &[Duration]) -> bool {
    moments.iter().any(|moment| (*moment..*moment + PASS).contains(&since))
}
