//! ECS's words for stopped tasks, each with what follows on purpose.
//!
//! No words make a launch the last one: what a person has to mend may be mended within the job's day.

use super::{Fruitless, IDLE};
use crate::ecs::TaskView;

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

/// AWS's pages: "Stopped tasks error messages", "Stopped tasks error codes", "API failures messages", "`CannotPullContainer` task errors",
/// `StopTask`, and the service event messages of Fargate.
const CODES: &str = "AWS: Stopped tasks error codes";
const FAILURES: &str = "AWS: API failures messages";
const PULLS: &str = "AWS: CannotPullContainer task errors";
const MESSAGES: &str = "AWS: Stopped tasks error messages";
const EC2: &str = "EC2: Error codes";
/// What users of Fargate and AWS Batch repeat their tasks for.
const REPORTS: &str = "users' reports";

const FAILED: &str = "TaskFailedToStart";
const EXITED: &str = "EssentialContainerExited";

/// Stop code, words, what follows, source.
const REASONS: &[(&str, &str, Meaning, &str)] = &[
    (
        FAILED,
        "Capacity is unavailable at this time. Please try again later or in a different availability zone",
        Capacity,
        MESSAGES,
    ),
    (FAILED, "You've reached the limit on the number of vCPUs you can run concurrently", Capacity, FAILURES),
    (FAILED, "You've reached the limit on the number of tasks you can run concurrently", Capacity, FAILURES),
    (FAILED, "RESOURCE:CPU", Capacity, FAILURES),
    (FAILED, "RESOURCE:MEMORY", Capacity, FAILURES),
    (FAILED, "RESOURCE:ENI", Capacity, FAILURES),
    (FAILED, "RESOURCE:GPU", Capacity, FAILURES),
    (FAILED, "EMPTY CAPACITY PROVIDER", Capacity, FAILURES),
    (FAILED, "NO ACTIVE INSTANCES", Capacity, FAILURES),
    (FAILED, "InsufficientInstanceCapacity: We currently do not have sufficient capacity", Capacity, EC2),
    ("SpotInterruption", "Your Spot Task was interrupted.", TakenAway, MESSAGES),
    ("TerminationNotice", "Host EC2 (instance i-1) terminated.", Passing, MESSAGES),
    (FAILED, "AGENT", Passing, FAILURES),
    (FAILED, "ATTRIBUTE", Person, FAILURES),
    (FAILED, "MemberOf placement constraint unsatisfied", Person, FAILURES),
    (
        FAILED,
        "Timeout waiting for network interface provisioning to complete.",
        Passing,
        "dagster-io/dagster: dagster_aws/ecs",
    ),
    (
        FAILED,
        "Timeout waiting for EphemeralStorage provisioning to complete.",
        Passing,
        "dagster-io/dagster: dagster_aws/ecs",
    ),
    (
        FAILED,
        "Network interface provision complete error timeout wait for network interface provision.",
        Passing,
        REPORTS,
    ),
    (FAILED, "Rate limit exceeded while preparing network interface to be attached to instance", Passing, REPORTS),
    (
        FAILED,
        "Unexpected EC2 error while attempting to Create Network Interface in subnet 'subnet-1': InsufficientFreeAddressesInSubnet",
        Passing,
        EC2,
    ),
    (
        FAILED,
        "Unexpected EC2 error while attempting to Create Network Interface: NetworkInterfaceLimitExceeded",
        Person,
        EC2,
    ),
    (
        FAILED,
        "Unexpected EC2 error while attempting to Create Network Interface: InvalidSubnetID.NotFound",
        Person,
        EC2,
    ),
    (FAILED, "Unexpected EC2 error while attempting to Create Network Interface: InvalidGroup.NotFound", Person, EC2),
    (FAILED, "CannotPullContainerError: toomanyrequests: You have reached your pull rate limit", Passing, PULLS),
    (FAILED, "CannotPullContainerError: pull image manifest has been retried 5 time(s)", Passing, PULLS),
    (FAILED, "CannotPullContainerError: request canceled while waiting for connection: i/o timeout", Passing, PULLS),
    (FAILED, "CannotPullContainerError: pull access denied", Person, PULLS),
    (FAILED, "CannotPullContainerError: manifest unknown", Person, PULLS),
    (FAILED, "CannotPullContainerError: no space left on device", Person, PULLS),
    (FAILED, "CannotPullContainerError: image Manifest does not contain descriptor matching platform", Person, PULLS),
    (FAILED, "CannotPullECRContainerError: AccessDeniedException", Person, PULLS),
    (FAILED, "CannotPullImageManifestError: Error response from daemon", Passing, PULLS),
    (FAILED, "CannotCreateVolumeError: the agent cannot create the volume mount", Person, CODES),
    (
        FAILED,
        "ContainerRuntimeTimeoutError: Could not transition to running; timed out after waiting 1m",
        Passing,
        CODES,
    ),
    (FAILED, "DockerTimeoutError: Could not transition to created; timed out after waiting 4m0s", Passing, CODES),
    (FAILED, "CannotStartContainerError: failed to get container status", Passing, CODES),
    (FAILED, "CannotCreateContainerError: API error (400): invalid user", Person, CODES),
    (FAILED, "CannotInspectContainerError: context deadline exceeded", Passing, CODES),
    (FAILED, "ResourceInitializationError: failed to initialize logging driver: i/o timeout", Passing, CODES),
    (FAILED, "ResourceInitializationError: failed to validate logger args: AccessDeniedException", Person, CODES),
    (FAILED, "ResourceInitializationError: unable to pull secrets or registry auth: i/o timeout", Passing, MESSAGES),
    (
        FAILED,
        "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes",
        Person,
        MESSAGES,
    ),
    (FAILED, "ResourceNotFoundException: fetching secret data from AWS Secrets Manager in region", Person, MESSAGES),
    (FAILED, "InternalError: the task failed to start because of an internal error", Passing, CODES),
    (FAILED, "ECS was unable to assume the role that was provided for this task.", Person, "boto/boto3#1878"),
    (FAILED, "Words that nobody has written down", Passing, "none: waiting costs little"),
    (EXITED, "Essential container in task exited", Passing, MESSAGES),
    (EXITED, "OutOfMemoryError: Container killed due to memory usage", Person, CODES),
    (EXITED, "CannotStopContainerError: failed sending SIGTERM to container", Passing, CODES),
    ("UserInitiated", "Task stopped by user", Passing, MESSAGES),
    ("UserInitiated", IDLE, NoJob, "the cleaner"),
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
