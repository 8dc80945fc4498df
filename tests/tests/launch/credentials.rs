//! Credentials for GitHub: tokens, installations, and what happens without them.

use std::time::Duration;

use jitgate::job::InstallationId;
use jitgate_tests::aws::answers;
use jitgate_tests::github::{self, INSTALLATION};
use jitgate_tests::logs::logged;
use jitgate_tests::wire::{Answer, Fault};
use jitgate_tests::world::{DEAD_LETTER_QUEUE, JOB_QUEUE, World};

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

/// Works every second, as the event source does.
async fn work_for(world: &mut World, time: Duration) {
    for _ in 0..time.as_secs() {
        world.work().await;
        world.clock.advance(Duration::from_secs(1));
    }
}

/// A new token takes seconds to reach all of GitHub's servers: until then some do not know it, some do not know what it may do.
#[tokio::test]
async fn a_new_token_that_some_servers_do_not_know_yet_costs_no_more_than_its_way() {
    for answers in [vec![403], vec![401], vec![404], vec![401, 403, 200, 404], vec![200, 403], vec![200, 401]] {
        for lag in [0, 1, 5, 30] {
            let mut world = World::new().await;
            world.github.behave(|behaviour| {
                behaviour.token_lag = Duration::from_secs(lag);
                behaviour.lag_answers.clone_from(&answers);
            });
            let mut jobs = Vec::new();
            for _ in 0..10 {
                jobs.push(world.queue_and_deliver().await);
            }
            let ((), said) = logged(work_for(&mut world, Duration::from_secs(lag + 10))).await;
            assert!(!said.contains("until this is mended"), "{answers:?} for {lag} s: {said}");
            assert_eq!(world.live_tasks(), 10, "{answers:?} for {lag} s: {:?}", world.api.calls.operations());
            assert_eq!(world.github.tokens_made(), 1, "{answers:?} for {lag} s: another one would be as new again");
            world.pass(Duration::from_mins(5));
            world.assert_done(&jobs);
        }
    }
}

#[tokio::test]
async fn a_refusal_that_outlasts_the_tokens_first_minute_is_a_denial() {
    for answer in [401, 403, 404] {
        let mut world = World::new().await;
        world.github.behave(|behaviour| {
            behaviour.token_lag = Duration::from_mins(50);
            behaviour.lag_answers = vec![answer];
        });
        let job = world.queue_and_deliver().await;
        work_for(&mut world, Duration::from_secs(80)).await;
        let calls = world.api.calls.all().len();
        work_for(&mut world, Duration::from_mins(3)).await;
        assert_eq!(world.api.calls.all().len(), calls, "{answer}: the denial is remembered");
        assert!(calls < 60, "{answer}: {calls} calls in its first minute");
        world.github.behave(|behaviour| behaviour.token_lag = Duration::ZERO);
        work_for(&mut world, Duration::from_mins(6)).await;
        world.pass(Duration::from_mins(5));
        world.assert_done(&[job]);
    }
}

#[tokio::test]
async fn a_token_that_github_no_longer_accepts_is_renewed_once() {
    let mut world = World::new().await;
    let mut jobs = vec![world.queue_and_deliver().await];
    world.work().await;
    // A token that is refused earlier may only be new.
    world.pass(Duration::from_mins(2));
    world.github.revoke_tokens();
    for _ in 0..4 {
        jobs.push(world.queue_and_deliver().await);
    }
    world.work().await;
    assert_eq!(world.live_tasks(), 4);
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

/// ECS may quote what it refuses, whole or cut off.
#[tokio::test]
async fn a_jit_config_that_ecs_quotes_back_shows_nowhere() {
    type Quote = fn(&str) -> String;
    let quotes: [Quote; 4] = [
        |config| format!("Invalid value '{config}' of JITCONFIG"),
        |config| format!("Invalid value '{}...' of JITCONFIG", &config[..config.len() / 2]),
        |config| format!("Invalid environment: name=ACTIONS_RUNNER_INPUT_JITCONFIG,value={}", &config[40..200]),
        |config| format!("Overrides length must be at most 8192, and this has {config}{config}"),
    ];
    let answers: [fn(&str) -> Answer; 3] = [answers::client_exception, answers::invalid_parameter, answers::failure];
    for quote in quotes {
        for answer in answers {
            let world = World::new().await;
            world.queue_and_deliver().await;
            let github = world.github.clone();
            world.aws.faults().choose(Box::new(move |operation| {
                let runner = (operation == "RunTask").then(|| github.runners().pop())??;
                Some(Fault::Refuse(answer(&quote(&github.config_of(runner.id)?))))
            }));
            let ((), log) = logged(world.work()).await;
            let config = world.aws.calls().all().into_iter().find(|call| call.operation == "RunTask").expect("a call");
            let request: serde_json::Value = serde_json::from_str(&config.body).expect("JSON");
            let environment = &request["overrides"]["containerOverrides"][0]["environment"];
            let config = environment[0]["value"].as_str().expect("a config");
            let queues = [JOB_QUEUE, DEAD_LETTER_QUEUE].map(|queue| format!("{:?}", world.aws.sqs.messages(queue)));
            assert!(log.contains("ECS"), "{log}");
            let pieces: Vec<_> = config.as_bytes().chunks(24).map(String::from_utf8_lossy).collect();
            for place in queues.iter().chain([&log]) {
                let shown = pieces.iter().find(|piece| place.contains(&***piece));
                assert!(shown.is_none(), "{shown:?} shows in {place}");
            }
        }
    }
}
