//! The Runtime API: hands out invocations one at a time and takes their outcomes.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;
use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};

use crate::aws::{ACCOUNT, REGION};
use crate::wire::{self, Answer, Request, Service, lock};

const VERSION: &str = "/2018-06-01/runtime/";

/// The outcome of an invocation.
#[derive(Debug)]
pub(super) enum Reply {
    Answer(Value),
    Error { kind: String, message: String },
}

#[derive(Debug)]
struct Invocation {
    id: String,
    event: String,
    trace: String,
    deadline: u128,
}

#[derive(Debug)]
pub(super) struct RuntimeApi {
    function: String,
    waiting: Mutex<VecDeque<Invocation>>,
    more: Notify,
    running: Mutex<HashMap<String, oneshot::Sender<Reply>>>,
    process: AtomicU64,
    asked: AtomicBool,
    first_asked: Notify,
    offered: AtomicU64,
}

impl RuntimeApi {
    pub(super) fn new(function: &str) -> Self {
        Self {
            function: function.to_owned(),
            waiting: Mutex::default(),
            more: Notify::new(),
            running: Mutex::default(),
            process: AtomicU64::new(0),
            asked: AtomicBool::new(false),
            first_asked: Notify::new(),
            offered: AtomicU64::new(0),
        }
    }

    /// Queues an invocation and returns its id.
    pub(super) fn offer(
        &self,
        event: String,
        trace: String,
        timeout: Duration,
        reply: oneshot::Sender<Reply>,
    ) -> String {
        let number = self.offered.fetch_add(1, Ordering::Relaxed);
        let id = format!("8476a536-e9f4-11e8-9739-{number:012x}");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        lock(&self.running).insert(id.clone(), reply);
        lock(&self.waiting).push_back(Invocation {
            id: id.clone(),
            event,
            trace,
            deadline: (now + timeout).as_millis(),
        });
        self.more.notify_waiters();
        id
    }

    /// Forgets an invocation, so that a later process does not get it.
    pub(super) fn withdraw(&self, id: &str) {
        lock(&self.running).remove(id);
        lock(&self.waiting).retain(|invocation| invocation.id != id);
    }

    /// Waits until the process has asked for an invocation.
    pub(super) async fn asked(&self) {
        loop {
            let first_asked = self.first_asked.notified();
            if self.asked.load(Ordering::SeqCst) {
                return;
            }
            first_asked.await;
        }
    }

    /// Call before a new process starts: requests of the previous one get no answer any more.
    pub(super) fn expect_process(&self) {
        self.process.fetch_add(1, Ordering::SeqCst);
        self.asked.store(false, Ordering::SeqCst);
    }

    async fn next(&self) -> Answer {
        self.asked.store(true, Ordering::SeqCst);
        self.first_asked.notify_waiters();
        let process = self.process.load(Ordering::SeqCst);
        loop {
            let more = self.more.notified();
            // A connection outlives its dead process for a moment and must not take the next one's invocation.
            if process == self.process.load(Ordering::SeqCst) {
                let invocation = lock(&self.waiting).pop_front();
                if let Some(invocation) = invocation {
                    return self.hand_out(invocation);
                }
            }
            more.await;
        }
    }

    fn hand_out(&self, invocation: Invocation) -> Answer {
        http::Response::builder()
            .header("content-type", "application/json")
            .header("lambda-runtime-aws-request-id", &invocation.id)
            .header("lambda-runtime-deadline-ms", invocation.deadline.to_string())
            .header(
                "lambda-runtime-invoked-function-arn",
                format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{}", self.function),
            )
            .header("lambda-runtime-trace-id", invocation.trace)
            .body(Bytes::from(invocation.event))
            .expect("ids and digits are valid headers")
    }

    fn reply(&self, id: &str, reply: Reply) -> Answer {
        let Some(sender) = lock(&self.running).remove(id) else {
            return error(400, "InvalidRequestID", "Invalid request ID");
        };
        // The receiver is gone if the caller gave up in the meantime.
        let _ = sender.send(reply);
        accepted()
    }
}

/// A request to the Runtime API.
enum Call<'a> {
    Next,
    Response(&'a str),
    Error(&'a str),
    InitError,
    Unknown,
}

fn call(request: &Request) -> Call<'_> {
    let Some(path) = request.uri().path().strip_prefix(VERSION) else { return Call::Unknown };
    match path.split('/').collect::<Vec<_>>()[..] {
        ["invocation", "next"] => Call::Next,
        ["invocation", id, "response"] => Call::Response(id),
        ["invocation", id, "error"] => Call::Error(id),
        ["init", "error"] => Call::InitError,
        _ => Call::Unknown,
    }
}

impl Service for RuntimeApi {
    fn operation(&self, request: &Request) -> String {
        let name = match call(request) {
            Call::Next => "next",
            Call::Response(_) => "response",
            Call::Error(_) => "error",
            Call::InitError => "init-error",
            Call::Unknown => "unknown",
        };
        name.to_owned()
    }

    fn answer<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let body = request.body();
            match call(request) {
                Call::Next => self.next().await,
                Call::Response(id) => match serde_json::from_slice(body) {
                    Ok(answer) => self.reply(id, Reply::Answer(answer)),
                    Err(cause) => {
                        self.reply(id, Reply::Error { kind: "Runtime.NotJson".to_owned(), message: cause.to_string() })
                    }
                },
                Call::Error(id) => self.reply(id, reported(body)),
                Call::InitError => accepted(),
                Call::Unknown => error(404, "UnknownPath", "The Runtime API has no such path"),
            }
        })
    }
}

fn reported(body: &Bytes) -> Reply {
    let error: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    Reply::Error { kind: text("errorType"), message: text("errorMessage") }
}

fn accepted() -> Answer {
    wire::json(202, &json!({ "status": "OK" }))
}

fn error(status: u16, kind: &str, message: &str) -> Answer {
    wire::json(status, &json!({ "errorType": kind, "errorMessage": message }))
}
