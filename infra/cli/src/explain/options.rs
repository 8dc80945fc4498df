//! The options of `explain`.

use std::path::PathBuf;

use clap::Args;

/// Options of `explain`.
#[derive(Args, Debug)]
pub struct Explain {
    /// The job's labels, separated by commas or blanks
    #[arg(value_name = "LABELS", required_unless_present_any = ["label", "file"])]
    pub labels: Vec<String>,
    /// One of the job's labels as it is, with its commas and blanks
    #[arg(long, value_name = "LABEL")]
    pub label: Vec<String>,
    /// Many jobs: a workflow, a folder of workflows, or JSON lines with a list of labels each
    #[arg(long, value_name = "PATH", conflicts_with_all = ["labels", "label"])]
    pub file: Option<PathBuf>,
    /// The classes, a list in JSON; by default those of the stack
    #[arg(long, value_name = "FILE")]
    pub classes: Option<PathBuf>,
    /// The jobs' repository, for classes that are for some only
    #[arg(long, value_name = "OWNER/NAME")]
    pub repository: Option<String>,
}

impl Explain {
    /// All labels, in order.
    pub(super) fn labels(&self) -> Vec<String> {
        let separate = self.labels.iter().flat_map(|some| some.split(','));
        let separate = separate.map(str::trim).filter(|label| !label.is_empty());
        separate.map(str::to_owned).chain(self.label.iter().cloned()).collect()
    }
}
