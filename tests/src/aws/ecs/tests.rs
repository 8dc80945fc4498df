//! The stand-in, called with the real client.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ecs::operation::run_task::builders::RunTaskFluentBuilder;
use aws_sdk_ecs::operation::run_task::{RunTaskError, RunTaskOutput};
use aws_sdk_ecs::types::{
    AssignPublicIp, AwsVpcConfiguration, CapacityProviderStrategyItem, ContainerOverride, DesiredStatus,
    EphemeralStorage, KeyValuePair, LaunchType, NetworkConfiguration, Tag, TaskField, TaskOverride,
};
use time::macros::datetime;

use super::*;
use crate::aws::Aws;
use crate::wire::Fault;

const MINUTE: Duration = Duration::from_mins(1);

struct World {
    aws: Aws,
    client: Client,
}

impl World {
    async fn new() -> Self {
        let aws = Aws::start(Clock::manual(datetime!(2026-11-02 10:00 UTC))).await;
        aws.ecs.add_cluster("jitgate");
        aws.ecs.add_task_definition(TaskDefinition::new("runner"));
        let client = Client::new(&aws.sdk_config());
        Self { aws, client }
    }

    fn advance(&self, by: Duration) {
        self.aws.clock().advance(by);
    }

    fn run(&self, started_by: &str) -> RunTaskFluentBuilder {
        let network = AwsVpcConfiguration::builder().subnets("subnet-1").assign_public_ip(AssignPublicIp::Enabled);
        let network = network.build().unwrap();
        self.client
            .run_task()
            .cluster("jitgate")
            .task_definition("runner")
            .launch_type(LaunchType::Fargate)
            .network_configuration(NetworkConfiguration::builder().awsvpc_configuration(network).build())
            .overrides(overrides("config"))
            .started_by(started_by)
            .client_token(started_by)
            .tags(Tag::builder().key("jitgate:job").value("owner/repo").build())
    }

    async fn list(&self, status: DesiredStatus) -> Vec<String> {
        let answer = self.client.list_tasks().cluster("jitgate").desired_status(status).send().await.unwrap();
        answer.task_arns.unwrap()
    }
}

fn overrides(config: &str) -> TaskOverride {
    let variable = KeyValuePair::builder().name("ACTIONS_RUNNER_INPUT_JITCONFIG").value(config).build();
    let container = ContainerOverride::builder().name("runner").environment(variable).build();
    TaskOverride::builder().container_overrides(container).build()
}

fn spot() -> CapacityProviderStrategyItem {
    CapacityProviderStrategyItem::builder().capacity_provider("FARGATE_SPOT").weight(1).build().unwrap()
}

fn arn(answer: &RunTaskOutput) -> String {
    answer.tasks()[0].task_arn().unwrap().to_owned()
}

async fn refusal(request: RunTaskFluentBuilder) -> RunTaskError {
    request.send().await.map_err(SdkError::into_service_error).unwrap_err()
}

#[tokio::test]
async fn a_task_starts_and_ends_and_its_changes_are_announced() {
    let world = World::new().await;
    world.aws.ecs.set_pace(Pace { start: Some(MINUTE), ..Pace::default() });
    let mut changes = world.aws.ecs.changes();
    let answer = world.run("jit-1-1").send().await.unwrap();
    let task = &answer.tasks()[0];
    assert_eq!((task.last_status(), task.desired_status()), (Some("PROVISIONING"), Some("RUNNING")));
    assert_eq!(task.tags()[0].value(), Some("owner/repo"));
    assert_eq!(task.created_at().unwrap().secs(), datetime!(2026-11-02 10:00 UTC).unix_timestamp());
    world.aws.clock().advance_to(world.aws.ecs.next_due_at().unwrap());
    world.aws.ecs.settle();
    assert_eq!(world.aws.ecs.next_due_at(), None);
    let Ok(TaskChange::Running(started)) = changes.try_recv() else { panic!("the runner was not told") };
    assert_eq!(started.environment["ACTIONS_RUNNER_INPUT_JITCONFIG"], "config");
    world.aws.ecs.exit(&started.task, 0);
    assert!(matches!(changes.try_recv(), Ok(TaskChange::Stopped { .. })));
    let described = world.client.describe_tasks().cluster("jitgate").tasks(arn(&answer)).send().await.unwrap();
    let task = &described.tasks()[0];
    assert_eq!(task.last_status(), Some("STOPPED"));
    assert_eq!(task.stop_code().unwrap().as_str(), "EssentialContainerExited");
    assert_eq!(task.containers()[0].exit_code(), Some(0));
    let events = world.aws.ecs.take_events();
    let statuses: Vec<_> = events.iter().map(|event| event["detail"]["lastStatus"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["PROVISIONING", "RUNNING", "STOPPED"]);
    let last = &events[2];
    assert_eq!(last["detail-type"], "ECS Task State Change");
    assert_eq!(last["detail"]["startedBy"], "jit-1-1");
    assert_eq!(last["detail"]["stoppedAt"], "2026-11-02T10:01:00Z");
    assert!(last["detail"].get("tags").is_none());
    assert!(world.aws.ecs.take_events().is_empty());
}

#[tokio::test]
async fn a_token_gives_the_first_answer_again_or_names_the_task() {
    let world = World::new().await;
    let first = world.run("jit-1-1").send().await.unwrap();
    world.aws.ecs.exit(&arn(&first), 0);
    let again = world.run("jit-1-1").send().await.unwrap();
    assert_eq!(again.tasks(), first.tasks());
    let RunTaskError::ConflictException(conflict) = refusal(world.run("jit-1-1").overrides(overrides("new"))).await
    else {
        panic!("another configuration under the same token must conflict");
    };
    assert_eq!(conflict.resource_ids(), [arn(&first)]);
    assert_eq!(world.aws.ecs.tasks().len(), 1);
}

#[tokio::test]
async fn a_token_ends_an_hour_after_its_task_or_after_a_day() {
    let world = World::new().await;
    let short = world.run("short").send().await.unwrap();
    world.run("long").send().await.unwrap();
    world.advance(MINUTE);
    world.aws.ecs.exit(&arn(&short), 0);
    world.advance(MINUTE * 59);
    assert_eq!(arn(&world.run("short").send().await.unwrap()), arn(&short));
    world.advance(MINUTE);
    assert_ne!(arn(&world.run("short").send().await.unwrap()), arn(&short));
    world.advance(MINUTE * 60 * 22 + MINUTE * 58);
    let conflict = refusal(world.run("long").overrides(overrides("new"))).await;
    assert_eq!(conflict.code(), Some("ConflictException"));
    world.advance(MINUTE);
    world.run("long").overrides(overrides("new")).send().await.unwrap();
    assert_eq!(world.aws.ecs.started_by("long").len(), 2);
}

#[tokio::test]
async fn overrides_may_have_8192_characters_and_not_one_more() {
    let world = World::new().await;
    let rest = serde_json::json!({ "containerOverrides": [{
        "name": "runner", "environment": [{ "name": "ACTIONS_RUNNER_INPUT_JITCONFIG", "value": "" }]
    }] });
    let room = 8192 - rest.to_string().len();
    world.run("fits").overrides(overrides(&"x".repeat(room))).send().await.unwrap();
    let error = refusal(world.run("over").overrides(overrides(&"x".repeat(room + 1)))).await;
    assert!(error.is_invalid_parameter_exception());
    assert_eq!(error.message(), Some("Container Overrides length must be at most 8192"));
}

#[tokio::test]
async fn a_wrong_request_is_refused_in_its_own_words() {
    let world = World::new().await;
    world.aws.ecs.forget_subnet("subnet-1");
    assert!(refusal(world.run("a")).await.message().unwrap().contains("InvalidSubnetID.NotFound"));
    let world = World::new().await;
    assert!(refusal(world.run("a").cluster("other")).await.is_cluster_not_found_exception());
    for (request, word) in [
        (world.run("a").task_definition("other"), "TaskDefinition"),
        (world.run("a").capacity_provider_strategy(spot()), "both"),
        (world.run("a").set_network_configuration(None), "Network"),
        (world.run("a b"), "startedBy"),
        (world.run(&"a".repeat(37)), "startedBy"),
        (world.run("a").client_token("a".repeat(65)), "clientToken"),
        (world.run("a").tags(Tag::builder().key("labels").value("a,b").build()), "Tags"),
        (world.run("a").count(11), "Count"),
    ] {
        let error = refusal(request).await;
        assert!(error.is_invalid_parameter_exception(), "{error:?}");
        assert!(error.message().unwrap().contains(word), "{error:?}");
    }
    assert!(world.aws.ecs.tasks().is_empty());
}

#[tokio::test]
async fn no_capacity_is_an_entry_in_failures() {
    let world = World::new().await;
    let reason = |answer: RunTaskOutput| answer.failures()[0].reason().unwrap().to_owned();
    world.aws.ecs.set_limit(Provider::OnDemand, Limit::vcpus(1));
    let first = world.run("a").send().await.unwrap();
    let refused = world.run("b").send().await.unwrap();
    assert!(refused.tasks().is_empty());
    assert_eq!(reason(refused), answers::VCPU_QUOTA);
    let spot_task = world.run("b").set_launch_type(None).capacity_provider_strategy(spot()).send().await.unwrap();
    assert_eq!(spot_task.tasks()[0].capacity_provider_name(), Some("FARGATE_SPOT"));
    world.aws.ecs.exit(&arn(&first), 0);
    world.aws.ecs.refuse_next("RESOURCE:ENI");
    assert_eq!(reason(world.run("c").send().await.unwrap()), "RESOURCE:ENI");
    world.run("c").send().await.unwrap();
    world.aws.ecs.set_limit(Provider::OnDemand, Limit::exhausted());
    assert_eq!(reason(world.run("d").send().await.unwrap()), answers::CAPACITY_UNAVAILABLE);
    world.aws.ecs.set_limit(Provider::OnDemand, Limit::tasks(1));
    assert_eq!(reason(world.run("d").send().await.unwrap()), answers::TASK_QUOTA);
}

#[tokio::test]
async fn calls_beyond_the_rate_are_throttled_until_the_bucket_fills() {
    let world = World::new().await;
    world.aws.ecs.set_rate("RunTask", Rate { burst: 2, per_second: 1 });
    world.run("a").send().await.unwrap();
    world.run("b").send().await.unwrap();
    assert_eq!(refusal(world.run("c")).await.code(), Some("ThrottlingException"));
    world.advance(Duration::from_secs(1));
    world.run("c").send().await.unwrap();
    assert_eq!(refusal(world.run("d")).await.code(), Some("ThrottlingException"));
}

#[tokio::test]
async fn faults_come_as_the_sdk_knows_them() {
    let world = World::new().await;
    let code = async |answer| {
        world.aws.faults().script("RunTask", Fault::Refuse(answer));
        refusal(world.run("a")).await.code().map(str::to_owned)
    };
    assert_eq!(code(answers::throttling()).await.as_deref(), Some("ThrottlingException"));
    assert_eq!(code(answers::server_exception()).await.as_deref(), Some("ServerException"));
    assert_eq!(code(answers::capacity_unavailable()).await.as_deref(), Some("ClientException"));
    assert_eq!(code(answers::access_denied("ecs:RunTask")).await.as_deref(), Some("AccessDeniedException"));
    world.aws.faults().script("RunTask", Fault::Refuse(answers::failure("AGENT")));
    assert_eq!(world.run("a").send().await.unwrap().failures()[0].reason(), Some("AGENT"));
    world.aws.faults().script("RunTask", Fault::Refuse(answers::unavailable()));
    assert!(world.run("a").send().await.is_err());
    world.aws.faults().script("RunTask", Fault::LoseAnswer);
    assert!(world.run("a").send().await.is_err());
    assert_eq!(world.aws.ecs.started_by("a").len(), 1);
    assert_eq!(refusal(world.run("a").overrides(overrides("new"))).await.code(), Some("ConflictException"));
    let calls = world.aws.calls().all();
    assert_eq!((calls[0].operation.as_str(), calls[0].status), ("RunTask", Some(400)));
}

#[tokio::test]
async fn a_stop_deletes_the_tags_and_can_be_repeated() {
    let world = World::new().await;
    world.aws.ecs.set_pace(Pace { stop: MINUTE, ..Pace::default() });
    let mut changes = world.aws.ecs.changes();
    let task = arn(&world.run("a").send().await.unwrap());
    let stop = |reason| world.client.stop_task().cluster("jitgate").task(&task).reason(reason).send();
    let answer = stop("surplus").await.unwrap();
    assert_eq!(answer.task().unwrap().desired_status(), Some("STOPPED"));
    assert!(world.aws.ecs.task(&task).unwrap().tags.is_empty());
    let tag = Tag::builder().key("seen-idle").value("1").build();
    assert!(world.client.tag_resource().resource_arn(&task).tags(tag).send().await.is_err());
    world.advance(MINUTE);
    let answer = stop("again").await.unwrap();
    let answer = answer.task().unwrap();
    assert_eq!((answer.last_status(), answer.stopped_reason()), (Some("STOPPED"), Some("surplus")));
    assert_eq!(answer.stop_code().unwrap().as_str(), "UserInitiated");
    let seen: Vec<_> = std::iter::from_fn(|| changes.try_recv().ok()).collect();
    assert!(matches!(seen[..], [TaskChange::Running(_), TaskChange::Stopping { .. }, TaskChange::Stopped { .. }]));
    assert_eq!(world.list(DesiredStatus::Stopped).await, [&*task]);
    world.advance(STOPPED_VISIBLE);
    assert!(world.list(DesiredStatus::Stopped).await.is_empty());
    let error = stop("late").await.unwrap_err().into_service_error();
    assert!(error.is_invalid_parameter_exception());
}

#[tokio::test]
async fn a_task_may_never_run_and_spot_may_go() {
    let world = World::new().await;
    world.aws.ecs.set_pace(Pace { stop: MINUTE * 2, ..Pace::default() });
    world.aws.ecs.fail_next_start("CannotPullContainerError: no such image");
    let failed = arn(&world.run("a").send().await.unwrap());
    let failed = world.aws.ecs.task(&failed).unwrap();
    assert_eq!((failed.status, failed.stop_code), (Status::Stopped, Some(StopCode::TaskFailedToStart)));
    assert_eq!(failed.exit_code, None);
    let taken = arn(&world.run("b").send().await.unwrap());
    world.aws.ecs.reclaim_spot(&taken);
    assert_eq!(world.aws.ecs.live_tasks()[0].status, Status::Stopping);
    world.advance(MINUTE * 2);
    assert!(world.aws.ecs.live_tasks().is_empty());
    assert_eq!(world.aws.ecs.task(&taken).unwrap().exit_code, Some(137));
}

#[tokio::test]
async fn lists_lag_come_in_pages_and_filter_by_starter() {
    let world = World::new().await;
    world.aws.ecs.set_pace(Pace { appear: MINUTE, ..Pace::default() });
    for number in 0..101 {
        world.run(&format!("jit-{number}-1")).count(1).send().await.unwrap();
    }
    let last = world.aws.ecs.started_by("jit-100-1")[0].arn.clone();
    let describe = || world.client.describe_tasks().cluster("jitgate").tasks(&last).include(TaskField::Tags).send();
    assert!(world.list(DesiredStatus::Running).await.is_empty());
    let missing = describe().await.unwrap();
    assert_eq!(missing.failures()[0].reason(), Some("MISSING"));
    assert_eq!(missing.failures()[0].arn(), Some(&*last));
    world.advance(MINUTE);
    assert_eq!(describe().await.unwrap().tasks()[0].tags().len(), 1);
    let mut pages = world.client.list_tasks().cluster("jitgate").into_paginator().send();
    let mut sizes = Vec::new();
    while let Some(page) = pages.next().await {
        sizes.push(page.unwrap().task_arns().len());
    }
    assert_eq!(sizes, [100, 1]);
    let by_starter = world.client.list_tasks().cluster("jitgate").started_by("jit-100-1");
    assert_eq!(by_starter.clone().send().await.unwrap().task_arns(), [last]);
    assert!(by_starter.clone().family("runner").send().await.is_err());
    assert!(by_starter.desired_status(DesiredStatus::Stopped).send().await.unwrap().task_arns().is_empty());
    let by_family = world.client.list_tasks().cluster("jitgate").family("other").send().await.unwrap();
    assert!(by_family.task_arns().is_empty());
}

#[tokio::test]
async fn tags_can_be_added_read_and_removed_while_a_task_runs() {
    let world = World::new().await;
    let task = arn(&world.run("a").send().await.unwrap());
    let tag = Tag::builder().key("seen-idle").value("1").build();
    world.client.tag_resource().resource_arn(&task).tags(tag).send().await.unwrap();
    world.client.untag_resource().resource_arn(&task).tag_keys("jitgate:job").send().await.unwrap();
    let tags = world.client.list_tags_for_resource().resource_arn(&task).send().await.unwrap();
    assert_eq!(tags.tags().iter().map(|tag| tag.key().unwrap()).collect::<Vec<_>>(), ["seen-idle"]);
    let other = task.replace("task/", "task/x");
    assert!(world.client.list_tags_for_resource().resource_arn(other).send().await.is_err());
}

#[tokio::test]
async fn a_manual_start_waits_for_the_test() {
    let world = World::new().await;
    world.aws.ecs.set_pace(Pace { start: None, ..Pace::default() });
    let task = arn(&world.run("a").send().await.unwrap());
    world.advance(MINUTE * 60);
    assert_eq!(world.aws.ecs.live_tasks()[0].status, Status::Provisioning);
    world.aws.ecs.start(&task);
    assert_eq!(world.aws.ecs.live_tasks()[0].status, Status::Running);
}

#[tokio::test]
async fn a_provider_of_instances_refuses_what_is_fargates_own() {
    let world = World::new().await;
    let of_family = |family: &str, network| TaskDefinition::new(family).on_instances(network);
    world.aws.ecs.add_task_definition(of_family("docker", NetworkMode::Awsvpc));
    world.aws.ecs.add_task_definition(of_family("host", NetworkMode::Host));
    let provider =
        CapacityProviderStrategyItem::builder().capacity_provider("instances").weight(1).build().expect("complete");
    let private = AwsVpcConfiguration::builder().subnets("subnet-1").build().expect("complete");
    let private = NetworkConfiguration::builder().awsvpc_configuration(private).build();
    let on = |family: &str| {
        let run = world.run("a").task_definition(family).set_launch_type(None);
        run.capacity_provider_strategy(provider.clone()).network_configuration(private.clone())
    };
    assert_eq!(refusal(on("docker")).await.message(), Some(answers::NOT_ASSOCIATED));
    world.aws.ecs.add_instances();
    let public = world.run("a").task_definition("docker").set_launch_type(None);
    let public = public.capacity_provider_strategy(provider.clone());
    let disk = EphemeralStorage::builder().size_in_gib(50).build();
    for (request, says) in [
        (public, "Assign public IP is not supported for this launch type."),
        (on("host"), "Network Configuration is not valid for the given networkMode of this task definition."),
        (on("runner"), "Task definition does not support launch_type MANAGED_INSTANCES."),
        (world.run("a").task_definition("docker"), "Task definition does not support launch_type FARGATE."),
        (on("docker").platform_version("LATEST"), "The platform version must be null"),
        (on("docker").launch_type(LaunchType::Fargate), "both a launch type and capacity provider strategy"),
        (on("docker").overrides(TaskOverride::builder().ephemeral_storage(disk).build()), "Ephemeral storage"),
        (on("docker").overrides(TaskOverride::builder().task_role_arn("arn").build()), "iam:PassRole on resource: arn"),
    ] {
        let refused = refusal(request).await;
        let message = refused.message().expect("a message");
        assert!(message.contains(says), "{message} is not {says}");
    }
    world.aws.ecs.set_limit(Provider::Instances, Limit::exhausted());
    let odd = TaskOverride::builder().cpu("3000").memory("5000").build();
    let accepted = on("docker").overrides(odd).send().await.expect("it is accepted first");
    let task = world.aws.ecs.task(&arn(&accepted)).expect("it is there");
    assert_eq!((task.resources.cpu_units, task.stop_code), (3000, Some(StopCode::TaskFailedToStart)));
    assert_eq!(task.stopped_reason.as_deref(), Some(answers::NO_INSTANCE));
}
