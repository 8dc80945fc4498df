//! The command line.

pub(crate) const USAGE: &str = "\
explain [--label LABEL]... [--labels A,B,C] [--file PATH] [--classes FILE] [--repository OWNER/NAME] [--json]";

pub(crate) const HELP: &str = "
Says which class a job with some labels gets, what its runner is made of and what a minute costs.

  --label LABEL            one of the job's labels, as it is: with its commas and spaces
  --labels A,B,C           several labels, separated by commas; spaces around them do not count
  --file PATH              many jobs: a workflow, a folder of workflows, or JSON lines with a list of labels each
  --classes FILE           the classes; without it, the variable RUNNER_CLASSES
  --repository OWNER/NAME  the jobs' repository, for classes that are for some only
  --json                   JSON; with --file, a line for each job
  --help                   this text

It exits with 0 if every job gets a runner, with 1 if one does not, and with 2 if an argument is wrong.
";

#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) labels: Vec<String>,
    pub(crate) file: Option<String>,
    pub(crate) classes: Option<String>,
    pub(crate) repository: Option<String>,
    pub(crate) is_json: bool,
    pub(crate) is_help: bool,
}

impl Arguments {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut parsed = Self::default();
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{name} needs a value"));
            match name.as_str() {
                "--label" => parsed.labels.push(value()?),
                "--labels" => parsed.labels.extend(value()?.split(',').map(|label| label.trim().to_owned())),
                "--file" => parsed.file = Some(value()?),
                "--classes" => parsed.classes = Some(value()?),
                "--repository" => parsed.repository = Some(value()?),
                "--json" => parsed.is_json = true,
                "--help" | "-h" => parsed.is_help = true,
                _ => return Err(format!("unknown argument {name}")),
            }
        }
        if parsed.file.is_some() && !parsed.labels.is_empty() {
            return Err("--file has the labels: leave out --label and --labels".to_owned());
        }
        Ok(parsed)
    }
}
