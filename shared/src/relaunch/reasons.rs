//! ECS's words for stopped tasks, each with what follows on purpose.
//!
//! No words make a launch the last one: what a person has to mend may be mended within the job's day.

use super::Fruitless;
use crate::ecs::{IDLE, NEVER_CONNECTED, TaskView};

/// What the words mean for the next launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// There is no capacity: the next placement, and never more than five minutes apart.
    Capacity,
    /// Capacity was taken away: the next placement.
    TakenAway,
    /// It passes: the same placement, at growing intervals.
    Passing,
    /// A person mends it. Until then it is as with what passes; after three tasks in a row the brake holds the class back, and its
    /// log line quotes the words.
    Person,
    /// GitHub gave the runner no job.
    NoJob,
}

use Meaning::{Capacity, NoJob, Passing, Person, TakenAway};

/// AWS's pages.
const FAILED_PAGE: &str = "AWS: Troubleshooting Amazon ECS TaskFailedToStart errors";
const INITIALIZATION: &str = "AWS: Troubleshooting Amazon ECS ResourceInitializationError errors";
const CONTAINERS: &str = "AWS: Amazon ECS stopped tasks error messages, and a page for each error that it names";
const FAILURES: &str = "AWS: Amazon ECS API failure reasons";
const EVENTS: &str = "AWS: Amazon ECS service event messages; as a reason of a stopped task not seen";
const PULLS: &str = "AWS: CannotPullContainer task errors in Amazon ECS";
const SPOT: &str = "AWS: Fargate Spot termination notices";
const REPOST: &str = "AWS re:Post: network interface provisioning errors for Amazon ECS on Fargate";
const STOPPED: &str = "AWS re:Post: Why is my Amazon ECS task stopped?";
/// An error's code; the words around it are made up.
const EC2: &str = "AWS: Error codes for the Amazon EC2 API";
const AGENT: &str = "aws/amazon-ecs-agent";
const DAGSTER: &str = "dagster-io/dagster: dagster_aws/ecs, what it repeats tasks for";
/// In descriptions of tasks in public issues, tests and samples.
const REPORTS: &str = "users' reports";

const FAILED: &str = "TaskFailedToStart";
const EXITED: &str = "EssentialContainerExited";

/// Stop code, words, what follows, source.
const REASONS: &[(&str, &str, Meaning, &str)] = &[
    // Capacity.
    (
        FAILED,
        "Capacity is unavailable at this time. Please try again later or in a different availability zone",
        Capacity,
        EVENTS,
    ),
    (FAILED, "You've reached the limit on the number of vCPUs you can run concurrently", Capacity, EVENTS),
    (FAILED, "You've reached the limit on the number of tasks you can run concurrently", Capacity, EVENTS),
    // AWS's first guess is a task larger than any instance: the next placement may have a larger one.
    (FAILED, "RESOURCE:CPU", Capacity, FAILURES),
    (FAILED, "RESOURCE:MEMORY", Capacity, FAILURES),
    (FAILED, "RESOURCE:ENI", Capacity, FAILURES),
    (FAILED, "RESOURCE:GPU", Capacity, FAILURES),
    (FAILED, "EMPTY CAPACITY PROVIDER", Capacity, FAILURES),
    (FAILED, "NO ACTIVE INSTANCES", Capacity, FAILURES),
    (FAILED, "InsufficientInstanceCapacity: We currently do not have sufficient capacity", Capacity, EC2),
    ("SpotInterruption", "Your Spot Task was interrupted.", TakenAway, SPOT),
    ("TerminationNotice", "Your Spot Task was interrupted.", TakenAway, "the same, until June 2023"),
    ("TerminationNotice", "Host EC2 (instance i-1) terminated.", Passing, REPORTS),
    ("TerminationNotice", "Host EC2 (instance i-1) stopped.", Passing, REPORTS),
    (
        "",
        "ECS is performing maintenance on the underlying infrastructure hosting the task",
        Passing,
        "AWS: Task maintenance",
    ),
    ("", "Task stopped during instance draining", Passing, "AWS Batch: ECS Managed Instances, draining"),
    // Placement.
    (FAILED, "AGENT", Passing, FAILURES),
    (FAILED, "ATTRIBUTE", Person, FAILURES),
    (FAILED, "LOCATION", Person, FAILURES),
    (FAILED, "MemberOf placement constraint unsatisfied", Person, FAILURES),
    (FAILED, "The selected task definition is not compatible with the selected compute strategy", Person, FAILED_PAGE),
    (FAILED, "Unable to attach network interface to unused device index", Person, FAILED_PAGE),
    // Network interfaces and disks.
    (FAILED, "Timeout waiting for network interface provisioning to complete.", Passing, REPOST),
    (
        FAILED,
        "Network interface provision complete error timeout wait for network interface provision",
        Passing,
        REPOST,
    ),
    (FAILED, "Timeout waiting for EphemeralStorage provisioning to complete.", Passing, DAGSTER),
    (FAILED, "Rate limit exceeded while preparing network interface to be attached to instance", Passing, REPORTS),
    (
        FAILED,
        "Unexpected EC2 error while attempting to Create Network Interface with public IP assignment enabled in subnet 'subnet-1'",
        Passing,
        FAILED_PAGE,
    ),
    (
        FAILED,
        "Unexpected EC2 error while attempting to Create Network Interface in subnet '': InsufficientFreeAddressesInSubnet",
        Passing,
        REPORTS,
    ),
    (FAILED, "Unexpected EC2 error while attempting to Create Network Interface: AuthFailure", Passing, DAGSTER),
    (FAILED, "Unexpected EC2 error: NetworkInterfaceLimitExceeded", Passing, EC2),
    (FAILED, "Unexpected EC2 error: InvalidSubnetID.NotFound", Person, EC2),
    (FAILED, "Unexpected EC2 error: InvalidGroup.NotFound", Person, EC2),
    (FAILED, "Unexpected EC2 error while attempting to attach network interface to instance", Passing, REPORTS),
    (FAILED, "Unexpected EC2 error while attempting to tag the network interface: TagPolicyViolation", Person, REPORTS),
    (FAILED, "InternalError: ENI attachment timed out", Passing, FAILED_PAGE),
    // Images.
    (FAILED, "CannotPullContainerError: ERROR: toomanyrequests: Too Many Requests.", Passing, PULLS),
    (
        FAILED,
        "CannotPullContainerError: You have reached your pull rate limit. You may increase the limit by authenticating",
        Passing,
        PULLS,
    ),
    (
        FAILED,
        "CannotPullImageManifestError: Error response from daemon: toomanyrequests: Request exceeded pull rate limit",
        Passing,
        REPORTS,
    ),
    (FAILED, "error pulling image conf/error pulling image configuration", Passing, PULLS),
    (
        FAILED,
        "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref: dial tcp: i/o timeout",
        Passing,
        PULLS,
    ),
    (FAILED, "CannotPullContainerError: ref pull has been retried 1 time(s): unexpected status code", Passing, PULLS),
    (FAILED, "CannotPullContainerError: unexpected EOF", Passing, DAGSTER),
    (FAILED, "CannotPullContainerError: net/http: request canceled while waiting for connection", Person, PULLS),
    (FAILED, "CannotPullContainerError: context canceled", Person, PULLS),
    (FAILED, "The task can’t pull the image. Check your network configuration", Person, PULLS),
    (FAILED, "CannotPullContainerError: pull access denied for octo/image", Person, PULLS),
    (
        FAILED,
        "The task can’t pull the image. Check that the role has the permissions to pull images from the registry.",
        Person,
        PULLS,
    ),
    (FAILED, "CannotPullContainerAuthError: no credentials", Person, AGENT),
    (FAILED, "The task can’t pull the image. Check whether the image exists.", Person, AGENT),
    (FAILED, "CannotPullImageManifestError: Error response from daemon: manifest unknown", Person, AGENT),
    (FAILED, "CannotPullContainerError: API error (404): repository octo/image not found", Person, PULLS),
    (
        FAILED,
        "CannotPullContainerError: write /var/lib/docker/tmp/GetImageBlob111111111: no space left on device",
        Person,
        PULLS,
    ),
    (
        FAILED,
        "CannotPullContainerError: image Manifest does not contain descriptor matching platform 'linux/amd64'",
        Person,
        REPORTS,
    ),
    (FAILED, "CannotPullECRContainerError: RequestError: send request failed", Passing, AGENT),
    // Secrets, logs and files.
    (
        FAILED,
        "ResourceInitializationError: unable to pull secrets or registry auth: dial tcp 10.0.0.1:443: i/o timeout",
        Passing,
        INITIALIZATION,
    ),
    (
        FAILED,
        "ResourceInitializationError: unable to pull secrets or registry auth: AccessDeniedException",
        Person,
        REPORTS,
    ),
    (
        FAILED,
        "The task can't retrieve the secret with ARN 'arn' from AWS Secrets Manager. Check whether the secret exists in the \
         specified Region.",
        Person,
        "AWS: Troubleshooting Amazon ECS ResourceNotFoundException errors",
    ),
    (
        FAILED,
        "ResourceInitializationError: failed to initialize logging driver: no such log group",
        Person,
        INITIALIZATION,
    ),
    (FAILED, "ResourceInitializationError: failed to validate logger args: signal: killed", Passing, REPORTS),
    (
        FAILED,
        "The task cannot find the Amazon CloudWatch log group defined in the task definition.",
        Person,
        INITIALIZATION,
    ),
    (FAILED, "ResourceInitializationError: failed to configure ENI: failed to setup regular eni", Passing, REPORTS),
    (FAILED, "ResourceInitializationError: failed to download env files: AccessDenied", Person, REPORTS),
    (FAILED, "failed to invoke EFS utils commands to set up EFS volumes", Person, INITIALIZATION),
    (FAILED, "CannotCreateVolumeError: no such file system", Person, CONTAINERS),
    // Containers.
    (FAILED, "ContainerRuntimeError: shim died", Passing, CONTAINERS),
    (
        FAILED,
        "ContainerRuntimeTimeoutError: Could not transition to running; timed out after waiting 1m",
        Passing,
        CONTAINERS,
    ),
    (FAILED, "DockerTimeoutError: Could not transition to created; timed out after waiting 4m0s", Passing, AGENT),
    (FAILED, "CannotStartContainerError: failed to get container status", Person, CONTAINERS),
    (FAILED, "CannotCreateContainerError: API error (500): devmapper: Thin Pool", Person, AGENT),
    (FAILED, "Task failed to start", Passing, REPORTS),
    (FAILED, "Words that nobody has written down", Passing, "none: waiting costs little"),
    (
        EXITED,
        "CannotInspectContainerError: Could not transition to inspecting; timed out after waiting 30s",
        Passing,
        AGENT,
    ),
    (EXITED, "Essential container in task exited", Passing, STOPPED),
    (EXITED, "OutOfMemoryError: Container killed due to memory usage", Person, CONTAINERS),
    (EXITED, "CannotStopContainerError: failed sending SIGTERM to container", Passing, CONTAINERS),
    // Stopped by somebody.
    ("UserInitiated", "Task stopped by user", Passing, STOPPED),
    ("UserInitiated", IDLE, NoJob, "the cleaner"),
    ("UserInitiated", NEVER_CONNECTED, Passing, "the cleaner"),
    ("", "", Passing, "none: ECS may say nothing"),
];

#[test]
fn what_ecs_says_of_a_stopped_task_is_understood_on_purpose() {
    for (code, words, meaning, source) in REASONS {
        let said = |words: &str| (!words.is_empty()).then(|| words.to_owned());
        let task = TaskView { stop_code: said(code), stopped_reason: said(words), ..TaskView::default() };
        let followed = match (Fruitless::of(&task), task.lost_capacity()) {
            (Fruitless::NoCapacity, true) => vec![Capacity],
            (Fruitless::FailedToStart, true) => vec![TakenAway],
            (Fruitless::FailedToStart, false) => vec![Passing, Person],
            (Fruitless::Unused, false) => vec![NoJob],
            other => panic!("{code}: {words}: {other:?}"),
        };
        assert!(followed.contains(meaning), "{code}: {words} ({source}): {followed:?}");
    }
}

#[test]
fn a_task_that_no_instance_took_is_tried_on_the_next_placement() {
    let stopped = |code: &str, words: &str| TaskView {
        is_unplaced: true,
        stop_code: Some(code.to_owned()),
        stopped_reason: Some(words.to_owned()),
        ..TaskView::default()
    };
    for waited in [stopped(FAILED, "Task failed to start"), stopped("UserInitiated", NEVER_CONNECTED)] {
        assert_eq!((Fruitless::of(&waited), waited.lost_capacity()), (Fruitless::NoCapacity, true));
        let placed = TaskView { is_unplaced: false, ..waited };
        assert_eq!((Fruitless::of(&placed), placed.lost_capacity()), (Fruitless::FailedToStart, false));
    }
    assert!(!stopped(FAILED, "ATTRIBUTE").lost_capacity(), "a person mends that");
}
