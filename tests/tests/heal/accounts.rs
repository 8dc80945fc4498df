//! Which accounts and repositories a pass covers, and what it does when one of them fails.

use cleaner::CleanError;
use jitgate_tests::github::{self, INSTALLATION, JobStatus, ORGANIZATION, Scope};
use jitgate_tests::wire::Fault;
use jitgate_tests::world::World;

use crate::{BAD_IMAGE, GRACE, PASS, is_there};

#[tokio::test]
async fn all_organizations_are_covered_and_one_that_fails_does_not_stop_the_others() {
    let refuse = |operation, answer| (operation, Fault::Refuse(answer));
    for (fail, fault) in [
        ("forbidden", None),
        ("suspended", None),
        ("suspended meanwhile", Some(refuse("access-token", github::answers::suspended()))),
        ("no token", Some(refuse("access-token", github::answers::server_error()))),
        ("not found", Some(refuse("list-runners", github::answers::not_found()))),
        ("refused", Some(refuse("list-runners", github::answers::forbidden()))),
        ("odd", Some(refuse("list-runners", github::answers::validation_failed(&["nobody knows why"])))),
        ("limited", Some(refuse("list-runners", github::answers::secondary_limit(None)))),
        ("down", Some(refuse("list-runners", github::answers::server_error()))),
        ("behind a broken proxy", Some(refuse("list-runners", github::answers::bad_gateway()))),
        ("silent", Some(("list-runners", Fault::Drop))),
    ] {
        let mut world = World::new().await;
        let mut orphans = vec![world.orphan(&Scope::org(ORGANIZATION), 1)];
        for (number, login) in ["alpha", "beta", "gamma"].into_iter().enumerate() {
            world.github.add_organization(login);
            world.github.install_app(login);
            orphans.push(world.orphan(&Scope::org(login), number as u64 + 2));
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
        if fail == "odd" {
            world.let_github_talk_nonsense();
        }
        let outcome = world.clean().await;
        let left = orphans.iter().filter(|runner| is_there(&world, **runner)).count();
        if matches!(fail, "no token" | "not found" | "refused" | "down" | "behind a broken proxy" | "silent") {
            assert_eq!((left, outcome.is_ok()), (0, true), "{fail}: the call is repeated, and the pass is complete");
            continue;
        }
        assert_eq!(left, 1, "{fail}: the other three are cleaned");
        match (fail, outcome) {
            // A suspended installation is skipped; any other failure is reported.
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
        let orphan = world.orphan(&Scope::org(ORGANIZATION), 1);
        world.clock.advance(GRACE * 2);
        for _ in 0..3 {
            world.api.faults.script("list-installations", fault.clone());
        }
        assert!(matches!(world.clean().await, Err(CleanError::Incomplete(_))));
        assert!(is_there(&world, orphan));
    }
}

#[tokio::test]
async fn without_the_list_of_accounts_failed_starts_are_still_healed() {
    let mut world = World::new().await;
    world.aws.ecs.fail_next_start(BAD_IMAGE);
    let job = world.queue_and_deliver().await;
    world.work().await;
    world.pass(PASS);
    for _ in 0..3 {
        world.api.faults.script("list-installations", Fault::Refuse(github::answers::unavailable()));
    }
    assert!(matches!(world.clean().await, Err(CleanError::Incomplete(1))));
    assert_eq!(world.waiting(), 1);
    world.work_until_quiet().await;
    assert_eq!(world.github.job(job).unwrap().status, JobStatus::Completed);
}

#[tokio::test]
async fn in_repository_scope_every_repository_of_the_installations_is_covered() {
    let world = World::with(&[("RUNNER_SCOPE", "repo")]).await;
    world.github.add_user("octocat");
    world.github.install_app("octocat");
    let mut orphans = Vec::new();
    for (owner, name) in [(ORGANIZATION, "one"), (ORGANIZATION, "two"), ("octocat", "hello")] {
        world.github.add_repository(owner, name);
        orphans.push(world.orphan(&Scope::repo(owner, name), orphans.len() as u64));
    }
    world.clock.advance(GRACE * 2);
    world.clean().await.unwrap();
    assert!(orphans.iter().all(|runner| !is_there(&world, *runner)));
}

/// A personal account has no runners of its own, whatever `RUNNER_SCOPE` is.
#[tokio::test]
async fn a_personal_accounts_repositories_are_covered_in_either_scope() {
    for scope in ["org", "repo"] {
        let world = World::with(&[("RUNNER_SCOPE", scope)]).await;
        world.github.add_user("octocat");
        world.github.install_app("octocat");
        world.github.add_repository("octocat", "hello");
        let orphan = world.orphan(&Scope::repo("octocat", "hello"), 1);
        world.clock.advance(GRACE * 2);
        world.clean().await.unwrap();
        assert!(!is_there(&world, orphan), "{scope}");
    }
}

#[tokio::test]
async fn one_repository_that_fails_does_not_stop_its_neighbours() {
    let mut world = World::with(&[("RUNNER_SCOPE", "repo")]).await;
    world.let_github_talk_nonsense();
    let mut orphans = Vec::new();
    for name in ["one", "two", "three"] {
        world.github.add_repository(ORGANIZATION, name);
        orphans.push(world.orphan(&Scope::repo(ORGANIZATION, name), orphans.len() as u64));
    }
    world.clock.advance(GRACE * 2);
    let odd = github::answers::validation_failed(&["nobody knows why"]);
    world.api.faults.script("list-runners", Fault::Refuse(odd));
    assert!(matches!(world.clean().await, Err(CleanError::Incomplete(1))));
    assert_eq!(orphans.iter().filter(|runner| is_there(&world, **runner)).count(), 1);
}

#[tokio::test]
async fn accounts_and_repositories_of_any_number_are_read_a_hundred_at_a_time() {
    // Without pacing: while the clock stands still, the pacer earns no points for a deletion after so many lists.
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
        world.orphan(&Scope::repo(ORGANIZATION, &last), 1),
        world.orphan(&Scope::repo("organization-119", "hello"), 2),
    ];
    world.clock.advance(GRACE * 2);
    world.clean().await.unwrap();
    assert_eq!(world.api_calls("list-installations"), 2);
    assert_eq!(world.api_calls("list-repositories"), 3 + 120);
    assert_eq!(world.api_calls("list-runners"), 40 + 1, "of the large account some repositories");
    for _ in 0..6 {
        world.clock.advance(PASS);
        world.clean().await.unwrap();
    }
    assert!(orphans.iter().all(|runner| !is_there(&world, *runner)), "each had its turn");
}

#[tokio::test]
async fn a_personal_access_token_covers_its_users_organizations() {
    let world = World::new().await;
    world.github.add_organization("alpha");
    world.use_personal_token(&["admin:org", "repo"]);
    let orphans = [world.orphan(&Scope::org(ORGANIZATION), 1), world.orphan(&Scope::org("alpha"), 2)];
    world.clock.advance(GRACE * 2);
    world.clean().await.unwrap();
    assert!(orphans.iter().all(|runner| !is_there(&world, *runner)));
}

#[tokio::test]
async fn with_a_token_and_repository_scope_the_repositories_of_tasks_are_cleaned() {
    let mut world = World::with(&[("RUNNER_SCOPE", "repo")]).await;
    world.use_personal_token(&["admin:org", "repo"]);
    world.queue_and_deliver().await;
    world.work().await;
    let orphan = world.orphan(&Scope::repo(ORGANIZATION, "octo-repo"), 1);
    world.pass(PASS * 3);
    world.clean().await.unwrap();
    assert!(world.github.runner(orphan).is_none());
}
