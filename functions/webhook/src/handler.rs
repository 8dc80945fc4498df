//! From a request to its answer.

use std::borrow::Cow;
use std::time::Duration;

use aws_config::SdkConfig;
use jitgate::classes::Asked;
use jitgate::clock::Clock;
use jitgate::config::WebhookConfig;
use jitgate::job::{Message, Purpose};
use jitgate::metrics::Metrics;
use jitgate::queue::JobQueue;
use jitgate::secret::SecretReader;
use tracing::field::Empty;
use tracing::{Instrument as _, Span, error_span, record_all};

use crate::delivery::{self, Meaning};
use crate::http::{BodyProblem, HttpRequest, HttpResponse, LARGEST_BODY};
use crate::secrets::WebhookSecrets;
use crate::signature::{self, Signature};

/// The webhook function; it lives as long as its process.
pub struct Webhook {
    config: WebhookConfig,
    secrets: WebhookSecrets,
    queue: JobQueue,
    clock: Clock,
}

impl Webhook {
    /// Reads and calls nothing before the first request.
    pub fn new(sdk: &SdkConfig, config: WebhookConfig, clock: Clock) -> Self {
        let reader = SecretReader::new(sdk, config.github_secret_id.clone());
        Self {
            secrets: WebhookSecrets::new(reader, clock.clone()),
            queue: JobQueue::new(sdk, config.job_queue_url.clone()),
            config,
            clock,
        }
    }

    /// Answers a request.
    pub async fn handle(&self, request: HttpRequest) -> HttpResponse {
        let delivery_id = request.header("x-github-delivery").unwrap_or("unknown");
        let span = error_span!(
            "delivery",
            delivery.id = delivery_id,
            job.id = Empty,
            run.id = Empty,
            repository = Empty,
            class = Empty
        );
        // Boxed: the SDK's futures are nested so deeply that another layer is too much for the compiler.
        Box::pin(self.answer(&request, delivery_id)).instrument(span).await
    }

    /// Refuses by size and headers before anything is computed, and parses nothing of the body before its signature is
    /// verified.
    async fn answer(&self, request: &HttpRequest, delivery_id: &str) -> HttpResponse {
        let (body, signature) = match well_formed(request) {
            Ok(parts) => parts,
            Err(refusal) => return refusal,
        };
        match self.secrets.any(|secret| signature.is_of(secret, &body)).await {
            Ok(true) => {}
            Ok(false) => return HttpResponse::new(401, "refused", "X-Hub-Signature-256 does not fit the body"),
            // Logged where the secret was read: a flood must not write a line for each request.
            Err(_) => {
                return HttpResponse::new(503, "failed", "the webhook secret is not available, redeliver later");
            }
        }
        let Some(event) = request.header("x-github-event") else {
            return HttpResponse::new(400, "refused", "X-GitHub-Event is missing");
        };
        match delivery::read(event, delivery_id, &body, &self.config, self.clock.now()) {
            Ok(Meaning::Ping) => HttpResponse::new(200, "pong", "deliveries arrive and their signature fits"),
            Ok(Meaning::Ignored { job, reason, report }) => {
                if let Some((job_id, repository)) = job {
                    record_all!(Span::current(), job.id = job_id.0, repository = repository);
                }
                tracing::info!(event, reason, "delivery ignored");
                self.report(report).await;
                HttpResponse::new(200, "ignored", &reason)
            }
            Ok(Meaning::Refused { job_id, repository, reason, report }) => {
                record_all!(Span::current(), job.id = job_id.0, repository = repository);
                tracing::warn!(reason, "job refused");
                let mut metrics = Metrics::new(&self.config.name_prefix, "webhook");
                metrics.count("JobsRefused", 1);
                metrics.write(self.clock.now());
                self.report(report).await;
                HttpResponse::new(200, "ignored", &reason)
            }
            Ok(Meaning::Job(message)) => self.enqueue(&message).await,
            Err(malformed) => {
                tracing::warn!(event, reason = %malformed, "delivery malformed");
                HttpResponse::new(400, "refused", &malformed.to_string())
            }
        }
    }

    /// Has the worker tell the job's commit. This function calls nobody but the queue.
    async fn report(&self, report: Option<Box<Message>>) {
        let Some(report) = report else { return };
        if let Err(error) = self.queue.send(&report, Duration::ZERO).await {
            tracing::warn!(error = %error, "job not reported");
        }
    }

    async fn enqueue(&self, message: &Message) -> HttpResponse {
        record_all!(
            Span::current(),
            job.id = message.job.id.0,
            run.id = message.job.run_id.0,
            repository = message.job.full_name(),
            class = message.job.class
        );
        match self.queue.send(message, Duration::ZERO).await {
            Ok(()) => {
                let left_out = self.left_out(message);
                tracing::info!(purpose = ?message.purpose, left_out, "job queued");
                let reason = match message.purpose {
                    Purpose::Launch => format!("job {} gets a {} runner", message.job.id, message.job.class),
                    Purpose::Release | Purpose::Warm | Purpose::Report => {
                        format!("job {} ended without a runner", message.job.id)
                    }
                };
                HttpResponse::new(202, "queued", &reason)
            }
            Err(error) => {
                tracing::error!(error = %error, "job not queued");
                HttpResponse::new(503, "failed", "the queue did not take the job, redeliver later")
            }
        }
    }

    /// What the job's labels ask for and its runner does not have, if anything.
    fn left_out(&self, message: &Message) -> Option<String> {
        let class = self.config.classes.named(&message.job.class).filter(|_| message.purpose == Purpose::Launch)?;
        let each = class.left_out(&Asked::from(&message.job));
        let each: Vec<_> = each.into_iter().map(|(label, what)| format!("{label}: {what}")).collect();
        (!each.is_empty()).then(|| each.join("; "))
    }
}

/// The body and its signature, or the answer to a request that is no delivery.
fn well_formed(request: &HttpRequest) -> Result<(Cow<'_, [u8]>, Signature), HttpResponse> {
    let refuse = |status, reason: &str| Err(HttpResponse::new(status, "refused", reason));
    if request.method() != "POST" {
        return refuse(405, "deliveries are POSTed");
    }
    let body = match request.body() {
        Ok(body) => body,
        Err(BodyProblem::TooLarge) => return refuse(413, &format!("the body is larger than {LARGEST_BODY} bytes")),
        Err(BodyProblem::NotBase64) => return refuse(400, "the body is marked as base64, but is not"),
    };
    let content_type = request.header("content-type").unwrap_or_default();
    if content_type.trim_start().to_ascii_lowercase().starts_with("application/x-www-form-urlencoded") {
        return refuse(415, "set the webhook's content type to application/json");
    }
    let Some(signature) = request.header(signature::HEADER).and_then(Signature::parse) else {
        return refuse(401, "X-Hub-Signature-256 is missing or malformed");
    };
    Ok((body, signature))
}
