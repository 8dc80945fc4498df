//! The size of what is deployed.

use std::process::Command;

use jitgate_bench::figures::{Figure, Samples, Target, Unit};

use crate::deployment::Programs;
use crate::repository;

const MEGABYTE: f64 = 1e6;

/// Sizes of the binaries and of the zips that a release packs.
pub(crate) fn sizes(programs: &Programs) -> Vec<Figure> {
    const PACK: &str = "import pathlib, sys, pack; pack.pack(*map(pathlib.Path, sys.argv[1:]))";
    let folder = std::env::temp_dir().join(format!("jitgate-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for temporary files");
    let pack = |name: &str| {
        let zip = folder.join(format!("{name}.zip"));
        let status = Command::new("python3")
            .current_dir(repository().join("infra/release"))
            .args(["-c", PACK])
            .args([&programs.path(name), &zip])
            .status()
            .expect("Python, which packs releases");
        assert!(status.success(), "{name} could not be packed");
        zip
    };
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
    let size = |path| std::fs::metadata(path).expect("a file").len() as f64 / MEGABYTE;
    let of = |name: &str, binary: &'static str, zip: &'static str| {
        let zipped = size(pack(name));
        [
            Figure::new(binary, format!("{name}: binary"), Unit::Megabytes, Samples::one(size(programs.path(name))))
                .target(Target::AtMost(8.0)),
            Figure::new(zip, format!("{name}: zip"), Unit::Megabytes, Samples::one(zipped)).target(Target::AtMost(3.5)),
        ]
    };
    let figures = [
        of("webhook", "webhook.binary", "webhook.zip"),
        of("worker", "worker.binary", "worker.zip"),
        of("cleaner", "cleaner.binary", "cleaner.zip"),
    ];
    // An error only leaves a temporary folder behind.
    let _ = std::fs::remove_dir_all(&folder);
    figures.into_iter().flatten().collect()
}
