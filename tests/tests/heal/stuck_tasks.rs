//! A task keeps running although its registration is gone or its lifetime is over.

use jitgate_tests::wire::Fault;
use jitgate_tests::world::{World, runner_classes};
use serde_json::json;

use crate::{MINUTE, PASS, at_work};

#[tokio::test]
async fn a_task_whose_registration_is_gone_is_stopped_if_it_stays_gone() {
    let mut world = World::new().await;
    let (job, runner) = at_work(&mut world).await;
    // The job ends, GitHub removes the registration, and the container hangs.
    world.github.finish_job(runner, "success");
    assert!(world.github.runners().is_empty());
    world.clean().await.unwrap();
    world.stand_still(PASS);
    world.clean().await.unwrap();
    world.stand_still(PASS);
    assert_eq!(world.live_tasks(), 1, "noted");
    world.clean().await.unwrap();
    assert_eq!(world.live_tasks(), 0);
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_registration_that_a_list_skips_is_not_gone() {
    let mut world = World::new().await;
    at_work(&mut world).await;
    world.stand_still(PASS * 2);
    for _ in 0..3 {
        let nothing = jitgate_tests::wire::json(200, &json!({ "total_count": 0, "runners": [] }));
        world.api.faults.script("list-runners", Fault::Refuse(nothing));
        world.clean().await.unwrap();
        world.stand_still(PASS);
    }
    assert_eq!((world.live_tasks(), world.aws.calls().count("StopTask")), (1, 0));
    world.clean().await.unwrap();
    assert_eq!(world.aws.calls().count("UntagResource"), 1, "the note is removed");
}

#[tokio::test]
async fn a_task_lives_an_hour_longer_than_github_lets_a_job_run_even_if_its_class_says_nothing() {
    let mut world = World::new().await;
    at_work(&mut world).await;
    world.stand_still(MINUTE * 60 * 24 * 5);
    world.clean().await.unwrap();
    assert_eq!(world.live_tasks(), 1);
    world.stand_still(MINUTE * 61);
    world.clean().await.unwrap();
    assert_eq!(world.live_tasks(), 0);
}

#[tokio::test]
async fn a_task_older_than_its_class_allows_is_stopped() {
    let mut classes = runner_classes();
    classes[0]["lifetime_minutes"] = json!(60);
    let mut world = World::with(&[("RUNNER_CLASSES", &classes.to_string())]).await;
    let (job, _) = at_work(&mut world).await;
    world.stand_still(MINUTE * 60);
    world.clean().await.unwrap();
    assert_eq!(world.live_tasks(), 1);
    world.stand_still(MINUTE);
    world.clean().await.unwrap();
    world.pass(MINUTE);
    assert_eq!(world.live_tasks(), 0);
    assert_eq!(world.github.job(job).unwrap().conclusion.as_deref(), Some("cancelled"));
    assert_eq!(world.aws.ecs.tasks().len(), 1, "it is not launched again, since it had a runner");
}
