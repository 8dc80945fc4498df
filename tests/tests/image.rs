//! The entry point of the image with Docker, executed with stand-ins for the daemon and for what needs root; and the sizes that
//! `make image` prints.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

/// A folder that stands in for the container: programs, and what they note.
struct Container {
    folder: PathBuf,
}

impl Container {
    /// A container in which `dockerd` is this script, after it has noted its start.
    fn new(dockerd: &str) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("image-{}-{number}", std::process::id()));
        std::fs::create_dir_all(folder.join("bin")).expect("a folder");
        let container = Self { folder };
        container.program("dockerd", &format!("note dockerd starts\n{dockerd}"));
        container.program("docker", "test -e \"$WORLD/answers\"");
        container.program("iptables", "exit 0");
        container.program("setpriv", "note \"as $1\"\nwhile [ \"$1\" != -- ]; do shift; done\nshift\nexec \"$@\"");
        container
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.folder.join("bin").join(name);
        let text = format!("#!/bin/sh\nnote() {{ echo \"$*\" >>\"$WORLD/notes\"; }}\n{script}\n");
        std::fs::write(&path, text).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a file of ours");
    }

    fn start(&self, command: &str) -> Child {
        self.program("job", command);
        let entry = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/image/docker/entrypoint.sh");
        let path = format!("{}:{}", self.folder.join("bin").display(), std::env::var("PATH").expect("a path"));
        Command::new("sh")
            .arg(entry)
            .arg("job")
            .env("PATH", path)
            .env("WORLD", &self.folder)
            .env("DOCKERD_LOG", self.folder.join("dockerd.log"))
            .env("DOCKERD_WAIT", "2")
            .env("DOCKERD_STOP", "1")
            .env("CGROUP", self.folder.join("no-cgroup"))
            .stderr(Stdio::piped())
            .spawn()
            .expect("a shell")
    }

    /// Waits until the container's programs have noted this.
    fn until(&self, note: &str) {
        while !self.notes().iter().any(|each| each == note) {
            std::thread::yield_now();
        }
    }

    fn notes(&self) -> Vec<String> {
        let notes = std::fs::read_to_string(self.folder.join("notes")).unwrap_or_default();
        notes.lines().map(str::to_owned).collect()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn terminate(child: &Child) {
    let done = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill");
    assert!(done.success());
}

/// The exit code, and what was said.
fn end(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().expect("an end");
    assert_eq!(output.status.signal(), None, "it ends by itself");
    (output.status.code(), String::from_utf8(output.stderr).expect("text"))
}

/// A daemon that answers soon, and stops when it is told to.
const GOOD: &str = "trap 'note dockerd stops; exit 0' TERM\ntouch \"$WORLD/answers\"\nwhile :; do sleep 0.05; done";

#[test]
fn the_daemon_answers_before_the_runner_starts_and_stops_after_it() {
    let slow = GOOD.replace("touch", "sleep 0.3; note dockerd is ready; touch");
    for code in [0, 3, 127] {
        let container = Container::new(&slow);
        let (ended, said) = end(container.start(&format!("note job in \"$HOME\"\nexit {code}")));
        assert_eq!((ended, said.as_str()), (Some(code), ""));
        let in_order =
            ["dockerd starts", "dockerd is ready", "as --reuid=runner", "job in /home/runner", "dockerd stops"];
        assert_eq!(container.notes(), in_order);
    }
}

#[test]
fn a_daemon_that_ends_is_told_in_its_own_words_and_no_runner_starts() {
    let container = Container::new("echo 'failed to start daemon: no iptables' >&2\nexit 1");
    let (code, said) = end(container.start("note job"));
    assert_eq!(code, Some(70), "{said}");
    assert!(said.contains("no iptables") && said.contains("ended before it answered"), "{said}");
    assert_eq!(container.notes(), ["dockerd starts"]);
}

#[test]
fn a_daemon_that_does_not_answer_in_time_is_told_and_stopped_and_no_runner_starts() {
    let container = Container::new(&GOOD.replace("touch \"$WORLD/answers\"", "echo waiting for containerd"));
    let (code, said) = end(container.start("note job"));
    assert_eq!(code, Some(75), "{said}");
    assert!(said.contains("waiting for containerd") && said.contains("did not answer within 2 s"), "{said}");
    assert_eq!(container.notes(), ["dockerd starts", "dockerd stops"]);
}

#[test]
fn the_runner_hears_that_it_must_stop_and_has_the_daemon_until_it_has_ended() {
    let container = Container::new(GOOD);
    let job = "trap 'note job hears; sleep 0.2; note job ends; exit 5' TERM\nnote job\nwhile :; do sleep 0.05; done";
    let child = container.start(job);
    container.until("job");
    terminate(&child);
    assert_eq!(end(child).0, Some(5), "the runner's own code");
    assert_eq!(container.notes()[2..], ["job", "job hears", "job ends", "dockerd stops"]);
}

#[test]
fn told_twice_the_runner_still_ends_in_its_own_time() {
    let container = Container::new(GOOD);
    let job = "trap 'note job hears' TERM\nnote job\nuntil test -e \"$WORLD/finish\"; do sleep 0.05; done\nexit 4";
    let child = container.start(job);
    container.until("job");
    terminate(&child);
    container.until("job hears");
    terminate(&child);
    std::fs::write(container.folder.join("finish"), "").expect("a file");
    assert_eq!(end(child).0, Some(4));
}

#[test]
fn a_container_that_must_stop_before_its_daemon_answers_starts_no_runner() {
    let container = Container::new(&GOOD.replace("touch \"$WORLD/answers\"", "note dockerd waits"));
    let child = container.start("note job");
    container.until("dockerd waits");
    terminate(&child);
    assert_eq!(end(child).0, Some(143));
    assert_eq!(container.notes(), ["dockerd starts", "dockerd waits", "dockerd stops"]);
}

#[test]
fn a_daemon_that_does_not_stop_is_killed() {
    let container = Container::new("trap '' TERM\ntouch \"$WORLD/answers\"\nwhile :; do sleep 0.05; done");
    let (code, said) = end(container.start("exit 0"));
    assert_eq!(code, Some(0));
    assert!(said.contains("so it is killed"), "{said}");
}

#[test]
fn control_groups_are_made_ready_for_containers_with_limits() {
    let container = Container::new(GOOD);
    let group = container.folder.join("no-cgroup");
    std::fs::create_dir_all(&group).expect("a folder");
    for (file, text) in
        [("cgroup.subtree_control", ""), ("cgroup.controllers", "cpu io memory\n"), ("cgroup.procs", "1\n")]
    {
        std::fs::write(group.join(file), text).expect("a file");
    }
    assert_eq!(end(container.start("exit 0")).0, Some(0));
    let read = |file: &str| std::fs::read_to_string(group.join(file)).expect("a file");
    assert_eq!((read("cgroup.subtree_control").trim(), read("init/cgroup.procs").trim()), ("+cpu +io +memory", "1"));
}

/// An archive as `docker save` writes it: one layer as it is unpacked, one compressed.
fn archive(folder: &Path, plain: &[u8], compressed: usize) -> PathBuf {
    let blobs = folder.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).expect("a folder");
    let write = |name: &str, text: &[u8]| std::fs::write(blobs.join(name), text).expect("a file");
    write("plain", plain);
    write("gzip", &[&[0x1f, 0x8b][..], &vec![0; compressed - 2]].concat());
    let history = r#"{"history": [{"created_by": "COPY runner"}, {"created_by": "ENV", "empty_layer": true},
                      {"created_by": "RUN apt-get  install"}]}"#;
    write("config", history.as_bytes());
    let manifest = r#"{"config": {"digest": "sha256:config"},
                       "layers": [{"digest": "sha256:plain"}, {"digest": "sha256:gzip"}]}"#;
    write("manifest", manifest.as_bytes());
    std::fs::write(folder.join("index.json"), r#"{"manifests": [{"digest": "sha256:manifest"}]}"#).expect("a file");
    let tar = folder.join("image.tar");
    let done = Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(folder).args(["index.json", "blobs"]).status();
    assert!(done.is_ok_and(|status| status.success()));
    tar
}

fn measure(image: &str, archive: &Path) -> (Option<i32>, String, String) {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/image/build.py");
    let output =
        Command::new("python3").arg(program).arg(image).arg("--archive").arg(archive).output().expect("Python");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn an_images_size_is_that_of_its_compressed_layers_and_a_slim_one_has_a_limit() {
    let container = Container::new("");
    let small = archive(&container.folder, &vec![0; 50_000_000], 2_000_000);
    let (code, said, refused) = measure("slim", &small);
    assert_eq!((code, refused.as_str()), (Some(0), ""));
    assert!(said.contains("2.0 MB  RUN apt-get install") && said.contains("0.0 MB  COPY runner"), "{said}");
    let large = archive(&container.folder, b"", 300_100_000);
    assert_eq!(measure("docker", &large).0, Some(0), "only the slim one has a limit");
    let (code, _, refused) = measure("slim", &large);
    assert_eq!((code, refused.trim()), (Some(1), "slim has 300 MB compressed, more than the 300 MB that it may have"));
}

/// A stand-in for the AWS CLI, and a stack with Docker.
const AWS: &str = r#"note "$1 $2"
case "$1 $2" in
    "cloudformation describe-stacks") cat <<'END'
{"Stacks": [{"Outputs": [{"OutputKey": "ClusterName", "OutputValue": "runners"},
                         {"OutputKey": "DockerCapacityProvider", "OutputValue": "docker-jitgate"},
                         {"OutputKey": "DockerTaskDefinitionArn", "OutputValue": "arn"}],
             "Parameters": [{"ParameterKey": "DockerSubnetIds", "ParameterValue": "subnet-1"},
                            {"ParameterKey": "DockerScaleInAfter", "ParameterValue": "300"}]}]}
END
    ;;
    "ecs run-task") case "$*" in
        *assignPublicIp*) echo "Assign public IP is not supported for this launch type." >&2; exit 254 ;;
        *) echo '{"tasks": [{"taskArn": "arn/1"}], "failures": []}' ;;
    esac ;;
    *) echo '{}' ;;
esac"#;

#[test]
fn a_trial_in_an_account_tells_awss_words_and_stops_what_should_not_have_started() {
    let container = Container::new("");
    container.program("aws", AWS);
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/image/try_docker.py");
    let output = Command::new("python3")
        .arg(program)
        .args(["public-ip", "disk"])
        .env("AWS_CLI", container.folder.join("bin/aws"))
        .env("WORLD", &container.folder)
        .env("STACK", "jitgate")
        .output()
        .expect("Python");
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(said.contains("public-ip: refused: Assign public IP is not supported"), "{said}");
    assert!(said.contains("disk: NOT refused: arn/1 was started, and is stopped"), "{said}");
    let calls = ["cloudformation describe-stacks", "ecs run-task", "ecs run-task", "ecs stop-task"];
    assert_eq!(container.notes(), calls);
}
