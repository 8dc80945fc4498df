//! `jitgate explain`, as a process: what it says about a job's labels.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};

use jitgate_tests::lambda::Program;

const CLASSES: &str = r#"[
    {"name":"small","labels":["fargate"],"task_definition":{"x86_64":"runner","arm64":"runner-arm64"},"subnets":["s"],
     "cpu":1,"memory":4,"sizes":{"cpu":2,"memory":8,"arch":true,"disk":50}},
    {"name":"large","labels":["fargate"],"task_definition":"large","subnets":["s"],"capacity":["spot","on-demand"],
     "sizes":{"cpu":16},"fallback":["small"]},
    {"name":"own","labels":["own"],"task_definition":"own","subnets":["s"]}]"#;

/// A file that is deleted at the end of the test.
struct Classes(PathBuf);

impl Classes {
    fn new(name: &str, json: &str) -> Self {
        let path = std::env::temp_dir().join(format!("jitgate-explain-{}-{name}.json", std::process::id()));
        std::fs::write(&path, json).expect("a directory for temporary files that can be written");
        Self(path)
    }
}

impl Drop for Classes {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A folder of workflows that is deleted at the end of the test.
struct Workflows(PathBuf);

impl Workflows {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let path = std::env::temp_dir().join(format!("jitgate-explain-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory for temporary files that can be written");
        for (file, text) in files {
            std::fs::write(path.join(file), text).expect("it can be written");
        }
        Self(path)
    }
}

impl Drop for Workflows {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs the command with these classes in a file, without an AWS account.
fn explain(arguments: &[&str], classes: Option<&str>) -> Output {
    static FILES: AtomicUsize = AtomicUsize::new(0);
    let mut command = Program::function("jitgate").command();
    command.arg("explain").args(arguments);
    let file = classes.map(|classes| Classes::new(&FILES.fetch_add(1, Ordering::Relaxed).to_string(), classes));
    if let Some(file) = &file {
        command.arg("--classes").arg(&file.0);
    }
    command.output().expect("it runs")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_job_is_told_its_class_size_architecture_capacity_and_price_and_why() {
    let file = Classes::new("story", CLASSES);
    let path = file.0.to_str().expect("a path in UTF-8");
    let output = explain(&["fargate, cpu=2,arch=arm64,disk=40", "--classes", path], None);
    let told = text(&output).replace(path, "FILE");
    assert_eq!(output.status.code(), Some(0), "{told}");
    // A minute of 2 vCPU and 4 GiB on ARM, with 20 GiB of disk beyond the included 20.
    let price = (2.0 * 0.03238 + 4.0 * 0.00356 + 20.0 * 0.000_111) / 60.0;
    assert!(told.contains(&format!("${price:.5} a minute")), "{told}");
    insta::assert_snapshot!(told);
}

#[test]
fn the_commands_of_the_docs_explain_their_own_classes() {
    let page = |path: &str| {
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).expect("a page")
    };
    let labels = page("docs/LABELS.md");
    let json =
        labels.split("```json\n[").nth(1).and_then(|rest| rest.split("```").next()).expect("the table's classes");
    let file = Classes::new("docs", &format!("[{json}"));
    let pages = [page("docs/CONFIGURATION.md"), labels.clone()].concat();
    let commands: Vec<_> = pages.lines().filter_map(|line| line.strip_prefix("jitgate explain ")).collect();
    assert_eq!(commands.len(), 3, "{commands:?}");
    let workflows = Workflows::new("docs", &[("ci.yml", "jobs: {build: {runs-on: [fargate, cpu=4]}}")]);
    for command in commands {
        let arguments = command
            .replace("classes.json", file.0.to_str().expect("a path in UTF-8"))
            .replace(".github/workflows", workflows.0.to_str().expect("a path in UTF-8"));
        let mut arguments: Vec<_> = arguments.split(' ').collect();
        if !command.contains("--repository") {
            // The table's classes require a repository.
            arguments.extend(["--repository", "octo-org/octo-repo"]);
        }
        let output = explain(&arguments, None);
        assert_eq!(output.status.code(), Some(0), "{command}: {}", text(&output));
        let told = text(&output);
        assert!(told.contains("class         small") || told.contains("| small |"), "{told}");
    }
}

#[test]
fn each_choice_has_its_own_price_and_fallbacks_are_named() {
    let output = explain(&["fargate/cpu=16"], Some(CLASSES));
    let told = text(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let on_demand = (16.0 * 0.04048 + 32.0 * 0.004_445) / 60.0;
    for part in [
        format!("about ${:.5} a minute", on_demand * 0.3),
        format!(", ${on_demand:.5} a minute"),
        "on-demand as class small".to_owned(),
        "does not fit: cpu=16".to_owned(),
        format!("{} bytes; a function has 4096", CLASSES.len()),
    ] {
        assert!(told.contains(&part), "{part}: {told}");
    }
}

#[test]
fn a_job_that_gets_nothing_is_told_why_and_ends_with_1() {
    let output = explain(&["fargate,cpu=32"], Some(CLASSES));
    let told = text(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("cpu=32 is too large: Fargate has 16 vCPU"), "{told}");
    let output = explain(&["own"], Some(CLASSES));
    assert!(text(&output).contains("depends on the task definition"), "{}", text(&output));
}

#[test]
fn a_wrong_command_line_is_explained_and_ends_with_2() {
    let for_some = CLASSES.replace(r#""sizes":{"cpu":16}"#, r#""repositories":["a/*"]"#);
    for (arguments, classes, says) in [
        (&[][..], Some(CLASSES), "<LABELS>..."),
        (&["--colour", "red"], Some(CLASSES), "unexpected argument '--colour'"),
        (&["a"], Some("[]"), "at least one class is needed"),
        (&["a", "--classes", "/no/such/file"], None, "/no/such/file: No such file"),
        (&["a"], Some(&for_some), "--repository OWNER/NAME"),
        (&["a", "--repository", "a"], Some(CLASSES), "OWNER/NAME"),
        (&["a", "--file", "x"], Some(CLASSES), "cannot be used with"),
    ] {
        let output = explain(arguments, classes);
        let told = text(&output);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(says), "{says}: {told}");
    }
    let output = explain(&["fargate,cpu=1", "--repository", "b/c"], Some(&for_some));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

#[test]
fn a_folder_of_workflows_becomes_a_table_of_its_jobs() {
    let workflows = Workflows::new(
        "table",
        &[
            (
                "ci.yml",
                r#"
                on: push
                jobs:
                  lint: {runs-on: fargate}
                  hosted: {runs-on: ubuntu-latest}
                  group: {runs-on: {group: large}}
                  both: {runs-on: {group: large, labels: [fargate, "cpu=2"]}}
                  called: {uses: ./.github/workflows/other.yml}
                  chosen: {runs-on: "${{ inputs.runner }}"}
                  bound: {runs-on: "fargate/cpu=2/run=${{ github.run_id }}-${{ strategy.job-index }}"}
                  partly: {runs-on: [fargate, "cpu=${{ vars.CPU }}"]}
                "#,
            ),
            (
                "matrix.yaml",
                r#"
                jobs:
                  test:
                    strategy:
                      matrix:
                        cpu: [1, 2, 32]
                        kind: [unit, slow]
                        exclude: [{cpu: 1, kind: slow}, {cpu: 2, kind: slow}, {cpu: 32, kind: slow}]
                        include: [{cpu: 2, disk: 40}, {cpu: 4, kind: alone}]
                    runs-on: [fargate, "cpu=${{ matrix.cpu }}"]
                  lists:
                    strategy: {matrix: {on: [fargate, [fargate, "arch=arm64"]]}}
                    runs-on: ${{ matrix.on }}
                  computed:
                    strategy: {matrix: "${{ fromJSON(needs.plan.outputs.matrix) }}"}
                    runs-on: ${{ matrix.on }}
                "#,
            ),
            ("notes.txt", "not a workflow"),
        ],
    );
    let path = workflows.0.to_str().expect("a path in UTF-8");
    let output = explain(&["--file", path], Some(CLASSES));
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    insta::assert_snapshot!(text(&output));
    let output = explain(&["--file", path, "--json"], Some(CLASSES));
    let told: serde_json::Value = serde_json::from_str(&text(&output)).expect("JSON");
    let lines = told["jobs"].as_array().expect("a list");
    assert_eq!(lines.len(), 15, "{lines:#?}");
    let bound = lines.iter().find(|line| line["job"] == "ci.yml: bound").expect("it is there");
    assert_eq!(bound["class"], serde_json::Value::Null);
    let reason = bound["reason"].as_str().expect("a reason");
    assert!(
        reason.starts_with("class small: run=1-1 cannot be chosen") && reason.ends_with("set run in sizes"),
        "{reason}"
    );
}

#[test]
fn a_label_is_taken_as_it_is_and_shown_with_its_blanks() {
    let classes = CLASSES.replace(r#""labels":["own"]"#, r#""labels":["codebuild-web-*"],"compatible":["codebuild"]"#);
    let label = "codebuild-web-1-1 image:linux-5.0";
    let output = explain(&["--label", label], Some(&classes));
    let told = text(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains(&format!("labels        {label:?}")), "{told}");
    assert!(told.contains("left out      \"image:linux-5.0\": the image"), "{told}");
    let output = explain(&["--label", "fargate ", "--label", "cpu=1,memory=2"], Some(CLASSES));
    let told = text(&output);
    assert!(told.contains(r#""fargate ", "cpu=1,memory=2""#), "{told}");
    assert_eq!(output.status.code(), Some(1), "{told}");
    let output = explain(&["--label", "fargate", "--label", "cpu=32", "--label", "disk=60", "--json"], Some(CLASSES));
    let told: serde_json::Value = serde_json::from_str(&text(&output)).expect("JSON");
    assert_eq!(told["classes"][0]["reasons"].as_array().map(Vec::len), Some(2), "all that is wrong: {told:#}");
    assert_eq!(told["classes"][0]["to_fit"], serde_json::json!(["raise sizes.disk to 60 GiB"]), "{told:#}");
}

#[test]
fn json_lines_are_many_sets() {
    let file = Classes::new("lines", "[\"fargate\"]\n\n[\"fargate\", \"cpu=2\"]\n");
    let path = file.0.to_str().expect("a path in UTF-8");
    let output = explain(&["--file", path], Some(CLASSES));
    let told = text(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("| line 1 | \"fargate\" | small |") && told.contains("| line 3 |"), "{told}");
}

#[test]
fn labels_that_no_class_has_are_told_the_nearest_class() {
    let output = explain(&["fargate,cpu=2", "blue"], Some(CLASSES));
    let told = text(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("nearest       class small: blue is not one of its labels. To fit: add blue to labels"),
        "{told}"
    );
    let output = explain(&["ubuntu-latest", "--json"], Some(CLASSES));
    let told: serde_json::Value = serde_json::from_str(&text(&output)).expect("JSON");
    assert_eq!(told["nearest"], serde_json::Value::Null, "no class has anything of it: {told:#}");
}

#[test]
fn the_price_of_a_provider_is_not_known_and_its_disk_is_that_of_its_instances() {
    let classes = r#"[{"name":"docker","labels":["docker"],"task_definition":"d","subnets":["s"],"cpu":3,"memory":5,
                       "capacity":[{"provider":"instances"}],"sizes":{"cpu":4}}]"#;
    let told = text(&explain(&["docker,cpu=3.5"], Some(classes)));
    for words in [
        "size          3.5 vCPU and 5 GiB",
        "disk          that of the provider's instances",
        "provider instances, task definition d, price not known: AWS bills the provider's instances",
    ] {
        assert!(told.contains(words), "{told}");
    }
    let json = text(&explain(&["docker", "--json"], Some(classes)));
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["capacity"], "provider instances");
    assert!(json["dollars_a_minute"].is_null(), "{json}");
}
