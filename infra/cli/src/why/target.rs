//! Which job is meant: its page, its run's page, or its id alone.

use std::str::FromStr;

use url::Url;

/// What the user named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A job, and its repository if the address has it.
    Job {
        /// GitHub's id.
        id: u64,
        /// `OWNER/NAME`
        repository: Option<String>,
    },
    /// A run, whose waiting jobs are meant.
    Run {
        /// GitHub's id.
        id: u64,
        /// `OWNER/NAME`
        repository: String,
    },
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "a job's id, or the address of a job or run, such as \
                                https://github.com/OWNER/NAME/actions/runs/1/job/2";
        if let Ok(id) = text.parse() {
            return Ok(Self::Job { id, repository: None });
        }
        let url = Url::parse(text).map_err(|_| EXPECTED.to_owned())?;
        let path: Vec<&str> = url.path_segments().into_iter().flatten().filter(|part| !part.is_empty()).collect();
        // The API's addresses have the same parts after `repos`, on a server after `api/v3/repos`.
        let path = path.iter().position(|part| *part == "repos").map_or(&path[..], |at| &path[at + 1..]);
        let [owner, name, "actions", rest @ ..] = path else { return Err(EXPECTED.to_owned()) };
        let repository = format!("{owner}/{name}");
        let number = |text: &str| text.parse().map_err(|_| EXPECTED.to_owned());
        match rest {
            ["runs", _, "job", id, ..] | ["jobs", id, ..] | ["runs", _, "attempts", _, "job", id, ..] => {
                Ok(Self::Job { id: number(id)?, repository: Some(repository) })
            }
            ["runs", id, ..] => Ok(Self::Run { id: number(id)?, repository }),
            _ => Err(EXPECTED.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_that_github_shows_names_its_job_or_run() {
        let job = |repository: Option<&str>| Target::Job { id: 2, repository: repository.map(str::to_owned) };
        let run = Target::Run { id: 1, repository: "o/r".to_owned() };
        for (text, target) in [
            ("2", job(None)),
            ("https://github.com/o/r/actions/runs/1/job/2", job(Some("o/r"))),
            ("https://github.com/o/r/actions/runs/1/job/2?pr=7#step:1:1", job(Some("o/r"))),
            ("https://api.github.com/repos/o/r/actions/jobs/2", job(Some("o/r"))),
            ("https://ghe.example/api/v3/repos/o/r/actions/jobs/2", job(Some("o/r"))),
            ("https://github.com/o/r/actions/runs/1", run.clone()),
            ("https://github.com/o/r/actions/runs/1/attempts/3", run.clone()),
        ] {
            assert_eq!(text.parse::<Target>(), Ok(target), "{text}");
        }
        for wrong in ["", "build", "https://github.com/o/r", "https://github.com/o/r/actions/runs/x", "-1"] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }
}
