//! Asking GitHub about jobs, and launching again those that still wait.

use std::time::Duration;

use jitgate::github::{Account, GitHubError, JobLook, JobState};
use jitgate::names::RunnerOrigin;
use jitgate::relaunch::{is_near_its_end, last_words};
use tracing::{Instrument, error_span};

use crate::act::of_orphan;
use crate::admission::ask_about_group;
use crate::context::{Pass, all};
use crate::plan::{Cause, Left, Question, Repair, World, plan_repair, questions, without_queued};
use crate::tally::{Done, Tally};

/// The most questions of a pass, two points each.
const MOST_QUESTIONS: usize = 100;

pub(crate) async fn repair_all(pass: Pass<'_>, world: &World<'_>, tally: &mut Tally) {
    let mut questions = questions(world);
    if questions.iter().any(|question| question.cause.may_be_queued()) {
        // If the messages cannot be counted, all jobs may be on the queue.
        let on_queue = pass.queue.depth().await.unwrap_or_else(|error| {
            tracing::error!(error = %error, "messages not counted, no job is looked for");
            tally.add(Done::Failed);
            usize::MAX
        });
        questions = without_queued(questions, world, on_queue);
    }
    if questions.len() > MOST_QUESTIONS {
        let (raised, asked) = (questions.len(), MOST_QUESTIONS);
        tracing::warn!(questions = raised, asked, "more jobs in question than one pass asks about");
        pass.rotate(&mut questions);
        questions.truncate(MOST_QUESTIONS);
    }
    let done = all(questions.into_iter().map(|question| repair(pass, question))).await;
    tally.extend(done.into_iter().flatten());
}

/// Asks how far a job is, and launches it again if it still waits.
pub(crate) async fn repair(pass: Pass<'_>, mut question: Question) -> [Done; 2] {
    let job = &question.message.job;
    let span = error_span!(
        "question",
        job.id = job.id.0,
        run.id = job.run_id.0,
        repository = job.full_name(),
        reason = question.cause.words()
    );
    async {
        if pass.is_over() {
            return [Done::Left, Done::Nothing];
        }
        let answer = ask(pass, &question).await;
        let deleted = match &question.left {
            Some(left) if answer.is_ok() && !pass.config.dry_run => take_away(pass, &question, left).await,
            _ => Done::Nothing,
        };
        question.message.progress.is_copy &= deleted != Done::RegistrationDeleted;
        [act_on(pass, &question, answer).await, deleted]
    }
    .instrument(span)
    .await
}

/// Deletes the registration of a task that came to nothing. Whoever does so makes the job's own message: see
/// [`jitgate::relaunch`].
async fn take_away(pass: Pass<'_>, question: &Question, left: &Left) -> Done {
    // The next pass sees that the registration is left.
    if pass.is_over() {
        return Done::Left;
    }
    let place = pass.github.place_of(&question.message.job);
    let at = pass.github.at(&place);
    let (id, name) = match left {
        Left::Id(id) => (Some(id.0), None),
        Left::Name(name) => (None, Some(name.as_str())),
    };
    let span = error_span!("deletion", runner.id = id, runner.name = name, scope = %place.scope);
    async {
        let found = match left {
            Left::Id(id) => at.runner(*id).await,
            Left::Name(name) => at.find(name).await,
        };
        of_orphan(match found {
            Ok(Some(runner)) if !runner.busy => at.delete(runner.id).await.map(Some),
            Ok(_) => return Done::Nothing,
            Err(error) => Err(error),
        })
    }
    .instrument(span)
    .await
}

/// What follows for the job, and whether another job's runner has it.
async fn ask(pass: Pass<'_>, question: &Question) -> Result<(Repair, bool), GitHubError> {
    let job = &question.message.job;
    let account = Account::from(job);
    let repository = pass.github.in_repository(&account, &job.owner, &job.repository);
    let now = repository.job(job.id).await?;
    // Its last task failed when GitHub had just failed the job itself, so no message of it waits to become its dead letter.
    let never_ran = now.as_ref().is_some_and(|now| now.state == Some(JobState::Completed) && now.runner_id.is_none());
    if question.cause == Cause::FailedStart && never_ran && is_near_its_end(&question.message, pass.clock.now()) {
        return Ok((Repair::GiveUp, false));
    }
    let is_swapped = now.as_ref().is_some_and(|now| has_runner_of_another(pass, question, now));
    let state = now.and_then(|now| now.state);
    let has_ended = state == Some(JobState::Queued) && repository.run_has_ended(job.run_id).await?;
    Ok((plan_repair(question, state, has_ended), is_swapped))
}

async fn act_on(pass: Pass<'_>, question: &Question, answer: Result<(Repair, bool), GitHubError>) -> Done {
    match answer {
        // The worker asks before it launches anything, when its turn comes.
        Err(error) if question.cause == Cause::FailedStart && may_pass(&error) && !pass.config.dry_run => {
            tracing::warn!(error = %error, "job not asked about");
            relaunch(pass, question).await
        }
        // The next pass finds it in GitHub's list again.
        Err(GitHubError::RateLimited { .. }) if question.cause.may_be_queued() => Done::Left,
        Err(GitHubError::TokenTooNew { .. }) => Done::Left,
        Err(error) => {
            tracing::error!(error = %error, "job not asked about");
            Done::Failed
        }
        Ok((Repair::None, true)) if !pass.config.dry_run => look_after_other(pass, question).await,
        Ok((Repair::None, _)) => Done::Nothing,
        Ok((Repair::LeaveStuck, _)) => {
            tracing::info!("job is queued in a run that has ended");
            Done::Stuck
        }
        Ok((repair, _)) if pass.config.dry_run => {
            tracing::info!(repair = ?repair, "would be done");
            Done::Nothing
        }
        Ok((Repair::GiveUp, _)) => give_up(pass, question).await,
        Ok((Repair::Relaunch, _)) => relaunch(pass, question).await,
    }
}

/// Whether GitHub may answer a moment later.
fn may_pass(error: &GitHubError) -> bool {
    error.is_passing() || matches!(error, GitHubError::RateLimited { .. } | GitHubError::TokenTooNew { .. })
}

/// Whether the job runs on a runner that was launched for another job, and its own runner, which never came, cannot make
/// up for it.
fn has_runner_of_another(pass: Pass<'_>, question: &Question, job: &JobLook) -> bool {
    let name = job.runner_name.as_deref().unwrap_or_default();
    matches!(question.cause, Cause::FailedStart | Cause::Unregistered)
        && RunnerOrigin::parse(&pass.config.name_prefix, name)
            .is_some_and(|origin| origin.job_id != question.message.job.id && !origin.job_id.is_warm())
}

/// Has the worker see to the other job, whose runner this one took. With [`Message::asking_first`] the worker asks about this
/// job before it launches anything, finds it on the other's runner, and sends the other's message.
///
/// [`Message::asking_first`]: jitgate::job::Message::asking_first
async fn look_after_other(pass: Pass<'_>, question: &Question) -> Done {
    match pass.queue.send(&question.message.clone().asking_first(), Duration::ZERO).await {
        Ok(()) => Done::Nothing,
        Err(error) => {
            tracing::error!(error = %error, "job whose runner was taken not looked after");
            Done::Failed
        }
    }
}

async fn relaunch(pass: Pass<'_>, question: &Question) -> Done {
    let mut message = question.message.clone();
    let is_shut_out = ask_about_group(pass, &mut message).await;
    let now = pass.clock.now();
    let at = message.progress.not_before.unwrap_or(now);
    if let Err(error) = pass.queue.send_at(&message, at, now).await {
        tracing::error!(error = %error, "job not launched again");
        return Done::Failed;
    }
    tracing::warn!(
        job.attempt = question.message.progress.attempt.0,
        stopped_reason = question.stopped_reason,
        swapped.job.id = question.swapped.as_ref().map(|swapped| swapped.job.0),
        swapped.repository = question.swapped.as_ref().map(|swapped| &swapped.repository),
        failed_starts = question.message.progress.failed_starts,
        unused = question.message.progress.unused,
        delay_seconds = (at - now).whole_seconds().max(0),
        "job launched again"
    );
    match question.cause {
        _ if is_shut_out => Done::Stuck,
        Cause::Busy => Done::Swapped,
        Cause::Untold => Done::Found,
        _ => Done::Relaunched,
    }
}

/// The dead letter is the message of the next launch: when the cause is mended, it can be sent back to the queue.
async fn give_up(pass: Pass<'_>, question: &Question) -> Done {
    let launches = question.message.progress.attempt.0.saturating_sub(1);
    let stopped_reason = question.stopped_reason.as_deref().unwrap_or("its tasks ended without a word");
    if question.message.progress.is_copy {
        return Done::Nothing;
    }
    tracing::error!(job.attempt = launches, stopped_reason, "job given up: none of its tasks came to run it");
    let Some(url) = &pass.config.dead_letter_queue_url else { return Done::GivenUp };
    let reason = if is_near_its_end(&question.message, pass.clock.now()) {
        last_words(&question.message.progress)
    } else {
        format!("{launches} launches came to nothing, the last one: {stopped_reason}")
    };
    match pass.queue.send_dead_letter(url, &question.message.to_body(), &reason).await {
        Ok(()) => Done::GivenUp,
        Err(error) => {
            tracing::error!(error = %error, "dead letter not sent");
            Done::Failed
        }
    }
}
