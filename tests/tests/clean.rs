//! Stories of the cleaner: registrations that no task will use are deleted, and nothing else is touched.

use std::time::Duration;

use cleaner::clean::CleanError;
use cleaner::{Cleaner, Event};
use jitgate::clock::Clock;
use jitgate::config::FleetConfig;
use jitgate::job::RunnerId;
use jitgate_tests::aws::{answers, ecs};
use jitgate_tests::github::{self, INSTALLATION, JobSpec, ORGANIZATION, Scope};
use jitgate_tests::wire::Fault;
use jitgate_tests::world::{SECRET_ID, WEBHOOK_SECRET, World};
use serde_json::json;

const GRACE: Duration = Duration::from_mins(10);

/// An orphan born now, as a launch that died would have left it.
fn orphan(world: &World, scope: &Scope, job: u64) -> RunnerId {
    let name = format!("jit-default-{job}-1-{}", world.clock.now().unix_timestamp());
    world.github.orphan(scope, &name, &["fargate"], false)
}

fn is_there(world: &World, runner: RunnerId) -> bool {
    world.github.runner(runner).is_some()
}

#[tokio::test]
async fn an_orphan_is_deleted_after_the_grace_and_not_before() {
    let world = World::new().await;
    let orphan = orphan(&world, &Scope::org(ORGANIZATION), 1);
    world.clock.advance(GRACE);
    world.clean().await.unwrap();
    assert!(is_there(&world, orphan));
    world.clock.advance(Duration::from_secs(1));
    world.clean().await.unwrap();
    assert!(!is_there(&world, orphan));
    world.clean().await.unwrap();
    assert_eq!(world.api_calls("delete-runner"), 1, "a second pass finds nothing to do");
}

/// On the system's clock, since here the pauses between the deletions are what it is about.
#[tokio::test]
async fn deletions_that_must_wait_for_their_turn_all_get_it() {
    let world = World::on(Clock::system(), &[]).await;
    let born = world.clock.now() - GRACE * 2;
    for number in 0..16 {
        let name = format!("jit-default-{number}-1-{}", born.unix_timestamp());
        let orphan = world.github.orphan(&Scope::org(ORGANIZATION), &name, &["fargate"], false);
        world.github.connect(orphan).unwrap();
        world.github.kill(orphan);
    }
    let config = FleetConfig::from_environment(&world.environment()).unwrap();
    let cleaner = Cleaner::new(&world.aws.sdk_config(), config, world.clock.clone());
    let until = world.clock.now() + time::Duration::minutes(1);
    cleaner.handle_until(&Event::Schedule, Some(until)).await.unwrap();
    assert_eq!(world.github.runners().len(), 0, "left");
}

#[tokio::test]
async fn what_lives_is_busy_or_is_not_ours_stays() {
    let mut world = World::new().await;
    let scope = Scope::org(ORGANIZATION);
    let foreign = world.github.orphan(&scope, "build-box-1", &["fargate"], true);
    let birth = world.clock.now().unix_timestamp();
    let another_fleet = world.github.orphan(&scope, &format!("jiteu-default-1-1-{birth}"), &["fargate"], true);
    world.aws.ecs.set_pace(ecs::Pace { start: Some(Duration::from_hours(1)), ..ecs::Pace::default() });
    world.queue_and_deliver().await;
    world.work().await;
    let starting = world.github.runners().into_iter().find(|runner| runner.name.starts_with("jit-")).expect("one").id;
    let online = orphan(&world, &scope, 2);
    world.github.connect(online).unwrap();
    // Its connection is lost while it works: offline, but busy.
    world.github.behave(|behaviour| behaviour.lost_job_after = Duration::from_hours(2));
    let busy = orphan(&world, &scope, 3);
    world.queue_job();
    world.github.connect(busy).unwrap();
    world.github.take_job(busy).unwrap().expect("a job");
    world.github.kill(busy);
    world.clock.advance(GRACE + Duration::from_mins(1));
    world.clean().await.unwrap();
    for runner in [foreign, another_fleet, starting, online, busy] {
        assert!(is_there(&world, runner));
    }
    world.pass(Duration::from_secs(1));
    assert_eq!(world.api_calls("delete-runner"), 0);
}

#[tokio::test]
async fn all_organizations_are_looked_at_and_one_that_fails_does_not_stop_the_others() {
    let refuse = |operation, answer| (operation, Fault::Refuse(answer));
    for (fail, fault) in [
        ("forbidden", None),
        ("suspended", None),
        ("suspended meanwhile", Some(refuse("access-token", github::answers::suspended()))),
        ("token not to be had", Some(refuse("access-token", github::answers::server_error()))),
        ("not found", Some(refuse("list-runners", github::answers::not_found()))),
        ("refused", Some(refuse("list-runners", github::answers::forbidden()))),
        ("limited", Some(refuse("list-runners", github::answers::secondary_limit(None)))),
        ("down", Some(refuse("list-runners", github::answers::server_error()))),
        ("behind a broken proxy", Some(refuse("list-runners", github::answers::bad_gateway()))),
        ("silent", Some(("list-runners", Fault::Drop))),
    ] {
        let world = World::new().await;
        let mut orphans = vec![orphan(&world, &Scope::org(ORGANIZATION), 1)];
        for (number, login) in ["alpha", "beta", "gamma"].into_iter().enumerate() {
            world.github.add_organization(login);
            world.github.install_app(login);
            orphans.push(orphan(&world, &Scope::org(login), number as u64 + 2));
        }
        world.clock.advance(GRACE * 2);
        match (fail, fault) {
            ("forbidden", _) => world.github.grant(INSTALLATION, &[("metadata", "read"), ("actions", "read")]),
            ("suspended", _) => world.github.suspend(INSTALLATION),
            (_, fault) => {
                let (operation, fault) = fault.expect("a fault");
                world.api.faults.script(operation, fault);
            }
        }
        let outcome = world.clean().await;
        let left = orphans.iter().filter(|runner| is_there(&world, **runner)).count();
        if matches!(fail, "token not to be had" | "down" | "behind a broken proxy" | "silent") {
            assert_eq!(
                (left, outcome.is_ok()),
                (0, true),
                "{fail}: it passes within a second, and the pass is complete"
            );
            continue;
        }
        assert_eq!(left, 1, "{fail}: the other three are looked at");
        match (fail, outcome) {
            // A suspended installation is not ours to clean; everything else that fails shows.
            ("suspended", Ok(())) | (_, Err(CleanError::Incomplete(1))) => {}
            (_, outcome) => panic!("{fail}: {outcome:?}"),
        }
        if fail != "suspended" && fail != "forbidden" {
            world.clean().await.unwrap();
            assert!(orphans.iter().all(|runner| !is_there(&world, *runner)), "{fail}: the next pass makes up for it");
        }
    }
}

#[tokio::test]
async fn without_the_list_of_accounts_the_pass_fails_and_deletes_nothing() {
    for fault in
        [Fault::Refuse(github::answers::server_error()), Fault::Refuse(github::answers::bad_credentials()), Fault::Drop]
    {
        let world = World::new().await;
        let orphan = orphan(&world, &Scope::org(ORGANIZATION), 1);
        world.clock.advance(GRACE * 2);
        for _ in 0..3 {
            world.api.faults.script("list-installations", fault.clone());
        }
        assert!(matches!(world.clean().await, Err(CleanError::Incomplete(_))));
        assert!(is_there(&world, orphan));
    }
}

#[tokio::test]
async fn in_repository_scope_every_repository_of_the_installations_is_looked_at() {
    let world = World::with(&[("RUNNER_SCOPE", "repo")]).await;
    world.github.add_user("octocat");
    world.github.install_app("octocat");
    let mut orphans = Vec::new();
    for (owner, name) in [(ORGANIZATION, "one"), (ORGANIZATION, "two"), ("octocat", "hello")] {
        world.github.add_repository(owner, name);
        orphans.push(orphan(&world, &Scope::repo(owner, name), orphans.len() as u64));
    }
    world.clock.advance(GRACE * 2);
    world.clean().await.unwrap();
    assert!(orphans.iter().all(|runner| !is_there(&world, *runner)));
}

/// A personal account has no runners of its own, whatever the fleet's scope is.
#[tokio::test]
async fn a_personal_accounts_repositories_are_looked_at_in_either_scope() {
    for scope in ["org", "repo"] {
        let world = World::with(&[("RUNNER_SCOPE", scope)]).await;
        world.github.add_user("octocat");
        world.github.install_app("octocat");
        world.github.add_repository("octocat", "hello");
        let orphan = orphan(&world, &Scope::repo("octocat", "hello"), 1);
        world.clock.advance(GRACE * 2);
        world.clean().await.unwrap();
        assert!(!is_there(&world, orphan), "{scope}");
    }
}

#[tokio::test]
async fn one_repository_that_fails_does_not_stop_its_neighbours() {
    let world = World::with(&[("RUNNER_SCOPE", "repo")]).await;
    let mut orphans = Vec::new();
    for name in ["one", "two", "three"] {
        world.github.add_repository(ORGANIZATION, name);
        orphans.push(orphan(&world, &Scope::repo(ORGANIZATION, name), orphans.len() as u64));
    }
    world.clock.advance(GRACE * 2);
    world.api.faults.script("list-runners", Fault::Refuse(github::answers::forbidden()));
    assert!(matches!(world.clean().await, Err(CleanError::Incomplete(1))));
    assert_eq!(orphans.iter().filter(|runner| is_there(&world, **runner)).count(), 1);
}

#[tokio::test]
async fn accounts_and_repositories_of_any_number_are_read_a_hundred_at_a_time() {
    // Without pacing: a clock that stands still would earn no points for a deletion after so many lists.
    let world = World::with(&[("RUNNER_SCOPE", "repo"), ("GITHUB_POINTS_PER_MINUTE", "0")]).await;
    world.github.limit(|limits| limits.secondary = None);
    let last = format!("repository-{:03}", 249);
    for number in 0..250 {
        world.github.add_repository(ORGANIZATION, &format!("repository-{number:03}"));
    }
    for number in 0..120 {
        let login = format!("organization-{number:03}");
        world.github.add_organization(&login);
        world.github.install_app(&login);
    }
    world.github.add_repository("organization-119", "hello");
    let orphans = [
        orphan(&world, &Scope::repo(ORGANIZATION, &last), 1),
        orphan(&world, &Scope::repo("organization-119", "hello"), 2),
    ];
    world.clock.advance(GRACE * 2);
    world.clean().await.unwrap();
    assert!(orphans.iter().all(|runner| !is_there(&world, *runner)));
    assert_eq!(world.api_calls("list-installations"), 2);
    assert_eq!(world.api_calls("list-repositories"), 3 + 120);
    assert_eq!(world.api_calls("list-runners"), 250 + 1);
}

#[tokio::test]
async fn a_personal_access_token_covers_its_users_organizations() {
    let world = World::new().await;
    world.github.add_organization("alpha");
    world.github.add_personal_token("ghp_standin", &["admin:org", "repo"]);
    let secret = json!({ "token": "ghp_standin", "webhook_secret": WEBHOOK_SECRET });
    world.aws.secrets.put(SECRET_ID, &secret.to_string());
    let orphans = [orphan(&world, &Scope::org(ORGANIZATION), 1), orphan(&world, &Scope::org("alpha"), 2)];
    world.clock.advance(GRACE * 2);
    world.clean().await.unwrap();
    assert!(orphans.iter().all(|runner| !is_there(&world, *runner)));
}

#[tokio::test]
async fn a_refused_deletion_is_right_a_late_one_fine_and_a_failed_one_shows_after_all_others() {
    for (answer, fails) in [
        (github::answers::still_running("jit"), false),
        (github::answers::not_found(), false),
        (github::answers::forbidden(), true),
    ] {
        // Without pacing: a clock that stands still earns no points for a deletion.
        let world = World::with(&[("GITHUB_POINTS_PER_MINUTE", "0")]).await;
        for job in 0..3 {
            orphan(&world, &Scope::org(ORGANIZATION), job);
        }
        world.clock.advance(GRACE * 2);
        world.api.faults.script("delete-runner", Fault::Refuse(answer));
        let outcome = world.clean().await;
        assert_eq!(world.github.runners().len(), 1, "the others are deleted");
        match (fails, outcome) {
            (true, Err(CleanError::Incomplete(1))) | (false, Ok(())) => {}
            (_, outcome) => panic!("{outcome:?}"),
        }
    }
}

#[tokio::test]
async fn without_the_list_of_tasks_nothing_is_deleted() {
    for operation in ["ListTasks", "DescribeTasks"] {
        let world = World::new().await;
        world.queue_and_deliver().await;
        world.work().await;
        let orphan = orphan(&world, &Scope::org(ORGANIZATION), 1);
        world.clock.advance(GRACE * 2);
        world.aws.faults().script_times(operation, Fault::Refuse(answers::server_exception()), 5);
        assert!(matches!(world.clean().await, Err(CleanError::Tasks(_))), "{operation}");
        assert!(is_there(&world, orphan));
    }
}

#[tokio::test]
async fn lists_of_any_length_are_read_a_hundred_at_a_time() {
    // Without pacing: a clock that stands still would earn no points for so many deletions.
    let world = World::with(&[("GITHUB_POINTS_PER_MINUTE", "0")]).await;
    world.github.limit(|limits| limits.secondary = None);
    for job in 0..250 {
        orphan(&world, &Scope::org(ORGANIZATION), job);
    }
    for _ in 0..15 {
        for _ in 0..10 {
            let job = world.github.queue_job(JobSpec::labels(["fargate"]));
            world.deliver_queued(job).await;
        }
    }
    world.github.limit(|limits| limits.secondary = None);
    while world.live_tasks() < 150 {
        world.work().await;
        world.clock.advance(Duration::from_secs(5));
    }
    world.clock.advance(GRACE + Duration::from_mins(1));
    world.api.calls.clear();
    world.aws.calls().clear();
    world.clean().await.unwrap();
    assert_eq!(world.github.runners().len(), 150, "those with a task");
    assert_eq!(world.api_calls("list-runners"), 4);
    assert_eq!(world.aws.calls().count("ListTasks"), 5, "two pages of live ones, twice, and one of stopped ones");
    assert_eq!(world.aws.calls().count("DescribeTasks"), 4);
    assert_eq!(world.api_calls("delete-runner"), 250);
}

#[tokio::test]
async fn a_task_whose_start_nobody_heard_of_keeps_its_registration() {
    let mut world = World::new().await;
    world.aws.ecs.set_pace(ecs::Pace { start: Some(Duration::from_mins(30)), ..ecs::Pace::default() });
    let job = world.queue_and_deliver().await;
    world.aws.faults().script("RunTask", Fault::LoseAnswer);
    world.work().await;
    for _ in 0..20 {
        world.clean().await.unwrap();
        world.clock.advance(Duration::from_mins(1));
        world.work().await;
    }
    world.pass(Duration::from_mins(20));
    assert_eq!(world.github.job(job).unwrap().times_taken, 1);
    assert!(world.github.runners().is_empty());
}

/// An answer that says nothing is as good as none: the task may have been started with this registration.
#[tokio::test]
async fn an_unreadable_answer_about_a_start_costs_no_registration() {
    for body in ["", "{", "<html>", "{}", r#"{"tasks":7}"#, r#"{"tasks":["#] {
        let mut world = World::new().await;
        world.aws.ecs.set_pace(ecs::Pace { start: Some(Duration::from_mins(2)), ..ecs::Pace::default() });
        let job = world.queue_and_deliver().await;
        let answer = http::Response::builder().status(200).body(body.into()).expect("an answer");
        world.aws.faults().script("RunTask", Fault::Misreport(answer));
        world.work().await;
        assert_eq!((world.live_tasks(), world.github.runners().len()), (1, 1), "{body:?}");
        world.clean().await.unwrap();
        world.pass(Duration::from_mins(10));
        world.work().await;
        assert_eq!(world.github.job(job).unwrap().times_taken, 1, "{body:?}");
        assert_eq!(world.aws.ecs.tasks().len(), 1, "{body:?}");
    }
}
