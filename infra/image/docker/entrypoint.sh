#!/bin/sh
# Starts the Docker daemon, waits until it answers, and runs the container's command as the user `runner`. When the command
# ends, it stops the daemon and ends with the command's exit code.
#
#   70  the daemon ended before it answered; its last words are above
#   75  the daemon did not answer within DOCKERD_WAIT seconds
#   143 the container was told to stop before the command began

: "${DOCKERD_WAIT:=60}" "${DOCKERD_STOP:=10}" "${DOCKERD_LOG:=/var/log/dockerd.log}" "${CGROUP:=/sys/fs/cgroup}"

daemon='' command='' signalled=no

say() { echo "jitgate: $*" >&2; }

# The runner cancels its job when it is told to stop. It needs the daemon until then.
on_signal() {
    signalled=yes
    if [ -n "$command" ]; then kill -TERM "$command" 2>/dev/null; fi
}
trap on_signal TERM INT

stop_daemon() {
    kill -TERM "$daemon" 2>/dev/null || return 0
    left=$((DOCKERD_STOP * 10))
    while kill -0 "$daemon" 2>/dev/null; do
        if [ "$left" -le 0 ]; then
            say "the Docker daemon does not stop, so it is killed"
            kill -KILL "$daemon" 2>/dev/null
            return 0
        fi
        left=$((left - 1))
        sleep 0.1
    done
}

fail() {
    code=$1
    shift
    tail -n 20 "$DOCKERD_LOG" >&2
    say "$*"
    stop_daemon
    exit "$code"
}

# A control group with processes of its own cannot give controllers to groups below it, which a container with limits needs
# (cgroup v2). So everything moves into a group beside them.
if [ -w "$CGROUP/cgroup.subtree_control" ]; then
    mkdir -p "$CGROUP/init"
    while read -r process; do
        echo "$process" >"$CGROUP/init/cgroup.procs"
    done <"$CGROUP/cgroup.procs" 2>/dev/null
    sed 's/[^ ]*/+&/g' "$CGROUP/cgroup.controllers" >"$CGROUP/cgroup.subtree_control" 2>/dev/null ||
        say "control groups cannot be nested: limits of containers have no effect"
fi

# Some kernels have only the older of the two tables.
if ! iptables --wait --list >/dev/null 2>&1 && iptables-legacy --wait --list >/dev/null 2>&1; then
    for program in iptables ip6tables; do
        update-alternatives --set "$program" "/usr/sbin/$program-legacy" >/dev/null
    done
fi

dockerd --host unix:///var/run/docker.sock --group docker >"$DOCKERD_LOG" 2>&1 &
daemon=$!

left=$((DOCKERD_WAIT * 10))
until docker version >/dev/null 2>&1; do
    if [ "$signalled" = yes ]; then
        stop_daemon
        exit 143
    fi
    if ! kill -0 "$daemon" 2>/dev/null; then fail 70 "the Docker daemon ended before it answered"; fi
    if [ "$left" -le 0 ]; then fail 75 "the Docker daemon did not answer within $DOCKERD_WAIT s"; fi
    left=$((left - 1))
    sleep 0.1
done

HOME=/home/runner setpriv --reuid=runner --regid=runner --init-groups -- "$@" &
command=$!
# The signal may have come before there was anybody to tell.
if [ "$signalled" = yes ]; then on_signal; fi

# A signal ends `wait` early. A command that has been waited for already is unknown to it: 127.
code=127
while :; do
    signalled=no
    wait "$command"
    ended=$?
    if [ "$ended" -ne 127 ]; then code=$ended; fi
    if [ "$signalled" = no ]; then break; fi
done

stop_daemon
exit "$code"
