# The gate: the runner executes this before the first step of whatever job GitHub gave it, as the hook
# ACTIONS_RUNNER_HOOK_JOB_STARTED. It refuses a job that the runner was not made for.
#
# JITGATE_GATE says in words what the runner was made for: `off`, or
#   for=O/R         the repository of the job that it was launched for; absent for a warm runner
#   owner=O         all repositories belong to this account
#   repository=GLOB one for each of the class's `repositories`, in lower case
#   run=ID          the job asked for a runner of its own: only this run may use it
#   public, forks   the class takes jobs of public repositories, of pull requests from forks
#
# A failed hook fails the job, but its steps with `if: always()` run nevertheless (actions/runner issue 2811). So a
# refusal kills the runner's worker, which is this script's parent and which executes the steps. The listener then fails
# the job, with the worker's last output as the error that the developer reads.
#
# A class may add scripts of its own. JITGATE_JOB_STARTED is executed once the gate has let the job in, and how it ends is
# how this hook ends. JITGATE_JOB_COMPLETED becomes the file that the runner executes after the job's last step.

words="the gate itself failed"
allowed=no
end() {
    status=$?
    if [ "$allowed" = yes ]; then exit $status; fi
    words="jitgate refuses this job: $words."
    echo "$words"
    { echo "$words" >>"/proc/$PPID/fd/1"; } 2>/dev/null || :
    kill -KILL "$PPID"
    exit 1
}
trap end EXIT
trap 'exit 1' HUP INT TERM

allow() {
    allowed=yes
    if [ -n "${JITGATE_JOB_COMPLETED-}" ]; then
        printf '%s\n' "$JITGATE_JOB_COMPLETED" >"$ACTIONS_RUNNER_HOOK_JOB_COMPLETED" || exit
    fi
    if [ -z "${JITGATE_JOB_STARTED-}" ]; then exit 0; fi
    # As the runner executes a hook: with bash, if there is one.
    if command -v bash >/dev/null; then bash -ec "$JITGATE_JOB_STARTED"; else sh -ec "$JITGATE_JOB_STARTED"; fi || exit
    exit 0
}
refuse() { words=$1; exit 1; }

set -f # the globs below are not for file names
owner='' own='' run='' globs='' public=no forks=no
for word in ${JITGATE_GATE-}; do
    case $word in
        off) allow ;;
        for=*) own=${word#*=} ;;
        owner=*) owner=${word#*=} ;;
        repository=*) globs="$globs ${word#*=}" ;;
        run=*) run=${word#*=} ;;
        public) public=yes ;;
        forks) forks=yes ;;
        on) ;;
        *) refuse "it does not understand JITGATE_GATE: $word" ;;
    esac
done
if [ -z "${JITGATE_GATE-}" ]; then refuse "nothing says what this runner was made for (JITGATE_GATE)"; fi
if ! command -v sed >/dev/null; then refuse "the runner's image has no sed"; fi
if [ -z "${GITHUB_REPOSITORY-}" ] || [ -z "${GITHUB_EVENT_NAME-}" ]; then refuse "the runner did not say which job it is"; fi

lower() { echo "$1" | sed 'y/ABCDEFGHIJKLMNOPQRSTUVWXYZ/abcdefghijklmnopqrstuvwxyz/'; }
repository=$(lower "$GITHUB_REPOSITORY")

if [ -n "$owner" ] && [ "${repository%%/*}" != "$owner" ]; then
    refuse "this runner is for repositories of $owner, not for $GITHUB_REPOSITORY"
fi
if [ -n "$run" ] && [ "$run" != "${GITHUB_RUN_ID-}" ]; then
    refuse "this runner is for run $run only (the label run=). Give each job a run= of its own"
fi
if [ -n "$globs" ]; then
    found=no
    for glob in $globs; do
        case $repository in $glob) found=yes ;; esac
    done
    if [ $found = no ]; then
        refuse "this runner's class does not take jobs of $GITHUB_REPOSITORY (repositories). Another class with the same labels may: re-run the job, or use other labels"
    fi
fi
if [ $public = yes ] && [ $forks = yes ]; then allow; fi

# The runner writes the payload with one member a line, two spaces for each level. Text from outside stays inside a
# line's quotes, so it cannot pass for a member.
payload=${GITHUB_EVENT_PATH-}
if [ -n "$payload" ] && [ -r "$payload" ]; then :; else payload=/dev/null; fi
private=$(sed -n '/^  "repository": {$/,/^  }/s/^    "private": \([a-z]*\),\{0,1\}$/\1/p' "$payload")
if [ "$private" = true ]; then allow; fi
if [ $public = no ]; then
    if [ "$private" = false ]; then
        refuse "this runner's class does not take jobs of public repositories (public_repositories)"
    fi
    # Some events have no payload. The job that the runner was made for is known to be private; a schedule runs only what
    # is on the default branch.
    if [ "$repository" = "$own" ] || [ "$GITHUB_EVENT_NAME" = schedule ]; then allow; fi
    refuse "the event does not say whether $GITHUB_REPOSITORY is public"
fi

heads=$(
    sed -n '/^  "pull_request": {$/,/^  }/p' "$payload" | sed -n '/^    "head": {$/,/^    }/p' |
        sed -n '/^      "repo": {$/,/^      }/s/^        "full_name": "\(.*\)",\{0,1\}$/\1/p'
    sed -n '/^  "workflow_run": {$/,/^  }/p' "$payload" |
        sed -n '/^    "head_repository": {$/,/^    }/s/^      "full_name": "\(.*\)",\{0,1\}$/\1/p'
)
if [ -n "$heads" ]; then
    if [ "$(lower "$heads")" = "$repository" ]; then allow; fi
    refuse "it comes from a fork, and this runner's class does not take pull requests from forks (fork_pull_requests)"
fi
case $GITHUB_EVENT_NAME in
    pull_request* | workflow_run) refuse "its event does not say where the code comes from: perhaps from a deleted fork" ;;
esac
allow
