//! What is downloaded to build, test and deploy is pinned by content, not only by name and version.

use std::path::{Path, PathBuf};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").to_owned()
}

fn files(folder: &str, is_wanted: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(root().join(folder)).expect("the folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
    let read = |name: String| {
        let text = std::fs::read_to_string(root().join(folder).join(&name)).expect("a text");
        (name, text)
    };
    names.filter(|name| is_wanted(name)).map(read).collect()
}

#[test]
fn each_python_package_is_pinned_with_hashes_and_each_that_we_name_is_among_them() {
    let is_list =
        |name: &str| name.starts_with("requirements") && Path::new(name).extension().is_some_and(|end| end == "txt");
    let lists = files("infra/local", is_list);
    assert_eq!(lists.len(), 5, "{lists:?}");
    for (name, list) in &lists {
        let list = list.replace("\\\n", " ");
        let packages: Vec<_> = list.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(packages.iter().all(|line| line.contains("==") && line.contains("--hash=sha256:")), "{name}");
        assert!(!list.contains("://"), "{name} names a host");
        let named =
            std::fs::read_to_string(root().join("infra/local").join(name.replace(".txt", ".in"))).expect("a text");
        for package in named.lines().filter(|line| line.contains("==")) {
            assert!(
                packages.iter().any(|line| line.split(' ').next() == Some(package)),
                "{package} in {name}: make pins"
            );
        }
    }
    let toolchain = std::fs::read_to_string(root().join("infra/local/toolchain.py")).expect("a text");
    assert!(toolchain.contains("\"--require-hashes\""));
}

#[test]
fn each_npm_package_has_its_integrity_and_no_address() {
    let lock = std::fs::read_to_string(root().join("tests/package-lock.json")).expect("a text");
    let lock: Value = serde_json::from_str(&lock).expect("JSON");
    for (name, package) in lock["packages"].as_object().expect("packages").iter().filter(|(name, _)| !name.is_empty()) {
        let integrity = package["integrity"].as_str().unwrap_or_default();
        assert!(integrity.starts_with("sha512-"), "{name}: {integrity}");
        assert!(package.get("resolved").is_none(), "{name}");
    }
}

#[test]
fn each_action_is_pinned_to_a_commit() {
    let workflows = files(".github/workflows", |_| true);
    let actions =
        |text: &str| text.lines().filter_map(|line| Some(line.split_once("uses: ")?.1.to_owned())).collect::<Vec<_>>();
    let used: Vec<_> = workflows.iter().flat_map(|(_, text)| actions(text)).collect();
    assert!(used.len() > 10, "{used:?}");
    for action in used {
        let commit = action.split_once('@').expect("a version").1.split(' ').next().unwrap_or_default();
        assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{action}");
    }
}
