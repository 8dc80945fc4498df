//! The binaries of the functions and of other programs: builds and finds them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// A program that speaks the Runtime API.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<String>,
    name: String,
}

impl Program {
    /// One of the workspace's functions, built by cargo in this test's own profile, once per process.
    ///
    /// # Panics
    /// If it cannot be built; cargo has then printed why.
    pub fn function(name: &str) -> Self {
        static BUILT: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);
        // A failed build in one test does not stop others from trying.
        let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
        let path = built.get_or_insert_default().entry(name.to_owned()).or_insert_with(|| build(name)).clone();
        Self { path, arguments: Vec::new(), name: name.to_owned() }
    }

    /// Any other program.
    pub fn other(name: &str, path: impl Into<PathBuf>, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self { path: path.into(), arguments, name: name.to_owned() }
    }

    /// The function's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that starts it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments);
        command
    }
}

/// Runs cargo each time: it decides whether there is anything to build.
fn build(name: &str) -> PathBuf {
    let directory = profile_directory();
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        None | Some("debug") => "dev",
        Some(profile) => profile,
    };
    let target = directory.parent().expect("a profile's directory is in the target directory");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        // For the whole workspace: otherwise cargo would choose fewer features and rebuild all dependencies.
        .args(["build", "--quiet", "--workspace", "--bin", name, "--profile", profile])
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(target)
        .output()
        .unwrap_or_else(|cause| panic!("cannot run cargo to build {name}: {cause}"));
    assert!(
        output.status.success(),
        "cargo could not build {name}, which this test runs:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    directory.join(name)
}

/// `target/debug`. Tests run from its folder `deps`, other programs from `target/debug` itself.
fn profile_directory() -> PathBuf {
    let mut directory = std::env::current_exe().expect("a running program has a path");
    directory.pop();
    if directory.ends_with("deps") || directory.ends_with("examples") {
        directory.pop();
    }
    directory
}
