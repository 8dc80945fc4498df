//! A job can be deferred any number of times: each deferral is a new message, so its receives do not add up, and the
//! template allows the function to send to its own queue.

use std::sync::Arc;
use std::time::Duration;

use jitgate::job::{JobId, Message};
use jitgate_tests::aws::sqs::mapping::EventSource;
use jitgate_tests::chaos::gateway::Gateway;
use jitgate_tests::chaos::tripwire::Tripwire;
use jitgate_tests::github::{self, JobStatus};
use jitgate_tests::wire::Fault;
use jitgate_tests::world::{JOB_QUEUE, World, invoke};

const DEFERRALS: usize = 500;

/// GitHub's limit refuses the next [`DEFERRALS`] registrations. The worker handles the job's messages until none is
/// left. Returns how often the job was deferred.
async fn defer(world: &World, source: &EventSource) -> u32 {
    let tripwire = Tripwire::harmless();
    let limit = github::answers::secondary_limit(Some(Duration::from_secs(30)));
    tripwire.faults.script_times("generate-jitconfig", Fault::Refuse(limit), DEFERRALS);
    let gateway = Gateway::open(world, |service| tripwire.before(service)).await;
    let worker = gateway.worker(world);
    let mut deferrals = 0;
    while let Some(visible_at) = world.aws.sqs.next_visible_at(JOB_QUEUE) {
        world.clock.advance_to(visible_at);
        let Some(batch) = source.take() else { break };
        tripwire.set_trace(&batch.trace());
        let record = &batch.event()["Records"][0];
        assert_eq!(record["attributes"]["ApproximateReceiveCount"], "1", "each deferral is a new message");
        let message = Message::parse(record["body"].as_str().expect("a body")).expect("a job message");
        deferrals = message.progress.deferrals;
        let answer = invoke(&worker, batch.event().clone()).await;
        assert!(source.settle(&batch, &answer).returned.is_empty());
    }
    deferrals
}

async fn queued_job() -> (World, JobId) {
    let world = World::new().await;
    let job = world.queue_and_deliver().await;
    (world, job)
}

#[tokio::test]
async fn a_job_that_was_deferred_500_times_still_gets_its_runner() {
    let (mut world, job) = queued_job().await;
    let source = EventSource::new(Arc::clone(&world.aws.sqs), JOB_QUEUE).allow_loops();
    let deferrals = defer(&world, &source).await;
    // After the last refusal it may have to wait for its turn.
    assert!((DEFERRALS..DEFERRALS + 3).contains(&usize::try_from(deferrals).unwrap()), "{deferrals}");
    assert_eq!(world.dead_letters(), Vec::<String>::new());
    world.pass(Duration::from_mins(5));
    assert_eq!(world.github.job(job).expect("it exists").status, JobStatus::Completed);
    assert!(world.github.runners().is_empty());
}

#[tokio::test]
async fn lambda_stops_a_job_at_its_16th_deferral_unless_loops_are_allowed() {
    let (world, job) = queued_job().await;
    let source = EventSource::new(Arc::clone(&world.aws.sqs), JOB_QUEUE);
    // The worker never sees the message that Lambda stops.
    assert_eq!(defer(&world, &source).await, 15);
    assert_eq!(world.dead_letters().len(), 1);
    assert_eq!(world.github.job(job).expect("it exists").status, JobStatus::Queued);
}

#[test]
fn the_template_allows_loops() {
    let template = include_str!("../../template.yaml");
    assert!(template.contains("RecursiveLoop: Allow"));
}
