//! A message as it was received: read once, and matched to a class once.

use jitgate::classes::{Asked, Demand, Fit, Misfit, RunnerClasses};
use jitgate::job::{Attempt, Message, Purpose, UnreadableMessage};
use jitgate::names::{LaunchToken, NamePrefix};
use time::OffsetDateTime;
use tracing::Span;

use crate::context::Context;
use crate::event::Record;
use crate::limits::{Holder, Wanted};
use crate::verdict::{LONGEST_WAIT, LaunchError, received_again};

/// What the message asks for.
pub(crate) enum Work<'a> {
    Unreadable(UnreadableMessage),
    Launch { message: Message, fit: Result<Fit<'a>, Misfit> },
    Release(Message),
    Report(Message),
}

/// A message of a batch.
pub(crate) struct Received<'a> {
    pub(crate) id: &'a str,
    pub(crate) body: &'a str,
    pub(crate) work: Work<'a>,
    /// Why the launch has to wait, if a limit is reached.
    pub(crate) held_back: Option<LaunchError>,
}

impl<'a> Received<'a> {
    pub(crate) fn of(record: &'a Record, classes: &'a RunnerClasses) -> Self {
        let work = match Message::parse(&record.body) {
            Err(error) => Work::Unreadable(error),
            Ok(message) if message.purpose == Purpose::Release => Work::Release(message),
            Ok(message) if message.purpose == Purpose::Report => Work::Report(message),
            Ok(message) => {
                let progress = &message.progress;
                let progress = if record.is_repeat() { received_again(progress) } else { progress.clone() };
                let message = message.with(progress);
                let fit = fit(classes, &message);
                Work::Launch { message, fit }
            }
        };
        Self { id: &record.message_id, body: &record.body, work, held_back: None }
    }

    /// Makes the message a copy if another delivery's message is the job's own. Later messages of a job come from launches, which
    /// see to that themselves.
    pub(crate) fn mark_copy(&mut self, context: &Context) {
        let Work::Launch { message, .. } = &mut self.work else { return };
        let Message { purpose, job, progress, .. } = &*message;
        let is_of_delivery = *purpose == Purpose::Launch && progress.attempt == Attempt::FIRST && !progress.is_copy;
        let is_second =
            is_of_delivery && context.announcements.is_second(context.token(message), job, context.clock.now());
        message.progress.is_copy |= is_second;
    }

    /// Stands for the message in every log line about it.
    pub(crate) fn span(&self) -> Span {
        match &self.work {
            Work::Unreadable(_) => tracing::error_span!("message", message.id = self.id),
            Work::Launch { message: Message { job, progress, .. }, .. }
            | Work::Release(Message { job, progress, .. })
            | Work::Report(Message { job, progress, .. }) => {
                tracing::error_span!(
                    "message",
                    job.id = job.id.0,
                    job.attempt = progress.attempt.0,
                    run.id = job.run_id.0,
                    repository = job.full_name(),
                    class = job.class,
                    delivery.id = job.delivery_id
                )
            }
        }
    }

    /// The launch that counts towards the runner limits, if the message is about to be worked on.
    pub(crate) fn wants_runner(&self, prefix: &NamePrefix, now: OffsetDateTime) -> Option<Wanted> {
        let (message, fit) = self.launch_due(now)?;
        Some(Wanted {
            token: LaunchToken::of(prefix, message),
            class: fit.class.name.clone(),
            holder: Holder::of(&message.job.full_name()),
            since: message.job.queued_at,
            comes_back: message.purpose == Purpose::Launch,
        })
    }

    /// The launch, if the message is about to be worked on.
    pub(crate) fn launch_due(&self, now: OffsetDateTime) -> Option<(&Message, &Fit<'a>)> {
        let Work::Launch { message, fit: Ok(fit) } = &self.work else { return None };
        let is_due = message.progress.not_before.is_none_or(|moment| moment <= now)
            && now - message.job.queued_at <= LONGEST_WAIT;
        is_due.then_some((message, fit))
    }
}

/// The class may have been renamed while the message waited. A warm runner belongs to its class, whatever the class demands
/// of jobs.
fn fit<'a>(classes: &'a RunnerClasses, message: &Message) -> Result<Fit<'a>, Misfit> {
    match classes.named(&message.job.class).filter(|_| message.purpose == Purpose::Warm) {
        Some(class) => Ok(Fit { class, demand: Demand::default() }),
        None => classes.fit_again(&message.job.class, &Asked::from(&message.job)),
    }
}
