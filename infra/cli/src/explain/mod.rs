//! `jitgate explain`: which class a job with some labels gets, what its runner is made of and what a minute costs; or why
//! it gets none.

mod options;
mod report;
mod workflows;

use jitgate::classes::{Asked, RunnerClasses};
use jitgate::config::ENVIRONMENT_SIZE;

pub use options::Explain;
pub(crate) use report::json as of_job;

use crate::answer::Answer;
use crate::args::Common;
use crate::aws::Aws;
use crate::fleet::Deployed;
use crate::trouble::{Exit, Trouble};

/// Runs the command. With a file of classes it calls nobody.
pub async fn run(common: &Common, options: &Explain) -> Result<Answer, Trouble> {
    let (classes, source) = if let Some(path) = &options.classes {
        let json = std::fs::read_to_string(path).map_err(|error| wrong(format!("{}: {error}", path.display())))?;
        let source = format!(
            "{}, {} bytes; a function has {ENVIRONMENT_SIZE} for all its variables, of which \
                 RUNNER_CLASSES=file:PATH takes next to nothing",
            path.display(),
            json.len()
        );
        let classes = RunnerClasses::parse(&json);
        (classes.map_err(|error| wrong(format!("{}: {error}", path.display())))?, source)
    } else {
        let fleet = Deployed::find(&Aws::sign_in(common).await?, &common.stack).await?;
        (fleet.classes()?, format!("those of stack {}", common.stack))
    };
    explain(options, &classes, &source)
}

/// The answer, for these classes.
fn explain(options: &Explain, classes: &RunnerClasses, source: &str) -> Result<Answer, Trouble> {
    if options.repository.is_none() && classes.iter().any(|class| class.repositories.is_some()) {
        return Err(wrong(
            "a class is for some repositories only: name the job's by --repository OWNER/NAME".to_owned(),
        ));
    }
    let repository = options.repository.as_deref().unwrap_or("any/any");
    let (owner, repository) =
        repository.split_once('/').ok_or_else(|| wrong("--repository needs OWNER/NAME".to_owned()))?;
    let asked = |labels| Asked { owner, repository, labels };
    let (text, json, fits) = if let Some(file) = &options.file {
        report::many(classes, &workflows::read(file).map_err(wrong)?, asked)
    } else {
        let labels = options.labels();
        let (json, _) = report::json(classes, &asked(&labels));
        let (text, fits) = report::one(classes, source, &asked(&labels));
        (text, json, fits)
    };
    Ok(Answer { text, json, exit: if fits { Exit::Good } else { Exit::Failed } })
}

fn wrong(problem: String) -> Trouble {
    Trouble::usage(problem, "see `jitgate explain --help`")
}
