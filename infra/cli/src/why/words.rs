//! What the functions' and ECS's words mean: a table from each to its cause and what to do.

use jitgate::relaunch::{CLASS_FAILS, NO_JOBS};

/// A kind of cause, its words, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// A name that programs can rely on.
    pub kind: &'static str,
    /// The cause, in front of the original words.
    pub because: &'static str,
    /// What to do.
    pub todo: &'static str,
}

/// A row: all of the words must occur.
type Row = (&'static [&'static str], Meaning);

const fn meaning(kind: &'static str, because: &'static str, todo: &'static str) -> Meaning {
    Meaning { kind, because, todo }
}

/// GitHub turns the runner's version away.
pub const VERSION: Meaning = meaning(
    "runner-version-refused",
    "GitHub turns this version of the runner away",
    "use a newer image: `jitgate upgrade --image IMAGE`",
);

const DOCKER: Meaning = meaning(
    "docker-failed",
    "the image's Docker daemon ended, or did not answer within a minute",
    "read the runner's output: is the container privileged, and does /var/lib/docker lie on a volume?",
);

const NO_WAY_OUT: Meaning = meaning(
    "no-way-out",
    "the task's subnet has no way out to the registry",
    "use public subnets with AssignPublicIp=true, or private ones behind a NAT: `jitgate upgrade --set …`; see docs/NETWORK.md",
);

const PULLS_LIMITED: Meaning = meaning(
    "registry-limits-pulls",
    "the registry limits how often images are pulled",
    "keep the image in ECR: RunnerRepository=true, see docs/OPERATIONS.md; meanwhile it is launched again",
);

/// Why a launch waits or was given up: rows of the worker's `error`, the first that fits. The worker's `LaunchError` and
/// what it wraps write these words.
const ERRORS: &[Row] = &[
    (
        &["runners that it may have"],
        meaning(
            "runner-limit",
            "a runner limit is reached",
            "wait for a runner to end, or raise the limit that it names: `jitgate upgrade --set MaxRunners=N`",
        ),
    ),
    (
        &[NO_JOBS],
        meaning(
            "github-assigns-nothing",
            "GitHub gives the runners of this class no jobs",
            "see githubstatus.com; if GitHub is well, admit the repository in the settings of the class's runner group",
        ),
    ),
    (
        &["held back"],
        meaning(
            "class-fails",
            "the last runners of the class failed, so one launch in five minutes goes",
            "mend the reason that it names; the jobs follow within five minutes",
        ),
    ),
    (
        &["no capacity"],
        meaning(
            "no-capacity",
            "AWS has no capacity for the task, or the account's quota is used up",
            "nothing: it starts within seconds once there is capacity. For more, raise the Fargate vCPU quotas, add \
             zones, or add a second capacity or a fallback to the class",
        ),
    ),
    (
        &["rate limited until"],
        meaning("github-limit", "GitHub limits the installation's calls", "nothing: it goes on when GitHub says so"),
    ),
    (
        &["paced"],
        meaning("github-pace", "runners are registered as fast as GitHub's limit allows", "nothing: its turn comes"),
    ),
    (
        &["token is too new"],
        meaning("token-too-new", "GitHub does not know the new token yet", "nothing: it is tried again"),
    ),
    (
        &["GitHub denies access"],
        meaning(
            "github-denies",
            "the App may not register runners",
            "grant what it names in the App's settings, and accept it in the organisation's under GitHub Apps",
        ),
    ),
    (
        &["not found: the runner group"],
        meaning(
            "runner-group-missing",
            "the class's runner group does not exist",
            "make the group in the organisation's settings, or correct runner_group in the class",
        ),
    ),
    (
        &["not found:"],
        meaning(
            "github-not-found",
            "the App does not see the organisation, the repository or the class's runner group",
            "install the App there, and check RunnerScope and the class's runner group",
        ),
    ),
    (
        &["no registration is left"],
        meaning(
            "registrations-full",
            "GitHub allows no more registrations",
            "delete runners that are offline in GitHub's settings",
        ),
    ),
    (
        &["invalid peer certificate"],
        meaning(
            "github-certificate",
            "GitHub's certificate comes from an authority that the functions do not trust",
            "set GitHubCaLayerArn: `jitgate upgrade --set GitHubCaLayerArn=ARN`",
        ),
    ),
    (
        &["no answer from GitHub"],
        meaning(
            "github-silent",
            "GitHub does not answer",
            "see githubstatus.com, or whether the server can be reached from AWS",
        ),
    ),
    (
        &["GitHub is unavailable"],
        meaning("github-outage", "GitHub is out of order", "nothing: it is tried again; see githubstatus.com"),
    ),
    (
        &["GitHub refuses"],
        meaning(
            "github-refuses",
            "GitHub refuses the registration",
            "correct what it names, then send the job back by `jitgate dead-letters --redrive`",
        ),
    ),
    (
        &["is unusable"],
        meaning("secret-unusable", "the secret cannot be used", "correct the secret, or run `jitgate app --replace`"),
    ),
    (
        &["is out of reach"],
        meaning(
            "secret-out-of-reach",
            "the functions may not read the secret, or it is gone",
            "restore the secret, its key and the functions' roles: `jitgate upgrade`",
        ),
    ),
    (
        &["cannot be read", "secret"],
        meaning("secret-unread", "Secrets Manager does not answer", "nothing: it is tried again"),
    ),
    (
        &["ECS denies access"],
        meaning(
            "ecs-denies",
            "the worker's role may not start the task",
            "grant what it names, or run `jitgate upgrade`",
        ),
    ),
    (
        &["ECS cannot start tasks until this is mended"],
        meaning(
            "ecs-not-ready",
            "what tasks are started from is missing or blocked",
            "restore what it names: the cluster, task definition, subnet, security group or the account itself",
        ),
    ),
    (
        &["ECS refuses"],
        meaning(
            "ecs-refuses",
            "ECS can never start this task",
            "correct the class, then send the job back by `jitgate dead-letters --redrive`",
        ),
    ),
    (
        &["overrides have"],
        meaning(
            "overrides-too-large",
            "the class's environment is too long",
            "shorten the class's environment, then run `jitgate dead-letters --redrive`",
        ),
    ),
    (&["throttled"], meaning("ecs-throttles", "ECS limits the account's calls", "nothing: it is tried again")),
    (&["no answer from ECS"], meaning("ecs-silent", "ECS does not answer", "nothing: it is tried again")),
    (&["ECS is unavailable"], meaning("ecs-outage", "ECS is out of order", "nothing: it is tried again")),
    (
        &["ECS did not start the task"],
        meaning("ecs-unknown", "ECS did not start the task", "read ECS's words; it is tried again"),
    ),
    (
        &["cannot be told alive"],
        meaning(
            "unsure",
            "a task was started, and ECS or GitHub do not show it yet",
            "nothing: it is looked at again within a minute",
        ),
    ),
    (
        &["does not show the job's run"],
        meaning("run-not-shown", "GitHub does not show the job's run yet", "nothing: it is tried again"),
    ),
    (
        &["all names for this launch are taken"],
        meaning("names-taken", "earlier launches left registrations behind", "nothing: the cleaner deletes them"),
    ),
];

/// Why a delivery was ignored or a job refused: rows of the webhook's and worker's `reason`.
const REASONS: &[Row] = &[
    (
        &["no runner class has all labels"],
        meaning(
            "no-class",
            "its labels fit no class",
            "correct runs-on, or add the labels to a class; `jitgate explain` tries them",
        ),
    ),
    (
        &["ALLOWED_INSTALLATIONS"],
        meaning(
            "account-not-allowed",
            "the fleet does not serve this account",
            "add it: `jitgate upgrade --set AllowedInstallations=…`",
        ),
    ),
    (
        &["public_repositories"],
        meaning(
            "public-repository",
            "the fleet does not take jobs of public repositories",
            "set public_repositories in the class, after reading SECURITY.md, or use another runner",
        ),
    ),
    (
        &["fork_pull_requests"],
        meaning(
            "fork",
            "its code is from a fork, which the class does not take",
            "set fork_pull_requests in the class, after reading SECURITY.md, or use another runner; then cancel the job",
        ),
    ),
    (
        &["the job has no labels"],
        meaning("no-labels", "the job has no labels, only a group", "name a label of a class in runs-on"),
    ),
    (
        &["class "],
        meaning("misfit", "it asks for more than the class permits", "change what it names in runs-on or in the class"),
    ),
];

/// Why a task ended or did not start: rows of ECS's words.
const STOPS: &[Row] = &[
    (&["exit code 7"], VERSION),
    // The entry point of infra/image/docker.
    (&["exit code 70"], DOCKER),
    (&["exit code 75"], DOCKER),
    (&["toomanyrequests"], PULLS_LIMITED),
    (&["pull rate limit"], PULLS_LIMITED),
    (
        &["CannotPullContainerError", "platform"],
        meaning(
            "image-architecture",
            "the image is not for the task's architecture",
            "use an image for that architecture",
        ),
    ),
    (
        &["CannotPullContainerError", "not found"],
        meaning("image-missing", "the image does not exist", "correct RunnerImage: `jitgate upgrade --image IMAGE`"),
    ),
    (
        &["manifest unknown"],
        meaning("image-missing", "the image does not exist", "correct RunnerImage: `jitgate upgrade --image IMAGE`"),
    ),
    (
        &["CannotPullContainerError", "denied"],
        meaning(
            "image-denied",
            "the registry does not give the image out",
            "set RunnerImageRepositoryArn, or make the image public",
        ),
    ),
    (
        &["CannotPullContainerError", "not authorized"],
        meaning(
            "image-denied",
            "the registry does not give the image out",
            "set RunnerImageRepositoryArn, or make the image public",
        ),
    ),
    (&["CannotPullContainerError"], NO_WAY_OUT),
    (&["ResourceInitializationError"], NO_WAY_OUT),
    (
        &["its runner never connected"],
        meaning(
            "runner-offline",
            "the runner did not reach GitHub",
            "let the subnet reach GitHub; see docs/NETWORK.md, and the runner's output",
        ),
    ),
    (
        &["SpotInterruption"],
        meaning(
            "spot-interruption",
            "Spot took the capacity back",
            "nothing: it is launched again; use on-demand for jobs that must not be interrupted",
        ),
    ),
    (
        &["OutOfMemory"],
        meaning(
            "out-of-memory",
            "the runner ran out of memory",
            "give the class or the job more memory, such as by memory=8",
        ),
    ),
    (
        &["Capacity is unavailable"],
        meaning("no-capacity", "AWS has no capacity for the task", "nothing: it is launched again"),
    ),
    (
        &["InsufficientInstanceCapacity"],
        meaning(
            "no-capacity",
            "EC2 has no instance for the task",
            "nothing: it is launched again. If it never ends, see that the provider's instance requirements have an instance \
             of this size, and that EC2's vCPU quota has room",
        ),
    ),
];

/// What a worker's error means. A class is held back for what its last task ended with.
pub fn of_error(words: &str) -> Meaning {
    let of_class = words.split_once(CLASS_FAILS);
    let found = of_class.and_then(|(_, stop)| of_stop(stop)).or_else(|| find(ERRORS, words));
    found.unwrap_or(meaning("other", "its launch failed", "mend what the message names"))
}

/// What the reason of an ignored delivery means.
pub fn of_reason(words: &str) -> Meaning {
    find(REASONS, words).unwrap_or(meaning("ignored", "the fleet does not take it", "change what the reason names"))
}

/// What ECS's words for a stop mean; `None` if they say nothing of a cause.
pub fn of_stop(words: &str) -> Option<Meaning> {
    find(STOPS, words)
}

fn find(rows: &[Row], words: &str) -> Option<Meaning> {
    rows.iter().find(|(all, _)| all.iter().all(|each| says(words, each))).map(|(_, meaning)| *meaning)
}

/// Whether a text has these words. A number at their end is the whole number: `exit code 7` is not `exit code 70`.
fn says(text: &str, words: &str) -> bool {
    let is_digit = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_digit());
    let ends_in_number = is_digit(words.chars().last());
    text.match_indices(words).any(|(at, _)| !(ends_in_number && is_digit(text[at + words.len()..].chars().next())))
}
