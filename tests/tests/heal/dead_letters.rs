//! A job that waits to its end leaves one dead letter, and the letter names the cause.

use std::time::Duration;

use jitgate_tests::aws::ecs;
use jitgate_tests::github::{JobSpec, ORGANIZATION, Scope};
use jitgate_tests::world::{World, runner_classes};

use crate::incidents::{START, live_in_steps, queue};
use crate::{BAD_IMAGE, MINUTE, SCOPES, long};

/// How often passes come here, so that a day takes no longer than it must.
const STEP: Duration = Duration::from_mins(15);

/// GitHub gives a job's runners no job for as long as the job waits. Returns what was logged, and the reason on the job's
/// only dead letter.
async fn unused_for_a_day(world: &mut World) -> (String, String) {
    world.start_tasks_after(START);
    let jobs = queue(world, 1).await;
    let said = live_in_steps(world, MINUTE * 60 * 25, STEP).await;
    assert_eq!(world.aws.ecs.tasks().len(), 4);
    assert_eq!(world.github.job(jobs[0]).expect("a job").times_taken, 0);
    let mut letters = world.dead_letters();
    assert_eq!(letters.len(), 1, "{letters:?}");
    (said, letters.remove(0))
}

#[tokio::test]
async fn a_runner_that_never_gets_its_job_is_tried_four_times_in_a_day() {
    for settings in SCOPES {
        let mut world = long(settings).await;
        world.github.behave(|behaviour| behaviour.dispatches = false);
        let (said, letter) = unused_for_a_day(&mut world).await;
        assert!(letter.contains("runners without a job: 4; "), "{settings:?}: {letter}");
        assert!(!said.contains("does not admit"), "{settings:?}");
        // A repository's own runners have no group.
        let has_group = !letter.ends_with("jitgate: its runner has no job");
        assert_eq!(has_group, settings != SCOPES[1], "{settings:?}: {letter}");
        assert_eq!(world.api_calls("list-runner-groups") > 0, has_group, "{settings:?}");
    }
}

const CLOSED: &str = "GitHub gives its runners no job: their runner group does not admit the repository";

/// A class with its runners in the second group.
fn classes_of_group(by_name: bool, is_public: bool) -> String {
    let mut classes = runner_classes();
    classes[0].as_object_mut().expect("a class").remove("runner_group_id");
    let (key, group) = if by_name { ("runner_group", "builds".into()) } else { ("runner_group_id", 2.into()) };
    classes[0][key] = group;
    classes[0]["public_repositories"] = is_public.into();
    classes.to_string()
}

/// Adds the second group, which is closed to public repositories, or to all but one.
fn close_group(world: &World, is_public: bool) {
    let organization = Scope::org(ORGANIZATION);
    let elsewhere = ["rockets"];
    let group = world.github.add_runner_group(&organization, "Builds", (!is_public).then_some(&elsewhere[..]));
    if is_public {
        world.github.close_to_public(&organization, group);
        world.github.publish(ORGANIZATION, "octo-repo");
    }
}

#[tokio::test]
async fn a_runner_group_that_does_not_admit_the_repository_is_named_after_the_second_runner() {
    for (by_name, is_public) in [(false, true), (true, false)] {
        let mut world = World::with(&[("RUNNER_CLASSES", &classes_of_group(by_name, is_public))]).await;
        close_group(&world, is_public);
        world.start_tasks_after(START);
        queue(&world, 1).await;
        let said = live_in_steps(&mut world, MINUTE * 50, MINUTE).await;
        assert_eq!((world.aws.ecs.tasks().len(), said.contains(CLOSED)), (2, true), "{by_name} {is_public}");
    }
}

#[tokio::test]
async fn an_enterprises_runner_group_that_does_not_admit_the_organization_is_named_as_well() {
    let classes = classes_of_group(false, false);
    let mut world = long(&[SCOPES[2], &[("RUNNER_CLASSES", &classes)]].concat()).await;
    world.github.add_runner_group(&Scope::enterprise("octo-corp"), "Builds", Some(&["octo-labs"]));
    world.start_tasks_after(START);
    queue(&world, 1).await;
    let said = live_in_steps(&mut world, MINUTE * 50, MINUTE).await;
    assert_eq!((world.aws.ecs.tasks().len(), said.contains(CLOSED)), (2, true));
}

#[tokio::test]
async fn a_runner_group_that_does_not_admit_the_repository_stands_on_the_dead_letter() {
    let mut world = long(&[("RUNNER_CLASSES", &classes_of_group(false, false))]).await;
    close_group(&world, false);
    let (_, letter) = unused_for_a_day(&mut world).await;
    assert!(letter.ends_with(&format!("runners without a job: 4; {CLOSED}")), "{letter}");
}

#[tokio::test]
async fn a_job_leaves_one_dead_letter_whatever_passes_events_and_messages_do_at_once() {
    let mut world = long(&[]).await;
    world.start_tasks_after(START);
    world.aws.ecs.fail_starts(Some(BAD_IMAGE));
    let jobs = queue(&world, 2).await;
    assert_eq!(world.deliver_queued(jobs[0]).await.status_code, 202, "GitHub announces it twice");
    for _ in 0..25 * 4 {
        world.work().await;
        let (healed, ..) = tokio::join!(world.heal(), world.clean(), world.clean());
        healed.expect("an event that is handled");
        world.pass(STEP);
    }
    let letters = world.dead_letters();
    assert_eq!(letters.len(), jobs.len(), "{letters:?}");
    assert!(letters.iter().all(|letter| letter.ends_with(BAD_IMAGE)), "{letters:?}");
}

#[tokio::test]
async fn a_job_told_twice_that_finds_no_capacity_all_day_leaves_one_dead_letter() {
    let mut world = long(&[]).await;
    world.aws.ecs.set_limit(ecs::Provider::OnDemand, ecs::Limit::exhausted());
    let job = queue(&world, 1).await.remove(0);
    world.work().await;
    world.pass(Duration::from_secs(5));
    assert_eq!(world.deliver_queued(job).await.status_code, 202, "GitHub announces it twice");
    live_in_steps(&mut world, MINUTE * 60 * 25, STEP).await;
    let letters = world.dead_letters();
    assert_eq!(letters.len(), 1, "{letters:?}");
}

#[tokio::test]
async fn a_retry_whose_event_was_lost_goes_on_however_many_messages_wait() {
    let mut world = World::new().await;
    world.start_tasks_after(START);
    world.aws.ecs.fail_starts(Some(BAD_IMAGE));
    let job = queue(&world, 1).await.remove(0);
    for is_lost in [false, true] {
        world.work().await;
        world.pass(MINUTE);
        if is_lost {
            world.aws.ecs.take_events();
        } else {
            world.heal().await.expect("an event that is handled");
            world.pass(MINUTE);
        }
    }
    assert_eq!((world.aws.ecs.tasks().len(), world.waiting()), (2, 0), "nobody knows of the second failure");
    world.aws.ecs.set_limit(ecs::Provider::OnDemand, ecs::Limit::exhausted());
    // Nobody pushed to their repository, so the pass does not see that they wait.
    let spec = JobSpec::labels(["fargate"]).in_repository(ORGANIZATION, "elsewhere").on_event("schedule");
    for _ in 0..5 {
        let other = world.github.queue_job(spec.clone());
        world.deliver_queued(other).await;
    }
    world.work().await;
    assert_eq!(world.waiting(), 5);
    // No pass comes at the moment at which one would have made up for the event.
    world.pass(MINUTE * 11);
    world.clean().await.expect("a pass");
    assert_eq!(world.waiting(), 6);
    world.aws.ecs.fail_starts(None);
    world.aws.ecs.set_limit(ecs::Provider::OnDemand, ecs::Limit::default());
    world.work_until_quiet().await;
    assert_eq!(world.github.job(job).expect("a job").times_taken, 1);
}
