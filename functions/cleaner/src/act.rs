//! Doing what was planned about registrations and tasks. What was seen is seconds old, so a step looks once more at what it
//! is about to end.

use jitgate::ecs::{TaskArn, tag};
use jitgate::github::{Account, Deletion, GitHubError, JobLook, JobState, Place};
use jitgate::job::{Job, Message, Purpose, RunnerId};
use time::OffsetDateTime;
use tracing::{Instrument, error_span};

use crate::context::{Pass, all};
use crate::plan::{Action, Seen, Useless, World, plan_cleanup};
use crate::tally::Done;

pub(crate) async fn act_all(pass: Pass<'_>, seen: &Seen, world: &World<'_>) -> Vec<Done> {
    all(plan_cleanup(world).into_iter().map(|action| act(pass, seen, action))).await
}

async fn act(pass: Pass<'_>, seen: &Seen, action: Action) -> Done {
    if pass.config.dry_run {
        tracing::info!(action = ?action, "would be done");
        return Done::Nothing;
    }
    if pass.is_over() {
        return Done::Left;
    }
    let place = |at: usize| &seen.places[at].place;
    match action {
        Action::DeleteRegistration { place: at, id, name } => {
            let span = error_span!("deletion", runner.id = id.0, runner.name = name, scope = %place(at).scope);
            async { of_orphan(delete_in_turn(pass, place(at), id).await) }.instrument(span).await
        }
        Action::Note { task, key, moment } => note(pass, &task, key, moment).await,
        Action::Retire { place: at, id, task, because } => {
            let span = error_span!("retirement", runner.id = id.0, scope = %place(at).scope, task.arn = %task);
            retire(pass, seen, place(at), id, &task, because).instrument(span).await
        }
        Action::Probe { place: at, id, task } => {
            let span = error_span!("probe", runner.id = id.0, scope = %place(at).scope, task.arn = %task);
            probe(pass, seen, place(at), id, &task).instrument(span).await
        }
        Action::StopUnregistered { place: at, id, task } => {
            let span = error_span!("stop", runner.id = id.0, scope = %place(at).scope, task.arn = %task);
            stop_unregistered(pass, seen, place(at), id, &task).instrument(span).await
        }
        Action::Stop { task, reason } => {
            stop(pass, &task, reason).instrument(error_span!("stop", task.arn = %task)).await
        }
    }
}

async fn note(pass: Pass<'_>, task: &TaskArn, key: &str, moment: Option<OffsetDateTime>) -> Done {
    match pass.tasks.note(task, key, moment).await {
        Ok(()) => {
            tracing::debug!(task.arn = %task, key, moment = ?moment, "noted");
            Done::Nothing
        }
        Err(error) => {
            tracing::error!(task.arn = %task, key, error = %error, "not noted");
            Done::Failed
        }
    }
}

/// What came of deleting an orphan.
pub(crate) fn of_orphan(outcome: Result<Option<Deletion>, GitHubError>) -> Done {
    match outcome {
        Ok(Some(Deletion::Deleted)) => {
            tracing::info!("orphaned registration deleted");
            Done::RegistrationDeleted
        }
        Ok(Some(Deletion::Gone)) => Done::Nothing,
        Ok(Some(Deletion::Busy)) => Done::LeftBusy,
        // GitHub would answer each further call the same.
        Ok(None) | Err(GitHubError::RateLimited { .. } | GitHubError::TokenTooNew { .. }) => Done::Left,
        Err(error) => {
            tracing::error!(error = %error, "registration not deleted");
            Done::Failed
        }
    }
}

/// Waits for its turn: launches go first. `None` if the turn comes too late for this pass.
async fn delete_in_turn(pass: Pass<'_>, place: &Place, id: RunnerId) -> Result<Option<Deletion>, GitHubError> {
    let mut has_waited = false;
    loop {
        match pass.patiently(async || pass.github.at(place).delete_in_turn(id, has_waited).await).await {
            Err(GitHubError::Paced { until }) => {
                if !pass.waits_until(until).await {
                    return Ok(None);
                }
                has_waited = true;
            }
            // Until then, GitHub would answer each further call the same.
            Err(GitHubError::RateLimited { .. }) => return Ok(None),
            outcome => return outcome.map(Some),
        }
    }
}

/// Deletes the registration first, which GitHub refuses if the runner has a job.
async fn retire(pass: Pass<'_>, seen: &Seen, place: &Place, id: RunnerId, task: &TaskArn, because: Useless) -> Done {
    match own_job(pass, seen, task).await {
        Ok(job) => retire_unless(has_job(job.as_ref(), id), pass, place, id, task, because).await,
        Err(error) => undone(&error, "runner not retired"),
    }
}

/// The same, where GitHub has said whether the task's own job runs on the runner.
async fn retire_unless(
    has_its_own_job: bool,
    pass: Pass<'_>,
    place: &Place,
    id: RunnerId,
    task: &TaskArn,
    because: Useless,
) -> Done {
    let reason = because.words();
    let outcome = async {
        let runner = pass.patiently(async || pass.github.at(place).runner(id).await).await?;
        if has_its_own_job || !because.holds(runner.as_ref()) {
            return Ok(Some(Deletion::Busy));
        }
        delete_in_turn(pass, place, id).await
    };
    match outcome.await {
        Ok(Some(Deletion::Deleted | Deletion::Gone)) => stop(pass, task, reason).await,
        Ok(Some(Deletion::Busy)) => {
            tracing::info!(reason, "runner has a job or has just connected, and stays");
            Done::LeftBusy
        }
        Ok(None) => Done::Left,
        Err(error) => undone(&error, "runner not retired"),
    }
}

/// What GitHub's refusal makes of a step.
fn undone(error: &GitHubError, what: &'static str) -> Done {
    if matches!(error, GitHubError::TokenTooNew { .. }) {
        tracing::info!(error = %error, "{what}");
        return Done::Left;
    }
    tracing::error!(error = %error, "{what}");
    Done::Failed
}

/// Keeps an idle runner whose job waits: GitHub assigns no jobs, and this one will show when it does again.
async fn probe(pass: Pass<'_>, seen: &Seen, place: &Place, id: RunnerId, task: &TaskArn) -> Done {
    let Some(view) = seen.live.iter().find(|view| view.arn == *task) else { return Done::Nothing };
    let Some(Message { job, .. }) = &view.message else { return Done::Nothing };
    match look_at(pass, job).await {
        Ok(Some(JobLook { state: Some(JobState::Queued), .. })) => {
            tracing::error!(
                class = job.class,
                job.id = job.id.0,
                repository = job.full_name(),
                "GitHub gives idle runners no jobs; this one stays until it does, and no job is launched again before"
            );
            match view.probe_since {
                Some(_) => Done::Unassigned,
                None => match note(pass, task, tag::PROBE_SINCE, Some(pass.clock.now())).await {
                    Done::Nothing => Done::Unassigned,
                    other => other,
                },
            }
        }
        Ok(look) => retire_unless(has_job(look.as_ref(), id), pass, place, id, task, Useless::Idle).await,
        Err(error) => undone(&error, "job of an idle runner not asked about"),
    }
}

/// Asks for the registration itself: a list that is read page by page while registrations go may skip one.
async fn stop_unregistered(pass: Pass<'_>, seen: &Seen, place: &Place, id: RunnerId, task: &TaskArn) -> Done {
    let outcome = async {
        let name = seen.live.iter().find(|view| view.arn == *task).and_then(|view| view.runner_name.as_deref());
        let registration = pass.patiently(async || match name {
            Some(name) => Ok(pass.github.at(place).named(name).await?.filter(|runner| runner.id == id)),
            None => pass.github.at(place).runner(id).await,
        });
        let is_there = registration.await?.is_some();
        Ok::<_, GitHubError>(is_there || has_job(own_job(pass, seen, task).await?.as_ref(), id))
    };
    match outcome.await {
        Ok(false) => stop(pass, task, "jitgate: its registration is gone").await,
        Ok(true) => Done::Nothing,
        Err(error) => undone(&error, "task not stopped"),
    }
}

/// How far the job is for which the task was started; `None` if GitHub does not know it, or the task is a warm runner's.
async fn own_job(pass: Pass<'_>, seen: &Seen, arn: &TaskArn) -> Result<Option<JobLook>, GitHubError> {
    let task = seen.live.iter().find(|task| task.arn == *arn);
    let message = task.and_then(|task| task.message.as_ref());
    match message.filter(|message| message.purpose == Purpose::Launch) {
        Some(message) => look_at(pass, &message.job).await,
        None => Ok(None),
    }
}

/// Whether the job says that it runs on this runner, whatever `busy` says.
fn has_job(job: Option<&JobLook>, id: RunnerId) -> bool {
    // A task is not stopped over an answer that does not say.
    job.is_some_and(|job| match job.state {
        Some(JobState::InProgress) => job.runner_id.is_none_or(|of_job| of_job == id),
        Some(JobState::Queued | JobState::Completed | JobState::Waiting) => false,
        None => true,
    })
}

async fn look_at(pass: Pass<'_>, job: &Job) -> Result<Option<JobLook>, GitHubError> {
    let account = Account::from(job);
    let repository = pass.github.in_repository(&account, &job.owner, &job.repository);
    pass.patiently(async || repository.job(job.id).await).await
}

async fn stop(pass: Pass<'_>, task: &TaskArn, reason: &str) -> Done {
    match pass.tasks.stop(task, reason).await {
        Ok(()) => {
            tracing::info!(reason, "task stopped");
            Done::TaskStopped
        }
        Err(error) => {
            tracing::error!(reason, error = %error, "task not stopped");
            Done::Failed
        }
    }
}
