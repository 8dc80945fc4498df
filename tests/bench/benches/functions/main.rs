//! Measures the functions' release binaries as Lambda runs them: as processes behind a Runtime API. The stand-ins for
//! AWS and GitHub answer at once, or after a delay that uses no processor time.
//!
//! `make bench`, or `cargo bench -p jitgate-bench --bench functions -- [--write] [--quick] [--functions FOLDER] [PART]`.
//! The parts `bursts`, `shortages`, `faults` and `limits` are measured only where they are named: they take most of an
//! hour, twelve minutes, three and twenty.

mod cold;
mod deployment;
mod limits;
mod memory;
mod package;
mod shortages;
mod storm;
mod warm;

use std::path::{Path, PathBuf};
use std::process::Command;

use jitgate_bench::cost;
use jitgate_bench::figures::{Figure, replaced, table};

use deployment::Programs;

/// The parsed command line.
struct Options {
    /// Whether to write the tables into the documentation.
    write: bool,
    /// Whether to make only a tenth of the runs, for a quick look.
    quick: bool,
    /// The folder of the binaries; absent to build them first.
    functions: Option<PathBuf>,
    /// Measures only the parts whose names contain this.
    only: Option<String>,
}

impl Options {
    fn of_process() -> Self {
        let mut options = Self { write: false, quick: false, functions: None, only: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--write" => options.write = true,
                "--quick" => options.quick = true,
                "--functions" => options.functions = arguments.next().map(PathBuf::from),
                // Cargo passes this to every benchmark.
                "--bench" => {}
                other => options.only = Some(other.to_owned()),
            }
        }
        options
    }

    fn runs(&self, runs: usize) -> usize {
        if self.quick { (runs / 10).max(3) } else { runs }
    }
}

// On one thread, which leaves the other core to the functions.
#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the figures, and what is going on")]
async fn main() {
    let options = Options::of_process();
    let programs = Programs::in_folder(&options.functions.clone().unwrap_or_else(build));
    let mut figures: Vec<Figure> = Vec::new();
    // Printed at once, since a later part can fail.
    let mut add = |new: Vec<Figure>| {
        for figure in &new {
            println!("{}", figure.line());
        }
        figures.extend(new);
    };
    let wanted = |part: &str| {
        let wanted = options.only.as_ref().is_none_or(|only| part.contains(only.as_str()));
        if wanted {
            eprintln!("{part} …");
        }
        wanted
    };
    if wanted("cold") {
        add(cold::webhook(&programs, options.runs(200)).await);
    }
    if wanted("warm") {
        add(warm::deliveries(&programs, options.runs(200)).await);
        add(warm::forgeries(&programs, options.runs(50)).await);
    }
    if wanted("round-trips") {
        add(cold::worker(&programs, options.runs(20)).await);
    }
    if wanted("calls") {
        add(warm::calls(&programs, options.runs(100)).await);
    }
    if wanted("storm") {
        add(storm::unpaced(&programs, options.runs(20).min(3)).await);
    }
    if wanted("paced") {
        add(storm::paced(&programs).await);
    }
    // It takes most of an hour, so only where it is asked for.
    if options.only.as_deref() == Some("bursts") {
        add(storm::bursts(&programs, if options.quick { 1 } else { 3 }).await);
    }
    if options.only.as_deref() == Some("shortages") {
        add(shortages::shortages(&programs, if options.quick { 1 } else { 3 }).await);
    }
    if options.only.as_deref() == Some("faults") {
        add(shortages::four_faults(&programs, if options.quick { 1 } else { 3 }).await);
    }
    if options.only.as_deref() == Some("limits") {
        add(limits::limits(&programs, if options.quick { 1 } else { 3 }).await);
    }
    if wanted("memory") {
        add(memory::peaks(&programs, options.runs(20).min(3)).await);
    }
    if wanted("package") {
        add(package::sizes(&programs));
    }
    println!("{}", table(&figures));
    if options.write {
        write(&figures, options.only.is_none());
    }
    if let Some(missed) = figures.iter().find(|figure| !figure.is_met()) {
        eprintln!("missed: {}", missed.name);
    }
}

/// Builds the programs as they are shipped, and returns their folder.
fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        // For the whole workspace: otherwise cargo would choose fewer features for some programs.
        .args(["build", "--release", "--workspace", "--features", "jitgate-bench/floor"])
        .args(deployment::NAMES.iter().flat_map(|name| ["--bin", *name]))
        .current_dir(repository())
        .status()
        .expect("cargo, which has started this program");
    assert!(status.success(), "the functions could not be built");
    let mut folder = std::env::current_exe().expect("a running program has a path");
    // This program is in `target/release/deps`.
    folder.pop();
    folder.pop();
    folder
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Writes the tables of costs into the documents, and the table of figures if it is complete.
fn write(figures: &[Figure], is_complete: bool) {
    let mut tables = cost::tables().to_vec();
    if is_complete {
        tables.push(("figures", format!("{}\n{}", machine(), table(figures))));
    }
    write_into("docs/PERFORMANCE.md", &tables);
    write_into("README.md", &cost::readme_tables());
}

fn write_into(document: &str, tables: &[(&str, String)]) {
    let path = repository().join(document);
    let text = std::fs::read_to_string(&path).expect("the document that the tables are written into");
    let text = tables.iter().fold(text, |text, (name, table)| replaced(&text, name, table));
    std::fs::write(&path, text).expect("a document that can be written");
}

/// The kind of machine, without its name.
fn machine() -> String {
    let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let of = |name: &str| {
        let line = processors.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':')).map_or("unknown", |(_, value)| value.trim()).to_owned()
    };
    let cores = processors.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!(
        "Machine: {} (family {}, model {}), {cores} cores, Linux {}, load at the end {}.\n",
        of("model name"),
        of("cpu family"),
        of("model"),
        kernel.split('-').next().unwrap_or_default().trim(),
        load.split(' ').next().unwrap_or_default()
    )
}
