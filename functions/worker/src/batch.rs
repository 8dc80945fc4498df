//! A batch of messages: which limits hold its launches back, how much time is left, and the outcome.

use std::time::Duration;

use aws_config::SdkConfig;
use futures::future::join_all;
use jitgate::clock::Clock;
use jitgate::config::FleetConfig;
use jitgate::metrics::{Metrics, Unit};
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use crate::brake;
use crate::context::Context;
use crate::event::{BatchItemFailure, BatchResponse, SqsEvent};
use crate::handle::{Handled, handle};
use crate::limits::{Limits, admit};
use crate::outcome::{self, MustReturn, Outcome};
use crate::received::Received;
use crate::verdict::{LONG_WAIT, LaunchError};

/// Answer this long before Lambda's deadline, even if work is still running.
const MARGIN: Duration = Duration::from_secs(2);

/// The worker function, alive as long as its process.
pub struct Worker {
    context: Context,
}

impl Worker {
    /// Nothing is read or called before the first batch.
    pub fn new(sdk: &SdkConfig, config: FleetConfig, clock: Clock) -> Self {
        Self { context: Context::new(sdk, config, clock) }
    }

    /// Works on all messages of a batch at the same time.
    pub async fn handle(&self, event: SqsEvent) -> BatchResponse {
        self.handle_within(event, None).await
    }

    /// The same for an invocation that Lambda ends after this time. Messages that are not done shortly before return to the
    /// queue. Otherwise the whole batch would return, with everything that is done.
    pub async fn handle_within(&self, event: SqsEvent, time_left: Option<Duration>) -> BatchResponse {
        let end = time_left.map(|left| Instant::now() + left.saturating_sub(MARGIN));
        let mut batch: Vec<_> =
            event.records.iter().map(|record| Received::of(record, &self.context.config.classes)).collect();
        for received in &mut batch {
            received.mark_copy(&self.context);
        }
        self.apply_limits(&mut batch).await;
        brake::apply(&self.context, &mut batch).await;
        let outcomes = join_all(batch.into_iter().map(|received| self.work(received, end))).await;
        self.measure(&outcomes);
        let returned = event.records.into_iter().zip(outcomes).filter(|(_, outcome)| outcome.is_err());
        let returned = returned.map(|(record, _)| BatchItemFailure { item_identifier: record.message_id });
        BatchResponse { batch_item_failures: returned.collect() }
    }

    async fn work(&self, received: Received<'_>, end: Option<Instant>) -> Handled {
        let span = received.span();
        let work = async {
            let id = received.id;
            let work = Box::pin(handle(&self.context, received));
            match end {
                Some(end) => timeout_at(end, work).await.unwrap_or_else(|_| {
                    tracing::error!(message.id = id, "no time is left, the record returns");
                    Err(MustReturn)
                }),
                None => work.await,
            }
        };
        work.instrument(span).await
    }

    /// Marks the launches that have to wait because a runner limit is reached. ECS is asked once for all of them. If it does
    /// not answer, none of them may go.
    async fn apply_limits(&self, batch: &mut [Received<'_>]) {
        let context = &self.context;
        let config = &context.config;
        let limits = Limits { fleet: config.max_runners, classes: &config.classes };
        let now = context.clock.now();
        let (mut launches, wanted): (Vec<_>, Vec<_>) = batch
            .iter_mut()
            .filter_map(|received| {
                let wanted = received.wants_runner(&config.name_prefix, now)?;
                limits.concern(&wanted.class).then_some((received, wanted))
            })
            .unzip();
        if wanted.is_empty() {
            return;
        }
        let live = match context.tasks.live(&config.name_prefix).await {
            Ok(live) => live,
            Err(error) => {
                for launch in launches {
                    launch.held_back = Some(error.clone().into());
                }
                return;
            }
        };
        let answers = admit(limits, context.started.running(&live, now), &context.waiting.all(now), &wanted);
        context.waiting.note(&wanted, &answers, now);
        for ((launch, wanted), reached) in launches.iter_mut().zip(&wanted).zip(answers) {
            launch.held_back = reached.map(|reached| LaunchError::LimitReached {
                of: reached.of,
                limit: reached.limit,
                // As often as if it had waited for long.
                waited: if reached.is_next { LONG_WAIT.max(now - wanted.since) } else { now - wanted.since },
            });
        }
    }

    fn measure(&self, outcomes: &[Result<Outcome, MustReturn>]) {
        let mut metrics = Metrics::new(&self.context.config.name_prefix, "worker");
        outcome::measure(outcomes, &mut metrics);
        if let Some(remaining) = self.context.github.take_budget() {
            metrics.put("GitHubBudgetRemaining", Unit::Count, remaining);
        }
        metrics.write(self.context.clock.now());
    }
}
