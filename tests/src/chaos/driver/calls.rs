//! Calls to services, and their answers.

use std::sync::Arc;
use std::time::Duration;

use jitgate::job::{Message, RunnerId};
use serde_json::Value;

use super::Driver;
use super::parts::{Call, Death, Event};
use crate::chaos::faults;
use crate::chaos::faults::Mishap;
use crate::chaos::turnstile::{Held, Kind, Process};
use crate::wire::Answer;

/// How long callers wait for an answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(6);

impl Driver {
    pub(super) async fn receive(&mut self, held: Held) {
        let Held { process, operation, request, service, reply } = held;
        *self.report.calls.entry(operation.clone()).or_default() += 1;
        let jobs = self.diary.jobs_in(&request);
        let (mut ordinal, mut spared, mut death, mut is_twin) = (0, false, None, false);
        let is_alive = self.invocation(process).is_some();
        if let Some(invocation) = self.invocation_mut(process) {
            invocation.calls += 1;
            (ordinal, spared, death) = (invocation.calls, invocation.spared, invocation.death);
            is_twin = jobs.first().is_some_and(|job| invocation.twins.contains(job));
        } else if let Some(twins) = self.twins_of_dead.get(&process) {
            is_twin = jobs.first().is_some_and(|job| twins.contains(job));
        }
        let (there, mut back) = self.latency(&operation);
        let mut there = there;
        let may_fail = !(spared && matches!(operation.as_str(), "SendMessage" | "GetSecretValue"));
        let mishap = (self.mishaps.happens(self.knobs.faults) && may_fail && !self.is_quiet).then(|| {
            let now = self.world.clock.now();
            faults::choose(&operation, &mut self.mishaps, now)
        });
        let mishap = mishap.or_else(|| faults::of_four(&operation, self.knobs.four_faults, &mut self.mishaps));
        let makes_copy = operation == "SendMessage"
            && matches!(mishap, Some((_, Mishap::LoseAnswer | Mishap::Late)))
            && process.kind != Kind::Webhook;
        let mishap = mishap.filter(|_| !makes_copy || jobs.first().is_some_and(|job| self.may_copy(*job)));
        if let Some((name, mishap)) = &mishap {
            self.report.fault(name);
            if let Mishap::Slow(more_there, more_back) = mishap {
                there += *more_there;
                back += *more_back;
            }
        }
        let is_late = matches!(mishap, Some((_, Mishap::Late)));
        self.serial += 1;
        let number = self.serial;
        let reply = is_alive.then_some(reply);
        let call =
            Call { process, ordinal, operation, request, service, reply, mishap, back, answer: None, jobs, is_twin };
        if death == Some(Death::Before(ordinal)) && is_alive {
            let text = format!("{process} dies before {}", call.operation);
            self.diary.note(self.now(), call.jobs, text);
            self.kill(process, "died").await;
            return;
        }
        if !is_alive && self.deaths.happens(0.5) {
            return;
        }
        self.calls.insert(number, call);
        if is_late {
            self.after(CALL_TIMEOUT, Event::Answer(number));
            there = CALL_TIMEOUT + Duration::from_millis(self.mishaps.between(1, 8000));
        }
        self.after(there, Event::Work(number));
    }

    fn latency(&mut self, operation: &str) -> (Duration, Duration) {
        if self.knobs.as_benchmarked {
            let one_way = Duration::from_millis(match operation {
                "SendMessage" | "GetSecretValue" => 5,
                "RunTask" => 90,
                _ => 60,
            });
            return (one_way, one_way);
        }
        let most = match operation {
            "SendMessage" => 15,
            "GetSecretValue" => 30,
            "RunTask" => 300,
            "DescribeTasks" | "ListTasks" | "StopTask" => 60,
            _ => 250,
        };
        let mut one_way = || Duration::from_millis(self.chance.between(most / 5, most));
        (one_way(), one_way())
    }

    pub(super) async fn work(&mut self, number: u64) {
        let Some(call) = self.calls.get(&number) else { return };
        let (process, ordinal, operation) = (call.process, call.ordinal, call.operation.clone());
        let is_done = !matches!(call.mishap, Some((_, Mishap::Refuse(_) | Mishap::Drop)));
        let mut truth = None;
        if is_done {
            let start = if operation == "RunTask" { self.prepare_task() } else { Duration::ZERO };
            let call = &self.calls[&number];
            let (service, mut request) = (Arc::clone(&call.service), call.request.clone());
            if let Some(trace) = self.trace(process) {
                request.headers_mut().insert("x-amzn-trace-id", trace);
            }
            let answer = service.answer(&request).await;
            self.witness(number, &answer, start);
            truth = Some(answer);
        }
        let now = self.now();
        let Some(call) = self.calls.get_mut(&number) else { return };
        let truth_status = truth.as_ref().map(|answer| answer.status().as_u16());
        let (heard, mishap) = match call.mishap.take() {
            None => (truth, ""),
            Some((name, Mishap::Slow(..))) => (truth, name),
            Some((name, Mishap::Refuse(answer) | Mishap::Misreport(answer))) => (Some(answer), name),
            Some((name, Mishap::Drop | Mishap::LoseAnswer | Mishap::Late)) => (None, name),
        };
        let orphan = if call.reply.is_none() { " (its caller is gone)" } else { "" };
        let text = format!(
            "{process}: {operation} {} → {} {mishap}{orphan}",
            call.request.uri().path().rsplit("/actions/").next().unwrap_or_default(),
            truth_status.map_or("not done".to_owned(), |status| status.to_string()),
        );
        self.diary.note(now, call.jobs.iter().copied(), text);
        call.answer = heard;
        let back = call.back;
        if call.reply.is_none() {
            self.calls.remove(&number);
        } else {
            self.after(back, Event::Answer(number));
        }
        if self.invocation(process).is_some_and(|invocation| invocation.death == Some(Death::After(ordinal))) {
            self.kill(process, &format!("died after {operation}")).await;
        }
    }

    /// The trace of the process's batch, which the SDK passes on to SQS.
    fn trace(&self, process: Process) -> Option<http::HeaderValue> {
        let batch = self.invocation(process)?.batch.as_ref()?;
        batch.trace().parse().ok()
    }

    pub(super) fn answer(&mut self, number: u64) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        // Without an answer the reply's sender is dropped, and the caller gets none.
        if let (Some(reply), answer) = (call.reply.take(), call.answer.take()) {
            self.stirred = true;
            let is_worked = answer.is_some() || call.mishap.is_none();
            if let Some(answer) = answer {
                let _ = reply.send(answer);
            }
            if is_worked {
                self.calls.remove(&number);
            }
        }
    }

    /// Records the effects of a call.
    fn witness(&mut self, number: u64, answer: &Answer, start: Duration) {
        let call = &self.calls[&number];
        let now = self.now();
        let is_cleaner = call.process.kind == Kind::Cleaner;
        match call.operation.as_str() {
            "generate-jitconfig" if answer.status() == 201 => {
                let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
                if let (Some(runner), Some(job)) = (body["runner"]["id"].as_u64(), call.jobs.first().copied()) {
                    self.diary.made_runner(RunnerId(runner), job);
                    self.diary.note(now, [job], format!("registered {}", body["runner"]["name"]));
                    let is_late = matches!(call.mishap, Some((_, Mishap::Late)));
                    if is_late {
                        self.judge.excuse(RunnerId(runner), "GitHub made it after the caller gave up waiting");
                    } else if call.is_twin {
                        self.judge.excuse(
                            RunnerId(runner),
                            "the worker that made it died, and a copy of its message succeeded",
                        );
                    }
                }
            }
            "RunTask" => {
                let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
                let request: Value = serde_json::from_slice(call.request.body()).unwrap_or_default();
                let (Some(task), Some(token)) = (body["tasks"][0]["taskArn"].as_str(), request["clientToken"].as_str())
                else {
                    let is_conflict = body["__type"].as_str().is_some_and(|name| name.ends_with("ConflictException"));
                    self.report.turned_away += u64::from(!is_conflict);
                    return;
                };
                let known = self.diary.job_of_task(task).is_some();
                if let Some(job) = call.jobs.first().copied().filter(|_| !known) {
                    self.diary.made_task(task, job);
                    self.diary.note(now, [job], format!("task {} of {token}", task.rsplit('/').next().unwrap_or("")));
                    self.report.tasks += 1;
                    self.launches.push(now);
                    self.launched.entry(job).or_insert(now);
                    self.report.relaunches += u64::from(!token.ends_with("-1"));
                    self.judge.started(&self.world, job, task, token);
                    self.judge.promise(job, now + start);
                    self.curse(task, start);
                }
            }
            "delete-runner" if answer.status() == 204 => {
                let id = call.request.uri().path().rsplit('/').next().and_then(|id| id.parse().ok()).map(RunnerId);
                let task = self.runners.iter().find(|(_, at_work)| Some(at_work.runner.id()) == id);
                if let Some((task, _)) = task {
                    // The runner notices when it next asks for a job.
                    let event = Event::Step(task.clone());
                    self.after(Duration::from_secs(5), event);
                }
                if let Some(id) = id.filter(|_| is_cleaner) {
                    let job = self.diary.job_of_runner(id);
                    let what = self.judge.cleaned(&self.world, id, job);
                    *self.report.cleaned.entry(what).or_default() += 1;
                }
            }
            "SendMessage" if call.process.kind == Kind::Worker => {
                self.report.deferrals += u64::from(answer.status().is_success());
                let request: Value = serde_json::from_slice(call.request.body()).unwrap_or_default();
                let delay = request["DelaySeconds"].as_u64().unwrap_or(0);
                let body = request["MessageBody"].as_str().unwrap_or_default();
                if let Ok(message) = Message::parse(body) {
                    self.judge.promise(message.job.id, now + Duration::from_secs(delay));
                    let text = format!(
                        "sent anew for {delay} s: attempt {}, {:?}, born {}, {} deferrals, backoff {}{}",
                        message.progress.attempt,
                        message.purpose,
                        message.progress.born_at.unix_timestamp(),
                        message.progress.deferrals,
                        message.progress.backoff,
                        if message.progress.unsettled { ", unsettled" } else { "" }
                    );
                    self.diary.note(now, [message.job.id], text);
                }
            }
            _ => {}
        }
    }
}
