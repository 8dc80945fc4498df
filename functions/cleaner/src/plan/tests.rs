//! One file for each kind of thing that is planned, and here what they share.

use std::collections::{HashMap, HashSet};

use jitgate::classes::RunnerClasses;
use jitgate::ecs::{TaskArn, TaskView, tag};
use jitgate::github::{Account, DeliveryAttempt, JobState, Log, Place, Runner, RunnerStatus, Scope};
use jitgate::job::{Attempt, JobId, Message, Purpose, RunnerId};
use jitgate::names::{LaunchToken, NamePrefix, RunnerOrigin};
use proptest::prelude::*;
use time::{Duration, OffsetDateTime};

use super::interval::beginning;
use super::*;

mod deliveries;
mod interval;
mod jobs;
mod links;
mod question;
mod registrations;
mod repositories;
mod tasks;
mod whole;

const NOW: OffsetDateTime = time::macros::datetime!(2026-11-01 12:00 UTC);

fn classes() -> RunnerClasses {
    RunnerClasses::parse(
        r#"[{"name":"default","labels":["l"],"task_definition":"t","subnets":["s"],"lifetime_minutes":600}]"#,
    )
    .unwrap()
}

fn runner(id: u64, name: &str, status: RunnerStatus, busy: bool) -> Runner {
    let version = (status == RunnerStatus::Online || busy).then(|| "2.338.0".to_owned());
    Runner { id: RunnerId(id), name: name.to_owned(), status, busy, version }
}

fn born(ago: Duration) -> String {
    format!("jit-default-42-1-{}", (NOW - ago).unix_timestamp())
}

fn task(started_by: &str, runner_id: Option<u64>, age: Duration) -> TaskView {
    TaskView {
        arn: TaskArn(format!("arn:{started_by}")),
        started_by: started_by.to_owned(),
        runner_id: runner_id.map(RunnerId),
        created_at: Some(NOW - age),
        repository: Some("octo-org/repo".to_owned()),
        class: Some("default".to_owned()),
        ..TaskView::default()
    }
}

fn place(runners: Vec<Runner>) -> SeenPlace {
    let account = Account { login: "Octo-Org".to_owned(), is_organization: true, repository: None, installation: None };
    let place = Place { account, scope: Scope::Organization("Octo-Org".to_owned()) };
    SeenPlace { place, runners, after_tasks: false, is_served: true }
}

fn look<T>(now: OffsetDateTime, seen: &Seen, look: impl FnOnce(World<'_>) -> T) -> T {
    let (prefix, classes) = (NamePrefix::default(), classes());
    look(World::of(now, Settings { prefix: &prefix, classes: &classes }, seen))
}

/// What was seen of one organisation.
#[derive(Clone, Debug, Default)]
struct Sight {
    runners: Vec<Runner>,
    live: Vec<TaskView>,
    live_later: Option<Vec<TaskView>>,
    stopped: Vec<TaskView>,
    lacks_stopped: bool,
    working: HashMap<String, Working>,
    waiting: Vec<Message>,
}

impl Sight {
    fn with<T>(&self, now: OffsetDateTime, plan: impl FnOnce(&World<'_>) -> T) -> T {
        let seen = Seen {
            gone: Vec::new(),
            places: vec![place(self.runners.clone())],
            live: self.live.clone(),
            stopped: self.stopped.clone(),
            lacks_stopped: self.lacks_stopped,
            working: self.working.clone(),
            waiting: self.waiting.clone(),
        };
        look(now, &seen, |mut world| {
            if let Some(live) = &self.live_later {
                world.look_again(live);
            }
            plan(&world)
        })
    }

    fn plan(&self, now: OffsetDateTime) -> Vec<Action> {
        self.with(now, plan_cleanup)
    }

    fn questions(&self, now: OffsetDateTime) -> Vec<Question> {
        self.with(now, questions)
    }

    fn questions_beside(&self, now: OffsetDateTime, on_queue: usize) -> Vec<Question> {
        self.with(now, |world| without_queued(questions(world), world, on_queue))
    }
}

/// With a second look that saw the same.
fn plan(runners: Vec<Runner>, live: &[TaskView]) -> Vec<Action> {
    let (live, live_later) = (live.to_vec(), Some(live.to_vec()));
    Sight { runners, live, live_later, ..Sight::default() }.plan(NOW)
}

const OLD: Duration = Duration::hours(2);

fn message() -> Message {
    Message::parse(
        r#"{"v":1,"job_id":42,"run_id":5,"run_attempt":1,"owner":"octo-org","owner_id":9,"repository":"repo",
            "organization":"octo-org","labels":["l"],"class":"default","created_at":"2026-11-01T11:00:00Z",
            "delivery_id":"d","attempt":1,"queued_at":1,"born_at":1}"#,
    )
    .unwrap()
}

fn over(attempt: u16, code: &str, ago: Duration) -> TaskView {
    TaskView {
        is_over: true,
        stop_code: Some(code.to_owned()),
        exit_code: Some(0),
        stopped_at: Some(NOW - ago),
        message: Some(message()),
        ..task(&format!("jit-42-{attempt}"), None, OLD)
    }
}

fn asked(runners: Vec<Runner>, live: &[TaskView], stopped: &[TaskView]) -> Vec<Question> {
    Sight { runners, live: live.to_vec(), stopped: stopped.to_vec(), ..Sight::default() }.questions(NOW)
}
