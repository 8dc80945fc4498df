//! From a request to its answer.

use std::time::Duration;

use aws_config::SdkConfig;
use jitgate::clock::Clock;
use jitgate::config::WebhookConfig;
use jitgate::job::{Message, Purpose};
use jitgate::metrics::Metrics;
use jitgate::queue::JobQueue;
use jitgate::secret::SecretReader;

use crate::delivery::{self, Delivery};
use crate::http::{BodyProblem, HttpRequest, HttpResponse, LARGEST_BODY};
use crate::secrets::WebhookSecrets;
use crate::signature::{self, Signature};

/// The webhook function, alive as long as its process.
pub struct Webhook {
    config: WebhookConfig,
    secrets: WebhookSecrets,
    queue: JobQueue,
    clock: Clock,
}

impl Webhook {
    /// Nothing is read or called before the first request.
    pub fn new(sdk: &SdkConfig, config: WebhookConfig, clock: Clock) -> Self {
        let reader = SecretReader::new(aws_sdk_secretsmanager::Client::new(sdk), config.github_secret_id.clone());
        Self {
            secrets: WebhookSecrets::new(reader, clock.clone()),
            queue: JobQueue::new(sdk, config.job_queue_url.clone()),
            config,
            clock,
        }
    }

    /// Answers a request. What can be refused by its size and headers is, before anything is computed; nothing of the
    /// body is parsed before its signature has been verified.
    pub async fn handle(&self, request: HttpRequest) -> HttpResponse {
        if request.method() != "POST" {
            return HttpResponse::new(405, "refused", "deliveries are POSTed");
        }
        let body = match request.body() {
            Ok(body) => body,
            Err(BodyProblem::TooLarge) => {
                return HttpResponse::new(413, "refused", &format!("the body is larger than {LARGEST_BODY} bytes"));
            }
            Err(BodyProblem::NotBase64) => {
                return HttpResponse::new(400, "refused", "the body is marked as base64, but is not");
            }
        };
        let content_type = request.header("content-type").unwrap_or_default();
        if content_type.trim_start().to_ascii_lowercase().starts_with("application/x-www-form-urlencoded") {
            let reason = "set the webhook's content type to application/json";
            return HttpResponse::new(415, "refused", reason);
        }
        let Some(signature) = request.header(signature::HEADER).and_then(Signature::parse) else {
            return HttpResponse::new(401, "refused", "X-Hub-Signature-256 is missing or malformed");
        };
        match self.secrets.any(|secret| signature.is_of(secret, &body)).await {
            Ok(true) => {}
            Ok(false) => return HttpResponse::new(401, "refused", "X-Hub-Signature-256 does not fit the body"),
            Err(error) => {
                tracing::error!(error = %error, "a delivery cannot be verified");
                return HttpResponse::new(503, "failed", "the webhook secret cannot be had, redeliver later");
            }
        }
        self.take(&request, &body).await
    }

    async fn take(&self, request: &HttpRequest, body: &[u8]) -> HttpResponse {
        let delivery_id = request.header("x-github-delivery").unwrap_or("unknown");
        let Some(event) = request.header("x-github-event") else {
            return HttpResponse::new(400, "refused", "X-GitHub-Event is missing");
        };
        match delivery::read(event, delivery_id, body, &self.config, self.clock.now()) {
            Ok(Delivery::Ping) => HttpResponse::new(200, "pong", "deliveries arrive and their signature fits"),
            Ok(Delivery::Ignored(reason)) => {
                tracing::info!(delivery.id = delivery_id, event, reason, "delivery ignored");
                HttpResponse::new(200, "ignored", &reason)
            }
            Ok(Delivery::Refused { job_id, repository, reason }) => {
                tracing::warn!(job.id = job_id.0, repository, delivery.id = delivery_id, reason, "job refused");
                let mut metrics = Metrics::new(&self.config.name_prefix, "webhook");
                metrics.count("JobsRefused", 1);
                metrics.write(self.clock.now());
                HttpResponse::new(200, "ignored", &reason)
            }
            Ok(Delivery::Job(message)) => self.enqueue(&message).await,
            Err(malformed) => {
                tracing::warn!(delivery.id = delivery_id, event, reason = %malformed, "delivery malformed");
                HttpResponse::new(400, "refused", &malformed.to_string())
            }
        }
    }

    async fn enqueue(&self, message: &Message) -> HttpResponse {
        match self.queue.send(message, Duration::ZERO).await {
            Ok(()) => {
                tracing::info!(
                    job.id = message.job.id.0,
                    run.id = message.job.run_id.0,
                    repository = message.job.full_name(),
                    class = message.job.class,
                    purpose = ?message.purpose,
                    delivery.id = message.job.delivery_id,
                    "job queued"
                );
                let reason = match message.purpose {
                    Purpose::Launch => format!("job {} gets a {} runner", message.job.id, message.job.class),
                    Purpose::Release | Purpose::Warm => format!("job {} ended without a runner", message.job.id),
                };
                HttpResponse::new(202, "queued", &reason)
            }
            Err(error) => {
                tracing::error!(job.id = message.job.id.0, delivery.id = message.job.delivery_id, error = %error, "job not queued");
                HttpResponse::new(503, "failed", "the queue did not take the job, redeliver later")
            }
        }
    }
}
