//! Credentials for GitHub: tokens, installations, and what happens without them.

use std::time::Duration;

use jitgate::job::InstallationId;
use jitgate_tests::github::{self, INSTALLATION};
use jitgate_tests::world::World;

#[tokio::test]
async fn one_token_an_hour_is_enough() {
    let mut world = World::new().await;
    for _ in 0..50 {
        world.queue_and_deliver().await;
        world.work().await;
        world.pass(Duration::from_mins(1));
    }
    assert_eq!(world.github.tokens_made(), 1);
    for _ in 0..20 {
        world.queue_and_deliver().await;
        world.work().await;
        world.pass(Duration::from_mins(1));
    }
    assert_eq!(world.github.tokens_made(), 2);
}

#[tokio::test]
async fn a_token_that_github_no_longer_accepts_is_renewed_once() {
    let mut world = World::new().await;
    let mut jobs = vec![world.queue_and_deliver().await];
    world.work().await;
    world.github.revoke_tokens();
    for _ in 0..4 {
        jobs.push(world.queue_and_deliver().await);
    }
    world.work().await;
    assert_eq!(world.live_tasks(), 5);
    assert_eq!(world.github.tokens_made(), 2, "one more for all four");
    world.pass(Duration::from_mins(5));
    world.assert_done(&jobs);
}

#[tokio::test]
async fn a_personal_access_token_works_in_place_of_an_app() {
    let mut world = World::new().await;
    world.use_personal_token(&["admin:org", "repo"]);
    let job = world.queue_and_deliver().await;
    world.work().await;
    assert_eq!(world.github.tokens_made(), 0);
    world.pass(Duration::from_mins(5));
    world.assert_done(&[job]);
}

#[tokio::test]
async fn an_installation_is_looked_up_where_the_delivery_names_none_or_a_wrong_one() {
    let mut world = World::new().await;
    let nameless = world.queue_job();
    let event = world.github.event(nameless, "queued").without_installation();
    assert_eq!(world.deliver(&event).await.status_code, 202);
    world.work().await;
    assert_eq!(world.live_tasks(), 1);
    let misnamed = world.queue_job();
    let event = world.github.event(misnamed, "queued").installation(InstallationId(99));
    world.worker = world.new_worker().unwrap();
    assert_eq!(world.deliver(&event).await.status_code, 202);
    world.work().await;
    assert_eq!(world.live_tasks(), 2);
    assert_eq!(world.api_calls("get-installation"), 2, "{:?}", world.api.calls.operations());
    world.pass(Duration::from_mins(5));
    world.assert_done(&[nameless, misnamed]);
}

#[tokio::test]
async fn a_denied_credential_stops_calls_and_the_jobs_wait_until_it_is_fixed() {
    let mut world = World::new().await;
    world.github.grant(INSTALLATION, &[("metadata", "read"), ("actions", "read")]);
    let mut jobs = Vec::new();
    for _ in 0..10 {
        jobs.push(world.queue_and_deliver().await);
    }
    world.work().await;
    let calls = world.api.calls.all().len();
    assert!(calls <= 2, "{:?}", world.api.calls.operations());
    world.clock.advance(Duration::from_mins(4));
    world.work().await;
    assert_eq!(world.api.calls.all().len(), calls, "no calls for a while");
    assert_eq!((world.waiting(), world.dead_letters().len()), (10, 0), "no message is given up");
    world.github.grant(INSTALLATION, &github::PERMISSIONS);
    world.clock.advance(Duration::from_mins(2));
    world.work_until_quiet().await;
    world.assert_done(&jobs);
}
