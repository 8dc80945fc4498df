//! The part of AWS that the functions use: ECS, SQS and Secrets Manager on one loopback port; and what the command reads
//! besides: logs, and the worker's event source. As in AWS's JSON protocols, the header `x-amz-target` names the service;
//! Lambda has paths.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{fmt, io};

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ecs::config::{Credentials, SharedCredentialsProvider};
use futures::future::BoxFuture;
use http::HeaderValue;
use jitgate::clock::Clock;
use time::OffsetDateTime;
use tokio::task::JoinHandle;

use crate::wire::{self, Answer, Calls, Endpoint, Faults, Request, Service};

pub mod answers;
pub mod ecs;
pub mod event_sources;
pub mod logs;
pub mod secrets;
pub mod sqs;

pub use ecs::Ecs;
pub use event_sources::EventSources;
pub use logs::Logs;
pub use secrets::Secrets;
pub use sqs::Sqs;

/// The region of everything.
pub const REGION: &str = "eu-central-1";

/// The account of everything.
pub const ACCOUNT: &str = "123456789012";

/// A moment in milliseconds since the Unix epoch, the unit of the stand-ins.
pub fn millis(moment: OffsetDateTime) -> i64 {
    i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

/// The inverse of [`millis`].
pub fn moment(millis: i64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(millis)
}

/// All stand-ins on one port, until dropped.
pub struct Aws {
    /// Tasks.
    pub ecs: Arc<Ecs>,
    /// Messages.
    pub sqs: Arc<Sqs>,
    /// Secrets.
    pub secrets: Arc<Secrets>,
    /// Log lines, which only the command reads.
    pub logs: Arc<Logs>,
    /// Whether the queue's messages reach the worker, for the command alone: the stand-in of the mapping itself is
    /// [`sqs::mapping`].
    pub event_sources: Arc<EventSources>,
    /// Faults and calls of all, by operation: `RunTask`, `SendMessage`, `GetSecretValue`.
    pub endpoint: Endpoint,
    clock: Clock,
}

impl Aws {
    /// Starts on a free port, without queues, clusters, task definitions and secrets.
    pub async fn start(clock: Clock) -> Self {
        Self::start_on(clock, SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port on loopback")
    }

    /// Starts on a given address; an error if it is taken.
    pub async fn start_on(clock: Clock, address: SocketAddr) -> io::Result<Self> {
        let ecs = Arc::new(Ecs::new(clock.clone()));
        let sqs = Arc::new(Sqs::new(clock.clone()));
        let secrets = Arc::new(Secrets::new(clock.clone()));
        let (logs, event_sources) = (Arc::default(), Arc::default());
        let gate = Gate {
            ecs: Arc::clone(&ecs),
            sqs: Arc::clone(&sqs),
            secrets: Arc::clone(&secrets),
            logs: Arc::clone(&logs),
            event_sources: Arc::clone(&event_sources),
            answered: AtomicU64::new(0),
        };
        let endpoint = wire::serve_on(Arc::new(gate), address).await?;
        Ok(Self { ecs, sqs, secrets, logs, event_sources, endpoint, clock })
    }

    /// The same stand-ins, to serve on another port: a process with a port of its own can be told from others.
    pub fn service(&self) -> Arc<dyn Service> {
        Arc::new(Gate {
            ecs: Arc::clone(&self.ecs),
            sqs: Arc::clone(&self.sqs),
            secrets: Arc::clone(&self.secrets),
            logs: Arc::clone(&self.logs),
            event_sources: Arc::clone(&self.event_sources),
            answered: AtomicU64::new(0),
        })
    }

    /// The value for `AWS_ENDPOINT_URL`.
    pub fn url(&self) -> String {
        self.endpoint.url()
    }

    /// The faults to come.
    pub fn faults(&self) -> &Faults {
        &self.endpoint.faults
    }

    /// The calls that came in.
    pub fn calls(&self) -> &Calls {
        &self.endpoint.calls
    }

    /// The clock of these stand-ins.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The URL of a queue, for `JOB_QUEUE_URL`.
    pub fn queue_url(&self, name: &str) -> String {
        format!("{}/{ACCOUNT}/{name}", self.url())
    }

    /// The configuration for the SDK's clients in this process: one attempt per call, so that every fault shows.
    pub fn sdk_config(&self) -> SdkConfig {
        self.sdk_config_with(RetryConfig::disabled())
    }

    /// The same with other retries.
    pub fn sdk_config_with(&self, retries: RetryConfig) -> SdkConfig {
        let credentials = Credentials::new("AKIDEXAMPLE", "not-a-secret", None, None, "stand-in");
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5))
            .operation_timeout(Duration::from_secs(30))
            .build();
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .endpoint_url(self.url())
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .retry_config(retries)
            .timeout_config(timeouts)
            .build()
    }

    /// The standard variables that direct a function's process to these stand-ins.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT_URL", self.url()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "not-a-secret".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// Does what is due every `interval` of real time, for a clock that runs by itself. With a manual clock the test
    /// calls [`Ecs::settle`] after turning it, or the next request does so.
    pub fn keep_going(&self, interval: Duration) -> Ticking {
        let ecs = Arc::clone(&self.ecs);
        Ticking(tokio::spawn(async move {
            let mut ticks = tokio::time::interval(interval);
            loop {
                ticks.tick().await;
                ecs.settle();
            }
        }))
    }
}

impl fmt::Debug for Aws {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Aws").field(&self.url()).finish()
    }
}

/// Keeps doing what is due until dropped.
#[derive(Debug)]
pub struct Ticking(JoinHandle<()>);

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Dispatches each request to its service.
struct Gate {
    ecs: Arc<Ecs>,
    sqs: Arc<Sqs>,
    secrets: Arc<Secrets>,
    logs: Arc<Logs>,
    event_sources: Arc<EventSources>,
    answered: AtomicU64,
}

/// Service and operation of `x-amz-target`: `AmazonSQS.SendMessage`.
fn target(request: &Request) -> (&str, &str) {
    let target = request.headers().get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    target.split_once('.').unwrap_or((target, ""))
}

/// The caller's trace; within a function the SDK sends it.
fn trace(request: &Request) -> Option<&str> {
    request.headers().get("x-amzn-trace-id").and_then(|value| value.to_str().ok())
}

impl Service for Gate {
    fn operation(&self, request: &Request) -> String {
        match target(request).1 {
            "" => event_sources::OPERATION.to_owned(),
            operation => operation.to_owned(),
        }
    }

    fn answer<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Answer> {
        let (service, operation) = target(request);
        let mut answer = match service {
            ecs::TARGET => self.ecs.answer(operation, request.body()),
            sqs::TARGET => self.sqs.answer(operation, request.body(), trace(request)),
            secrets::TARGET => self.secrets.answer(operation, request.body()),
            logs::TARGET => self.logs.answer(operation, request.body()),
            _ if event_sources::is_asked(request) => self.event_sources.answer(),
            _ => answers::unknown_operation(),
        };
        let headers = answer.headers_mut();
        if let Some(kind) = request.headers().get(http::header::CONTENT_TYPE) {
            headers.insert(http::header::CONTENT_TYPE, kind.clone());
        }
        let number = self.answered.fetch_add(1, Ordering::Relaxed);
        let id = HeaderValue::from_str(&answers::request_id(number)).expect("digits and dashes");
        headers.insert(answers::REQUEST_ID, id);
        Box::pin(std::future::ready(answer))
    }
}
