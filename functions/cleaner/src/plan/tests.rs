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

fn repeated(log: &[DeliveryAttempt]) -> Vec<u64> {
    let log = Log { attempts: log.to_vec(), complete_since: OffsetDateTime::UNIX_EPOCH };
    plan_redeliveries(NOW, &log)
}

const NONE: [u64; 0] = [];

const OLD: Duration = Duration::hours(2);

#[test]
fn an_old_offline_registration_without_a_live_task_is_deleted() {
    let orphan = || runner(7, &born(GRACE + Duration::seconds(1)), RunnerStatus::Offline, false);
    let is_deleted = |live: &[TaskView]| {
        plan(vec![orphan()], live).iter().any(|action| matches!(action, Action::DeleteRegistration { .. }))
    };
    let over = TaskView { is_over: true, ..task("jit-42-1", Some(7), OLD) };
    assert!(is_deleted(&[]));
    assert!(is_deleted(&[over]));
    assert!(is_deleted(&[task("jit-42-1", Some(8), OLD)]), "that task runs another registration");
    assert!(is_deleted(&[task("jit-42-2", None, OLD)]));
    assert!(!is_deleted(&[task("jit-42-1", Some(7), Duration::ZERO)]));
    assert!(!is_deleted(&[task("jit-42-1", None, Duration::ZERO)]));
    let elsewhere = TaskView { repository: Some("other/repo".to_owned()), ..task("jit-43-1", Some(7), OLD) };
    assert!(!is_deleted(&[elsewhere]), "its place was not listed, and may be this one");
}

#[test]
fn nothing_young_busy_unknown_or_foreign_is_touched() {
    let old = born(OLD);
    for kept in [
        runner(7, &born(GRACE), RunnerStatus::Offline, false),
        runner(7, &born(-GRACE), RunnerStatus::Offline, false),
        runner(7, &old, RunnerStatus::Online, false),
        runner(7, &old, RunnerStatus::Unknown, false),
        runner(7, &old, RunnerStatus::Offline, true),
        runner(7, "jit-default-42-1", RunnerStatus::Offline, false),
        runner(7, "build-box", RunnerStatus::Offline, false),
        runner(7, &old.replace("jit-", "jitter-"), RunnerStatus::Offline, false),
    ] {
        assert_eq!(plan(vec![kept.clone()], &[]), [], "{kept:?}");
    }
}

#[test]
fn an_idle_runner_is_noted_first_and_retired_when_it_still_is_at_a_later_look() {
    let idle = || vec![runner(7, &born(OLD), RunnerStatus::Online, false)];
    let seen = task("jit-42-1", Some(7), OLD);
    let noted = |since| TaskView { idle_since: Some(NOW - since), ..seen.clone() };
    let note = |moment| Action::Note { task: seen.arn.clone(), key: tag::IDLE_SINCE, moment };
    assert_eq!(plan(idle(), std::slice::from_ref(&seen)), [note(Some(NOW))]);
    assert_eq!(plan(idle(), &[noted(Duration::minutes(9))]), []);
    assert!(matches!(plan(idle(), &[noted(Duration::minutes(10))])[..], [Action::Retire { .. }]));
    let busy = vec![runner(7, &born(OLD), RunnerStatus::Online, true)];
    let busy_since = Action::Note { task: seen.arn.clone(), key: tag::BUSY_SINCE, moment: Some(NOW) };
    assert_eq!(plan(busy, &[noted(Duration::hours(1))]), [busy_since], "it has a job");
    let was_busy = TaskView { busy_since: Some(NOW - Duration::hours(2)), ..noted(Duration::hours(1)) };
    assert_eq!(plan(idle(), &[was_busy]), [], "a runner has one job: it seems idle in the middle of it");
    let mut sight = Sight { runners: idle(), live: vec![noted(Duration::hours(1))], ..Sight::default() };
    sight.working.insert(born(OLD), Working { job: JobId(1), repository: "octo-org/repo".to_owned() });
    assert!(!sight.plan(NOW).iter().any(|action| matches!(action, Action::Retire { .. })), "a job says it has it");
}

#[test]
fn a_task_without_registration_is_stopped_only_if_it_stays_so() {
    let seen = task("jit-42-1", Some(7), OLD);
    let noted = |since| TaskView { gone_since: Some(NOW - since), ..seen.clone() };
    assert_eq!(plan(vec![], &[task("jit-42-1", Some(7), Duration::minutes(3))]), [], "just started");
    for seen in [task("jit-42-1", Some(7), GONE_FOR), seen.clone()] {
        assert!(matches!(plan(vec![], &[seen])[..], [Action::Note { moment: Some(_), .. }]));
    }
    assert_eq!(plan(vec![], &[noted(Duration::minutes(3))]), []);
    assert!(matches!(plan(vec![], &[noted(GONE_FOR)])[..], [Action::StopUnregistered { .. }]));
    let elsewhere = TaskView { repository: Some("other/repo".to_owned()), ..noted(OLD) };
    assert_eq!(plan(vec![], &[elsewhere]), [], "its registrations were not listed");
    let busy = vec![runner(7, &born(OLD), RunnerStatus::Online, true)];
    let note = Action::Note { task: seen.arn.clone(), key: tag::GONE_SINCE, moment: None };
    assert_eq!(plan(busy, &[noted(GONE_FOR)]), [note], "it is there again");
}

#[test]
fn a_runner_that_never_came_and_a_task_that_outlives_its_class_end() {
    let never = || vec![runner(7, &born(OLD), RunnerStatus::Offline, false)];
    assert_eq!(plan(never(), &[task("jit-42-1", Some(7), NEVER_CAME)]), []);
    assert!(matches!(
        plan(never(), &[task("jit-42-1", Some(7), NEVER_CAME + Duration::seconds(1))])[..],
        [Action::Retire { .. }]
    ));
    let busy = || vec![runner(7, &born(OLD), RunnerStatus::Online, true)];
    assert_eq!(plan(busy(), &[task("jit-42-1", Some(7), Duration::minutes(600))]), []);
    assert!(matches!(plan(busy(), &[task("jit-42-1", Some(7), Duration::minutes(601))])[..], [Action::Stop { .. }]));
    let of_no_class = |age| TaskView { class: None, ..task("jit-42-1", Some(7), age) };
    assert_eq!(plan(busy(), &[of_no_class(Duration::hours(121))]), []);
    let too_old = Duration::hours(121) + Duration::seconds(1);
    assert!(matches!(plan(busy(), &[of_no_class(too_old)])[..], [Action::Stop { .. }]));
}

#[test]
fn a_runner_is_retired_only_if_the_reason_still_holds_for_its_registration() {
    let seen = |status, busy| runner(7, &born(OLD), status, busy);
    let never_connected = seen(RunnerStatus::Offline, false);
    let (idle, busy) = (seen(RunnerStatus::Online, false), seen(RunnerStatus::Online, true));
    assert!(Useless::NeverConnected.holds(Some(&never_connected)));
    assert!(!Useless::NeverConnected.holds(Some(&idle)), "it has just connected");
    assert!(Useless::Idle.holds(Some(&idle)));
    assert!(!Useless::Idle.holds(Some(&busy)));
    for because in [Useless::NeverConnected, Useless::Idle] {
        assert!(because.holds(None), "only the task is left");
        assert!(because.words().starts_with("jitgate: "), "ECS shows it beside reasons of its own");
    }
}

fn message() -> Message {
    Message::parse(
        r#"{"v":1,"job_id":42,"run_id":5,"run_attempt":1,"owner":"octo-org","owner_id":9,"repository":"repo",
            "organization":"octo-org","labels":["l"],"class":"default","created_at":"2026-11-01T11:00:00Z",
            "delivery_id":"d","attempt":1,"queued_at":1,"born_at":1}"#,
    )
    .unwrap()
}

fn asked(runners: Vec<Runner>, live: &[TaskView], stopped: &[TaskView]) -> Vec<Question> {
    Sight { runners, live: live.to_vec(), stopped: stopped.to_vec(), ..Sight::default() }.questions(NOW)
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

#[test]
fn a_stop_before_the_job_is_asked_about_at_its_moments_and_under_the_next_attempt() {
    let after =
        |attempt, minutes| asked(vec![], &[], &[over(attempt, "TaskFailedToStart", Duration::minutes(minutes))]);
    let asked_after = |minutes| after(3, minutes);
    assert_eq!(asked_after(1), [], "the event has its time");
    assert_eq!(asked_after(3)[0].message.progress.attempt, Attempt(4));
    let causes = |minutes| asked_after(minutes).into_iter().map(|question| question.cause).collect::<Vec<_>>();
    assert_eq!((causes(3), causes(13)), (vec![Cause::FailedStart], vec![Cause::FailedStart]));
    assert_eq!((causes(9), causes(54)), (vec![Cause::StillWaiting], vec![Cause::FailedStart]), "never out of sight");
    assert_eq!(causes(56), [], "until ECS forgets it");
    let on_queue = |messages| {
        let sight = Sight { stopped: vec![over(3, "TaskFailedToStart", Duration::minutes(9))], ..Sight::default() };
        sight.questions_beside(NOW, messages).len()
    };
    assert_eq!((on_queue(0), on_queue(1)), (1, 0), "its message may be on the queue");
    let failed = || over(3, "TaskFailedToStart", Duration::minutes(3));
    let before = TaskView { message: Some(message()), ..task("jit-42-3", Some(9), Duration::minutes(6)) };
    assert_eq!(asked(vec![], &[before], &[failed()])[0].cause, Cause::FailedStart, "it stopped between the two lists");
    let later = task("jit-42-4", Some(9), Duration::minutes(1));
    assert_eq!(asked(vec![], &[later], &[failed()]), [], "it lives again");
}

#[test]
fn a_runner_that_ended_by_itself_did_a_job_unless_its_registration_is_left() {
    let causes = |runners: Vec<Runner>, minutes| {
        let ended = over(1, "EssentialContainerExited", Duration::minutes(minutes));
        let asked = asked(runners, &[], &[ended]);
        asked.into_iter().map(|question| question.cause).collect::<Vec<_>>()
    };
    assert_eq!((causes(vec![], 3), causes(vec![], 13)), (vec![Cause::Stopped], vec![]), "perhaps another one");
    let left = || vec![runner(7, &born(OLD), RunnerStatus::Offline, false)];
    assert_eq!((causes(left(), 3), causes(left(), 13)), (vec![Cause::FailedStart], vec![Cause::FailedStart]));
    let of_a_later_launch = runner(7, &born(OLD).replace("-42-1-", "-42-2-"), RunnerStatus::Offline, false);
    assert_eq!(causes(vec![of_a_later_launch], 13), []);
}

#[test]
fn a_live_task_is_asked_about_if_its_registration_is_gone_from_a_place_that_was_listed() {
    let live = TaskView { message: Some(message()), ..task("jit-42-1", Some(7), Duration::minutes(6)) };
    let found = asked(vec![], std::slice::from_ref(&live), &[]);
    assert_eq!(found.iter().map(|question| question.cause).collect::<Vec<_>>(), [Cause::Unregistered]);
    let elsewhere = TaskView { repository: Some("other/repo".to_owned()), ..live.clone() };
    assert_eq!(asked(vec![], &[elsewhere], &[]), []);
    let untagged = TaskView { runner_id: None, ..live };
    assert_eq!(asked(vec![], &[untagged], &[]), []);
}

#[test]
fn a_task_belongs_to_the_place_where_its_runner_is_registered() {
    let is_at = |scope: Scope, task: &TaskView| {
        let mut listed = place(vec![]);
        listed.place.scope = scope;
        let seen = Seen { places: vec![listed], live: vec![task.clone()], ..Seen::default() };
        // A registration is known to be gone only if its place was listed.
        look(NOW, &seen, |world| !plan_cleanup(&world).is_empty())
    };
    let organization = |login: &str| Scope::Organization(login.to_owned());
    let repository = |owner: &str, name: &str| Scope::Repository { owner: owner.to_owned(), name: name.to_owned() };
    let enterprise = || Scope::Enterprise("acme".to_owned());
    let tagged = task("jit-42-1", Some(7), OLD);
    assert!(is_at(organization("Octo-Org"), &tagged));
    assert!(!is_at(organization("repo"), &tagged));
    assert!(is_at(repository("Octo-Org", "Repo"), &tagged));
    assert!(!is_at(repository("octo-org", "other"), &tagged));
    assert!(!is_at(enterprise(), &tagged), "its owner may be a user");
    let with_message = TaskView { message: Some(message()), repository: None, ..tagged };
    assert!(is_at(organization("octo-org"), &with_message));
    assert!(is_at(enterprise(), &with_message));
    let mut of_user = message();
    of_user.job.organization = None;
    assert!(!is_at(enterprise(), &TaskView { message: Some(of_user), ..with_message }));
}

/// The plan for runners of one class that have been idle for an hour, with these notes on their tasks.
fn plan_of_idle(notes: &[fn(&mut TaskView)], busy: bool) -> Vec<Action> {
    let mut sight = Sight::default();
    for (id, note) in (1..).zip(notes) {
        let mut view = task(&format!("jit-{id}-1"), Some(id), OLD);
        view.message = Some(message());
        view.idle_since = Some(NOW - Duration::HOUR);
        note(&mut view);
        sight.runners.push(runner(id, &format!("jit-default-{id}-1-1"), RunnerStatus::Online, false));
        sight.live.push(view);
    }
    if busy {
        sight.runners.push(runner(99, "jit-default-99-1-1", RunnerStatus::Online, true));
        sight.live.push(task("jit-99-1", Some(99), OLD));
    }
    sight.live_later = Some(sight.live.clone());
    sight.plan(NOW)
}

fn probes(actions: &[Action]) -> usize {
    actions.iter().filter(|action| matches!(action, Action::Probe { .. })).count()
}

#[test]
fn where_github_assigns_no_jobs_one_idle_runner_stays_as_long_as_its_job_waits() {
    let plain: fn(&mut TaskView) = |_| ();
    let probe: fn(&mut TaskView) = |task| task.probe_since = Some(NOW - Duration::HOUR);
    let used: fn(&mut TaskView) = |task| task.busy_since = Some(NOW);
    let planned = plan_of_idle(&[plain; 20], false);
    assert_eq!((planned.len(), probes(&planned)), (20, 1), "all others are retired");
    assert_eq!(probes(&plan_of_idle(&[plain, plain], false)), 0, "two are an accident");
    assert_eq!(probes(&plan_of_idle(&[plain; 20], true)), 0, "another one has a job");
    assert_eq!(probes(&plan_of_idle(&[probe], false)), 1, "it stays");
    assert_eq!(probes(&plan_of_idle(&[probe, plain, plain, plain], false)), 1, "one is enough");
    assert_eq!(probes(&plan_of_idle(&[probe, plain, plain, plain, used], false)), 0, "another one has a job");
}

#[test]
fn a_runner_that_lost_its_connection_for_ten_minutes_is_retired_and_one_that_came_back_is_not() {
    let plan = |status, busy, offline_for: Option<i64>| {
        let mut view = task("jit-42-1", Some(7), OLD);
        view.offline_since = offline_for.map(|minutes| NOW - Duration::minutes(minutes));
        let mut runners = vec![runner(7, &born(OLD), status, busy)];
        runners[0].version = Some("2.338.0".to_owned());
        Sight { runners, live: vec![view.clone()], live_later: Some(vec![view]), ..Sight::default() }.plan(NOW)
    };
    let note = |actions: &[Action]| match actions {
        [Action::Note { key: tag::OFFLINE_SINCE, moment, .. }, ..] => Some(*moment),
        _ => None,
    };
    assert_eq!(note(&plan(RunnerStatus::Offline, false, None)), Some(Some(NOW)));
    assert_eq!(plan(RunnerStatus::Offline, false, Some(9)), []);
    assert!(matches!(
        plan(RunnerStatus::Offline, false, Some(10))[..],
        [Action::Retire { because: Useless::Hangs, .. }]
    ));
    assert_eq!(note(&plan(RunnerStatus::Online, false, Some(30))), Some(None), "it came back");
    assert_eq!(note(&plan(RunnerStatus::Offline, true, Some(30))), Some(None), "it has a job");
}

#[test]
fn a_runner_that_is_busy_is_asked_about_since_its_job_may_be_another() {
    let busy = || vec![runner(7, &born(OLD), RunnerStatus::Online, true)];
    let live =
        |minutes| [TaskView { message: Some(message()), ..task("jit-42-1", Some(7), Duration::minutes(minutes)) }];
    assert_eq!(asked(busy(), &live(6), &[]).len(), 1);
    assert_eq!(asked(busy(), &live(15), &[]), []);
    let idle = vec![runner(7, &born(OLD), RunnerStatus::Online, false)];
    assert_eq!(asked(idle, &live(6), &[]), []);
}

#[test]
fn only_a_job_that_waits_in_a_run_that_goes_on_is_launched_again_and_not_for_ever() {
    let after = |attempt, cause| Question {
        message: message().for_launch(Attempt(attempt), NOW),
        cause,
        stopped_reason: None,
        swapped: None,
        left: None,
    };
    let question = |attempt| after(attempt, Cause::FailedStart);
    let launches = |attempt| plan_repair(&question(attempt), Some(JobState::Queued), false);
    assert_eq!((launches(MOST_LAUNCHES), launches(MOST_LAUNCHES + 1)), (Repair::Relaunch, Repair::GiveUp));
    assert_eq!(plan_repair(&question(2), Some(JobState::Queued), false), Repair::Relaunch);
    assert_eq!(plan_repair(&question(2), Some(JobState::Queued), true), Repair::LeaveStuck);
    for state in [None, Some(JobState::InProgress), Some(JobState::Completed), Some(JobState::Waiting)] {
        assert_eq!(plan_repair(&question(2), state, false), Repair::None);
    }
}

#[test]
fn a_task_raises_a_question_about_its_own_job_alone() {
    let raised = |change: fn(&mut Message)| {
        let mut message = message();
        change(&mut message);
        let failed = over(1, "TaskFailedToStart", Duration::minutes(3));
        asked(vec![], &[], &[TaskView { message: Some(message), ..failed }]).len()
    };
    assert_eq!(raised(|_| {}), 1);
    assert_eq!(raised(|message| message.job.id = JobId(43)), 0, "the message is not of the task's launch");
    assert_eq!(raised(|message| message.purpose = Purpose::Warm), 0, "a warm runner has no job");
}

fn delivery(id: u64, guid: &str, ago: Duration, status_code: u16) -> DeliveryAttempt {
    let (event, action) = ("workflow_job".to_owned(), Some("queued".to_owned()));
    DeliveryAttempt {
        id,
        guid: guid.to_owned(),
        delivered_at: NOW - ago,
        redelivery: false,
        status_code,
        event,
        action,
    }
}

#[test]
fn a_delivery_is_repeated_until_one_attempt_succeeds_or_enough_have_failed() {
    let minutes = Duration::minutes;
    assert_eq!(repeated(&[delivery(1, "a", minutes(2), 503)]), [1]);
    assert_eq!(repeated(&[delivery(1, "a", Duration::seconds(30), 503)]), NONE, "give it a moment");
    let healed = [delivery(1, "a", minutes(9), 503), delivery(2, "a", minutes(5), 202)];
    assert_eq!(repeated(&healed), NONE);
    let twice = |ago| [delivery(1, "a", minutes(9), 503), delivery(2, "a", ago, 0)];
    assert_eq!(repeated(&twice(minutes(4))), NONE, "the waits grow");
    assert_eq!(repeated(&twice(minutes(5))), [2]);
    let of_a_night = |ago| {
        let began = [1000, 999, 994, 969].into_iter().enumerate();
        let attempts = began.map(|(id, ago)| delivery(u64::try_from(id).unwrap(), "a", minutes(ago), 503));
        attempts.chain([delivery(5, "a", ago, 503)]).collect::<Vec<_>>()
    };
    assert_eq!(repeated(&of_a_night(minutes(600))), NONE);
    assert_eq!(repeated(&of_a_night(minutes(640))), [5], "the last of them outlasts a night");
    let often: Vec<_> =
        (0..6).map(|id| delivery(id, "a", minutes(200 - 10 * i64::try_from(id).unwrap()), 503)).collect();
    assert_eq!(repeated(&often), NONE);
    assert_eq!(repeated(&[delivery(1, "a", LOOK_BACK, 503)]), NONE, "its job is dead by now");
    let push = DeliveryAttempt { event: "push".to_owned(), ..delivery(1, "a", minutes(5), 503) };
    assert_eq!(repeated(&[push]), NONE);
}

#[test]
fn each_pass_begins_about_a_third_of_the_list_further_on() {
    let first = |pass| {
        let mut list: Vec<_> = (0..100).collect();
        rotate(OffsetDateTime::UNIX_EPOCH + PASS_INTERVAL * pass, &mut list);
        list[0]
    };
    assert_eq!([0, 1, 2, 3].map(first), [0, 37, 74, 11]);
    assert_eq!([1, 2, 3, 7].map(|len| beginning(1, len)), [0, 1, 2, 3]);
    rotate(NOW, &mut [0; 0]);
}

fn any_runner() -> impl Strategy<Value = Runner> {
    let status = prop_oneof![Just(RunnerStatus::Online), Just(RunnerStatus::Offline), Just(RunnerStatus::Unknown)];
    let name = prop_oneof![
        (0..6_u64, 1..4_u16, -20..400_i64).prop_map(|(job, attempt, minutes)| {
            format!("jit-default-{job}-{attempt}-{}", (NOW - Duration::minutes(minutes)).unix_timestamp())
        }),
        Just("build-box".to_owned()),
        Just("jitter-default-1-1-1".to_owned()),
    ];
    (0..8_u64, name, status, any::<bool>()).prop_map(|(id, name, status, busy)| runner(id, &name, status, busy))
}

fn any_task() -> impl Strategy<Value = TaskView> {
    let note = || proptest::option::of((0..60_i64).prop_map(|minutes| NOW - Duration::minutes(minutes)));
    let started_by = prop_oneof![
        (0..6_u64, 1..4_u16).prop_map(|(job, attempt)| format!("jit-{job}-{attempt}")),
        Just("another".to_owned()),
    ];
    (started_by, proptest::option::of(0..8_u64), 0..700_i64, any::<bool>(), note(), note()).prop_map(
        |(started_by, id, minutes, is_over, idle_since, gone_since)| TaskView {
            is_over,
            idle_since,
            gone_since,
            ..task(&started_by, id, Duration::minutes(minutes))
        },
    )
}

#[test]
fn a_runner_that_never_connected_is_an_orphan_only_at_a_second_look() {
    let orphan = runner(7, &born(OLD), RunnerStatus::Offline, false);
    let mut sight = Sight { runners: vec![orphan.clone()], ..Sight::default() };
    assert_eq!(sight.plan(NOW), []);
    assert!(sight.with(NOW, needs_second_look));
    sight.live_later = Some(vec![task("jit-42-1", Some(7), Duration::ZERO)]);
    assert_eq!(sight.plan(NOW), [], "its task was not listed yet");
    sight.live_later = Some(vec![]);
    assert_eq!(sight.plan(NOW).len(), 1);
    let was_there = Runner { version: Some("2.338.0".to_owned()), ..orphan };
    let sight = Sight { runners: vec![was_there.clone()], ..Sight::default() };
    assert_eq!(sight.plan(NOW).len(), 1, "its task was listed long ago");
    assert!(!sight.with(NOW, needs_second_look));
    let places = vec![SeenPlace { after_tasks: true, ..place(vec![was_there]) }];
    look(NOW, &Seen { places, ..Seen::default() }, |world| {
        assert_eq!(plan_cleanup(&world), [], "its task may have started after the tasks were listed");
        assert!(needs_second_look(&world));
    });
}

#[test]
fn a_job_that_github_lists_is_asked_about_unless_its_task_is_on_its_way() {
    let waiting = |minutes| {
        let created_at = NOW - Duration::minutes(minutes);
        let mut message = message();
        message.job.created_at = created_at;
        vec![message]
    };
    let asked = |minutes, live: &[TaskView], stopped: &[TaskView]| {
        let (live, stopped) = (live.to_vec(), stopped.to_vec());
        Sight { waiting: waiting(minutes), live, stopped, ..Sight::default() }.questions(NOW)
    };
    assert_eq!(asked(4, &[], &[]), [], "its delivery may be on its way");
    for minutes in (5..90).step_by(5).chain((240..300).step_by(5)).chain((960..1020).step_by(5)) {
        let found = asked(minutes, &[], &[]);
        assert_eq!((found[0].cause, found[0].message.progress.attempt), (Cause::Untold, Attempt(1)), "{minutes}");
    }
    assert_eq!(asked(120, &[], &[]), [], "it may have been given up");
    assert_eq!(asked(6, &[task("jit-42-1", Some(7), Duration::ZERO)], &[]), []);
    let ended = over(2, "EssentialContainerExited", Duration::minutes(21));
    let again = asked(90, &[], &[ended]);
    assert_eq!((again[0].cause, again[0].message.progress.attempt), (Cause::Stopped, Attempt(3)));
}

#[test]
fn jobs_whose_messages_may_be_on_the_queue_get_no_second_one() {
    let question = |cause| Question { message: message(), cause, stopped_reason: None, swapped: None, left: None };
    let asked = [Cause::Untold, Cause::Stopped, Cause::StillWaiting].map(question).to_vec();
    let waiting = vec![message(); 2];
    let sight = Sight { waiting, ..Sight::default() };
    let causes = |on_queue| {
        let left = sight.with(NOW, |world| without_queued(asked.clone(), world, on_queue));
        left.iter().map(|each| each.cause).collect::<Vec<_>>()
    };
    assert_eq!(causes(1), [Cause::Untold, Cause::Stopped, Cause::StillWaiting], "one at least is lost");
    assert_eq!(causes(2), [Cause::Stopped]);
}

#[test]
fn a_job_on_a_runner_of_another_place_says_nothing_about_one_with_the_same_id() {
    let at = |login: &str, name: &str| {
        let mut seen = place(vec![runner(7, name, RunnerStatus::Online, false)]);
        seen.place.scope = Scope::Organization(login.to_owned());
        seen
    };
    let (ours, others) = (born(OLD), born(OLD).replace("-42-", "-43-"));
    let places = vec![at("octo-org", &ours), at("other", &others)];
    let live = vec![TaskView { idle_since: Some(NOW - OLD), ..task("jit-42-1", Some(7), OLD) }];
    let working = HashMap::from([(others, Working { job: JobId(43), repository: "other/repo".to_owned() })]);
    let seen = Seen { places, live, working, ..Seen::default() };
    let actions = look(NOW, &seen, |world| plan_cleanup(&world));
    assert!(actions.iter().any(|action| matches!(action, Action::Retire { place: 0, .. })), "{actions:?}");
}

#[test]
fn the_job_on_a_swapped_runner_is_named_where_it_names_its_runner() {
    let busy = vec![runner(7, &born(OLD), RunnerStatus::Online, true)];
    let live = vec![TaskView { message: Some(message()), ..task("jit-42-1", Some(7), Duration::minutes(6)) }];
    let mut sight = Sight { runners: busy, live, ..Sight::default() };
    let working = |job| Working { job: JobId(job), repository: "octo-org/other".to_owned() };
    sight.working.insert(born(OLD), working(99));
    let questions = sight.questions(NOW);
    assert_eq!(questions[0].swapped, Some(working(99)));
    sight.working.insert(born(OLD), working(42));
    assert_eq!(sight.questions(NOW), [], "it has its own job");
}

#[test]
fn nothing_is_repeated_of_which_a_success_may_be_missing() {
    let attempts = vec![delivery(1, "a", Duration::minutes(9), 503)];
    let log = |complete_since| Log { attempts: attempts.clone(), complete_since };
    assert_eq!(plan_redeliveries(NOW, &log(NOW - Duration::minutes(10))), [1]);
    assert_eq!(plan_redeliveries(NOW, &log(NOW - Duration::minutes(8))), NONE);
    assert_eq!(candidates(NOW, &attempts), Some(NOW - Duration::minutes(9)));
    assert_eq!(candidates(NOW, &[]), None);
}

/// What the world is like once the actions are done.
fn after(sight: &Sight, actions: &[Action]) -> Sight {
    let mut sight = sight.clone();
    for action in actions {
        match action {
            Action::DeleteRegistration { id, name, .. } => {
                sight.runners.retain(|runner| runner.id != *id || runner.name != *name);
            }
            // A probe whose job is gone.
            Action::Retire { id, task, .. } | Action::Probe { id, task, .. } => {
                sight.runners.retain(|runner| runner.id != *id);
                sight.live.retain(|seen| seen.arn != *task);
            }
            Action::StopUnregistered { task, .. } | Action::Stop { task, .. } => {
                sight.live.retain(|seen| seen.arn != *task);
            }
            Action::Note { task, key, moment } => {
                for seen in sight.live.iter_mut().filter(|seen| seen.arn == *task) {
                    match *key {
                        tag::IDLE_SINCE => seen.idle_since = *moment,
                        tag::BUSY_SINCE => seen.busy_since = *moment,
                        tag::GONE_SINCE => seen.gone_since = *moment,
                        tag::OFFLINE_SINCE => seen.offline_since = *moment,
                        other => panic!("what is {other}?"),
                    }
                }
            }
        }
    }
    sight.live_later = Some(sight.live.clone());
    sight
}

/// As GitHub and ECS have it: ids are unique, and no two tasks run one registration.
fn any_sight() -> impl Strategy<Value = Sight> {
    let runners = proptest::collection::vec(any_runner(), 0..8);
    let live = proptest::collection::vec(any_task(), 0..8);
    let working = proptest::collection::hash_set(0..8_u64, 0..3);
    (runners, live, working).prop_map(|(mut runners, mut live, working)| {
        let (mut ids, mut arns, mut run) = (HashSet::new(), HashSet::new(), HashSet::new());
        runners.retain(|runner| ids.insert(runner.id));
        live.retain(|task| arns.insert(task.arn.clone()) && task.runner_id.is_none_or(|id| run.insert(id)));
        let job = |id| Working { job: JobId(id), repository: "octo-org/repo".to_owned() };
        let working = runners.iter().filter(|runner| working.contains(&runner.id.0));
        let working = working.map(|runner| (runner.name.clone(), job(runner.id.0))).collect();
        Sight { runners, live_later: Some(live.clone()), live, working, ..Sight::default() }
    })
}

proptest! {
    #[test]
    fn every_element_of_a_list_comes_first_in_turn(first in 0..10_000_usize, len in 1..200_usize) {
        let beginnings: HashSet<_> = (first..first + len).map(|pass| beginning(pass, len)).collect();
        prop_assert_eq!(beginnings.len(), len);
        prop_assert!(beginnings.iter().all(|beginning| *beginning < len));
    }

    #[test]
    fn nothing_busy_young_unknown_or_without_our_prefix_is_ever_touched(sight in any_sight()) {
        for action in sight.plan(NOW) {
            let runner = |id: RunnerId| sight.runners.iter().find(|runner| runner.id == id);
            let ours = |task: &TaskArn, id: Option<RunnerId>| sight.live.iter().any(|seen| {
                seen.arn == *task && !seen.is_over && seen.runner_id.is_some() && id.is_none_or(|id| seen.runner_id == Some(id))
            });
            match action {
                Action::DeleteRegistration { name, id, .. } => {
                    let runner = runner(id).expect("one that was seen");
                    prop_assert!(name.starts_with("jit-default-") && runner.name == name);
                    prop_assert!(runner.status == RunnerStatus::Offline && !runner.busy);
                    let born_at = name.rsplit('-').next().unwrap().parse().unwrap();
                    prop_assert!(NOW - OffsetDateTime::from_unix_timestamp(born_at).unwrap() > GRACE);
                    let runs_it = |seen: &TaskView| !seen.is_over && seen.runner_id == Some(id);
                    prop_assert!(!sight.live.iter().any(runs_it));
                }
                Action::StopUnregistered { id, task, .. } => {
                    prop_assert!(runner(id).is_none() && ours(&task, Some(id)));
                }
                Action::Retire { id, task, .. } | Action::Probe { id, task, .. } => {
                    let runner = runner(id).expect("one that was seen");
                    prop_assert!(!runner.busy && runner.status != RunnerStatus::Unknown);
                    prop_assert!(ours(&task, Some(id)));
                    prop_assert!(runner.never_connected() || !sight.working.contains_key(&runner.name));
                }
                Action::Note { task, .. } => prop_assert!(ours(&task, None)),
                // Only for a lifetime, busy or not.
                Action::Stop { task, .. } => {
                    prop_assert!(ours(&task, None));
                    let seen = sight.live.iter().find(|seen| seen.arn == task).expect("one that was seen");
                    prop_assert!(NOW - seen.created_at.unwrap() > Duration::minutes(600));
                }
            }
        }
    }

    #[test]
    fn planning_again_changes_nothing_more(sight in any_sight()) {
        let done = after(&sight, &sight.plan(NOW));
        let again = done.plan(NOW);
        // A task that was stopped leaves its registration without a task: an orphan, and the only thing that is new.
        let is_consequence = |action: &Action| matches!(action, Action::DeleteRegistration { .. });
        prop_assert!(again.iter().all(is_consequence), "{again:?}");
        prop_assert_eq!(after(&done, &again).plan(NOW), []);
    }

    #[test]
    fn every_orphan_is_gone_after_at_most_two_passes(sight in any_sight()) {
        let is_orphan = |sight: &Sight, runner: &Runner| {
            let old = RunnerOrigin::parse(&NamePrefix::default(), &runner.name)
                .is_some_and(|origin| NOW - origin.born_at > GRACE);
            let launch = RunnerOrigin::parse(&NamePrefix::default(), &runner.name).map(|origin| (origin.job_id, origin.attempt));
            let lives = sight.live.iter().any(|task| !task.is_over && match task.runner_id {
                Some(id) => id == runner.id,
                None => LaunchToken::parse(&NamePrefix::default(), &task.started_by) == launch,
            });
            old && runner.status == RunnerStatus::Offline && !runner.busy && !lives
        };
        let later = NOW + Duration::minutes(5);
        let first = after(&sight, &sight.plan(NOW));
        let second = after(&first, &first.plan(later));
        prop_assert!(!second.runners.iter().any(|runner| is_orphan(&sight, runner)));
        // The same for a task whose registration is gone, from the second look that finds it so.
        let is_ghost = |task: &TaskView| {
            let id = task.runner_id;
            !task.is_over && id.is_some() && !sight.runners.iter().any(|runner| Some(runner.id) == id)
                && NOW - task.created_at.unwrap() > GRACE
        };
        prop_assert!(!second.live.iter().any(is_ghost));
    }
}
