//! One message, from its receipt to what becomes of it.
//!
//! To defer a message is to send it again with `DelaySeconds` and to report the old one as done. Lambda takes function,
//! queue, function for a loop and stops it at about the 16th hop, so the template sets `RecursiveLoop: Allow`; the loop ends
//! with the job's age. If the answer to the sending is lost there are two messages, which is harmless. The alternative, a
//! longer visibility, would count each wait as a receive, so `maxReceiveCount` would have to be in the hundreds and a
//! poisonous message would be tried as often; and the state of the wait could be kept nowhere. So `maxReceiveCount` keeps its
//! meaning: it counts invocations that died or could not be started.
//!
//! | message | what becomes of it |
//! |---|---|
//! | unreadable: not JSON, a field missing, a later version | given up |
//! | its class is gone or no longer permits what it asks for, and it fits no other | given up |
//! | its run is of a fork, which its class does not take | done, with a log line |
//! | jitgate heard of its job more than 24 hours ago, so GitHub has failed it | given up |
//! | it only tells the job's commit something | done, or sent again a few times |
//! | its moment has not come: SQS delays by 15 minutes at most, a limit can last an hour | sent again with the rest of the delay |
//! | anything that fails | as [`verdict`](crate::verdict) says |
//!
//! Without the URL of a dead-letter queue, or if that queue does not take the message, the record returns. SQS moves it
//! after five receives, without a reason.

use jitgate::classes::{Fit, Misfit};
use jitgate::job::{Message, Progress, Purpose};
use jitgate::relaunch::{is_near_its_end, last_words};
use jitgate::report::News;
use time::OffsetDateTime;

use crate::attempt::Attempted;
use crate::context::Context;
use crate::launch::{Launched, Tried, launch};
use crate::leftovers::Leftovers;
use crate::outcome::{MustReturn, Outcome};
use crate::received::{Received, Work};
use crate::release::{Released, release};
use crate::report;
use crate::swaps::still_waits;
use crate::verdict::{
    Aftermath, Cause, Judgement, LONGEST_WAIT, LaunchError, Verdict, judge, launched_unsettled, renamed, to_look_again,
};

/// The cleaner goes by the birth time in a registration's name. A message that lay in the queue for longer than this gets a
/// new birth time before anything is registered. It is sent again with it, because every repeat of a message must derive
/// the same name.
const STALE_NAME: time::Duration = time::Duration::minutes(5);

/// What became of a message, or that it must return to the queue.
pub(crate) type Handled = Result<Outcome, MustReturn>;

/// Works on a message.
pub(crate) async fn handle(context: &Context, received: Received<'_>) -> Handled {
    match received.work {
        Work::Unreadable(error) => {
            tracing::error!(error = %error, "message unreadable");
            give_up(context, received.body, &error.to_string()).await
        }
        Work::Launch { message, fit } => match waits(context, &message).await {
            Some(handled) => handled,
            None => handle_launch(context, message, fit, received.held_back).await,
        },
        Work::Release(message) => match waits(context, &message).await {
            Some(handled) => handled,
            None => handle_release(context, &message).await,
        },
        Work::Report(message) => {
            let news = message.progress.wait.map_or(News::Refused, |wait| wait.news);
            Box::pin(report::ends(context, &message, news)).await;
            Ok(Outcome::Nothing)
        }
    }
}

/// A message that is too old or too early is not worked on.
async fn waits(context: &Context, message: &Message) -> Option<Handled> {
    let now = context.clock.now();
    if now - message.job.queued_at > LONGEST_WAIT {
        return Some(expire(context, message).await);
    }
    // SQS delays a message by 15 minutes at most, so the rest of a longer delay follows now.
    let until = message.progress.not_before.filter(|moment| *moment > now)?;
    // A retry can wait for hours, and while its message is on the queue the cleaner takes it for one of a job that waits.
    let may_have_ended = message.progress.is_retry() && !message.progress.unsettled && !is_near_its_end(message, now);
    if may_have_ended && Box::pin(has_ended(context, message)).await {
        Box::pin(report::ends(context, message, News::Ended)).await;
        return Some(Ok(Outcome::Nothing));
    }
    match report::of_wait(&message.progress) {
        Some(news) => {
            let message = Box::pin(report::waits(context, message.clone(), news)).await;
            Some(defer(context, &message, until, Cause::Other).await)
        }
        None => Some(defer(context, message, until, Cause::Other).await),
    }
}

async fn has_ended(context: &Context, message: &Message) -> bool {
    let place = context.github.place_of(&message.job);
    match still_waits(context, &place, message).await {
        Ok(still_waits) => !still_waits,
        // It is asked again when its turn comes.
        Err(_) => false,
    }
}

/// GitHub has failed the job by now. Its dead letter says what its launches came to.
async fn expire(context: &Context, message: &Message) -> Handled {
    let Progress { deferrals, failed_starts, unused, trouble, is_copy, .. } = &message.progress;
    if *is_copy {
        return Ok(drop_copy());
    }
    tracing::error!(deferrals, failed_starts, unused, trouble, "job dropped: it waited as long as GitHub lets it");
    if message.purpose != Purpose::Launch {
        return Ok(Outcome::Expired);
    }
    give_up(context, &message.to_body(), &last_words(&message.progress)).await?;
    Box::pin(report::ends(context, message, News::Expired)).await;
    Ok(Outcome::Expired)
}

async fn handle_release(context: &Context, message: &Message) -> Handled {
    match release(context, message).await {
        Ok(Released::Done { stopped, left }) => {
            tracing::info!(stopped, left, "job released");
            Box::pin(report::ends(context, message, News::Ended)).await;
            Ok(if stopped > 0 { Outcome::Stopped(stopped) } else { Outcome::Nothing })
        }
        Ok(Released::LookAgain { pause, seen_idle_at }) => {
            let until = context.clock.now() + pause;
            let progress = to_look_again(&message.progress, until, seen_idle_at);
            defer(context, &message.clone().with(progress), until, Cause::Other).await
        }
        Err(error) => settle(context, message, &error, Aftermath { unsettled: false, asked: false }).await,
    }
}

async fn handle_launch(
    context: &Context,
    message: Message,
    fit: Result<Fit<'_>, Misfit>,
    held_back: Option<LaunchError>,
) -> Handled {
    let now = context.clock.now();
    let is_stale = !message.progress.unsettled && now - message.progress.born_at > STALE_NAME;
    match (message.purpose, fit) {
        // The cleaner has asked for another one since.
        (Purpose::Warm, _) if is_stale => Ok(Outcome::Nothing),
        (Purpose::Warm, Err(misfit)) => {
            tracing::warn!(reason = %misfit, "warm runner not launched");
            Ok(Outcome::Nothing)
        }
        (_, _) if is_stale => {
            let progress = renamed(&message.progress, now);
            defer(context, &message.with(progress), now, Cause::Other).await
        }
        (_, Err(_)) if message.progress.is_copy => Ok(drop_copy()),
        (_, Err(misfit)) => {
            tracing::error!(reason = %misfit, "job given up");
            let outcome = give_up(context, &message.to_body(), &misfit.to_string()).await?;
            Box::pin(report::ends(context, &message, News::GivenUp)).await;
            Ok(outcome)
        }
        (_, Ok(_)) if let Some(error) = held_back => {
            let aftermath = Aftermath { unsettled: message.progress.unsettled, asked: false };
            settle(context, &message, &error, aftermath).await
        }
        (_, Ok(fit)) => finish_launch(context, message, &fit).await,
    }
}

async fn finish_launch(context: &Context, mut message: Message, fit: &Fit<'_>) -> Handled {
    let begun = context.clock.now();
    let Tried { job, outcome, aftermath } = launch(context, &message, fit).await;
    message.job = job;
    let news = outcome.as_ref().ok().and_then(news);
    let outcome = match outcome {
        Ok(Launched::Attempted(Attempted::JobGone))
            if message.progress.is_retry() && !aftermath.unsettled && is_near_its_end(&message, begun) =>
        {
            return expire(context, &message).await;
        }
        Ok(Launched::TooLate) => return expire(context, &message).await,
        Ok(launched) => tell(context, &message, fit, launched),
        Err(error) => return settle(context, &message, &error, aftermath).await,
    };
    if outcome != Outcome::Refused && aftermath.unsettled {
        let progress = launched_unsettled(&message.progress, begun);
        let until = progress.not_before.unwrap_or(begun);
        send(context, &message.clone().with(progress), until).await?;
    }
    // Last: whatever the job needs has been done by now.
    if let Some(news) = news {
        Box::pin(report::ends(context, &message, news)).await;
    }
    Ok(outcome)
}

/// What a launch that ended well is to those who wait.
fn news(launched: &Launched) -> Option<News> {
    match launched {
        Launched::Attempted(Attempted::Started { .. } | Attempted::AlreadyRunning { .. }) => Some(News::Started),
        Launched::Attempted(Attempted::Over { .. } | Attempted::JobGone) => Some(News::Ended),
        // A job that came too late expires, which says so.
        Launched::Next { .. } | Launched::TooLate => None,
        Launched::Refused(_) => Some(News::Refused),
    }
}

fn tell(context: &Context, message: &Message, fit: &Fit<'_>, launched: Launched) -> Outcome {
    match launched {
        Launched::Attempted(Attempted::Started { task, runner_id, runner_name }) => {
            let now = context.clock.now();
            context.started.note(&task, &context.token(message), &fit.class.name, &message.job, now);
            let waited = (now - message.job.queued_at).whole_seconds();
            tracing::info!(
                runner.id = runner_id.0,
                runner.name = %runner_name,
                task.arn = %task,
                waited_seconds = waited,
                "runner launched"
            );
            return if message.purpose == Purpose::Warm { Outcome::Warmed } else { Outcome::Launched(waited) };
        }
        Launched::Attempted(Attempted::AlreadyRunning { task }) => {
            tracing::info!(task.arn = %task, "job has its runner already");
        }
        Launched::Attempted(Attempted::Over { .. } | Attempted::JobGone) | Launched::TooLate => {
            tracing::info!("job waits no longer");
        }
        Launched::Next { attempt, reason } => {
            tracing::info!(next.attempt = attempt.0, reason, "job goes on under its next attempt");
        }
        Launched::Refused(unwelcome) => {
            tracing::warn!(reason = %unwelcome, "job refused");
            return Outcome::Refused;
        }
    }
    Outcome::Nothing
}

/// Does what the verdict on an error says.
async fn settle(context: &Context, message: &Message, error: &LaunchError, aftermath: Aftermath) -> Handled {
    let now = context.clock.now();
    let Judgement { verdict, next, cause } = judge(error, &message.progress, aftermath, now, context.clock.chance());
    let message = message.clone().with(next);
    match verdict {
        // Nothing waits for a warm runner, so its message does not wait either: the cleaner's next pass asks for another.
        _ if message.purpose == Purpose::Warm && (!aftermath.unsettled || verdict == Verdict::GiveUp) => {
            tracing::warn!(error = %error, "warm runner not launched");
            take_back(context, &message).await;
            Ok(Outcome::Nothing)
        }
        Verdict::Defer { until } => {
            tracing::warn!(
                deferrals = message.progress.deferrals,
                delay_seconds = (until - now).whole_seconds(),
                error = %error,
                "job deferred"
            );
            if cause == Cause::Person {
                tracing::error!(error = %error, "nothing can be launched until this is mended");
            }
            let message = Box::pin(report::waits(context, message, report::of_error(error))).await;
            defer(context, &message, until, cause).await
        }
        Verdict::GiveUp => {
            take_back(context, &message).await;
            if message.progress.is_copy {
                return Ok(drop_copy());
            }
            tracing::error!(error = %error, "job given up");
            let outcome = give_up(context, &message.to_body(), &error.to_string()).await?;
            Box::pin(report::ends(context, &message, News::GivenUp)).await;
            Ok(outcome)
        }
    }
}

/// No later try will take back what this one or earlier ones have left.
async fn take_back(context: &Context, message: &Message) {
    if message.progress.unsettled {
        let place = context.github.place_of(&message.job);
        Leftovers::of(context, &place, message).take_back_all(None).await;
    }
}

async fn defer(context: &Context, message: &Message, until: OffsetDateTime, cause: Cause) -> Handled {
    send(context, message, until).await?;
    if message.purpose == Purpose::Release && cause == Cause::Other {
        return Ok(Outcome::Nothing);
    }
    let waits = message.purpose == Purpose::Launch;
    let waited = waits.then(|| (context.clock.now() - message.job.queued_at).whole_seconds());
    Ok(Outcome::Deferred { waited, cause })
}

/// Sends the message again, to be seen at that moment or as late as SQS permits.
async fn send(context: &Context, message: &Message, until: OffsetDateTime) -> Result<(), MustReturn> {
    context.queue.send_at(message, until, context.clock.now()).await.map_err(|error| {
        tracing::error!(error = %error, "message not sent, its record returns");
        MustReturn
    })
}

/// The job's own message becomes its dead letter.
fn drop_copy() -> Outcome {
    tracing::info!("copy of a message dropped: its job waits in vain");
    Outcome::Nothing
}

/// Without the URL of a dead-letter queue the message returns until the job queue's redrive policy moves it.
async fn give_up(context: &Context, body: &str, reason: &str) -> Handled {
    let Some(url) = &context.config.dead_letter_queue_url else { return Err(MustReturn) };
    match context.queue.send_dead_letter(url, body, reason).await {
        Ok(()) => Ok(Outcome::GivenUp),
        Err(error) => {
            tracing::error!(error = %error, "dead letter not sent, its record returns");
            Err(MustReturn)
        }
    }
}
