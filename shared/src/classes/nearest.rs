//! The nearest class of a job that fits none, and what such a job's commit may be told.

use super::class::{RunnerClass, RunnerClasses};
use super::demand::Asked;
use super::grammar::{Label, Role};
use super::misfit::{Misfit, Objection};

/// The labels that GitHub gives to every self-hosted runner, in lower case: whose they are does not show.
/// Source: GitHub's "Using labels with self-hosted runners".
const OF_EVERY_RUNNER: [&str; 7] = ["self-hosted", "linux", "windows", "macos", "x64", "arm", "arm64"];

impl RunnerClasses {
    /// The class that objects to the fewest of the job's labels, if it has at least one of them.
    pub fn nearest(&self, asked: &Asked<'_>) -> Option<(&RunnerClass, Vec<Objection>)> {
        let objections = self.iter().filter_map(|class| Some((class, class.judge(asked).err()?)));
        let near = objections.filter(|(_, each)| unknown(each).count() < asked.labels.len());
        near.min_by_key(|(_, each)| each.len())
    }

    /// Why a job gets no class, for whoever waits for it. `None` if the job may be for another fleet: it names none of the
    /// classes, or only those that leave such jobs to others.
    pub fn refusal(&self, asked: &Asked<'_>, misfit: &Misfit) -> Option<String> {
        let named = || self.iter().filter(|class| class.is_named_by(asked.labels));
        match misfit {
            Misfit::NoLabels | Misfit::TooMany => None,
            Misfit::Refused(near) => {
                let is_near = |class: &RunnerClass| near.iter().any(|(name, _)| *name == class.name);
                named().any(is_near).then(|| misfit.to_string())
            }
            Misfit::NoClass(_) => {
                let lacking = named().filter_map(|class| Some((class, class.lacks(asked)?)));
                let (class, lacks) = lacking.min_by_key(|(_, lacks)| lacks.len())?;
                let name = &class.name;
                Some(format!("no class has all of its labels; nearest: {name}, which lacks {}", lacks.join(", ")))
            }
        }
    }
}

fn unknown(objections: &[Objection]) -> impl Iterator<Item = &String> {
    objections.iter().filter_map(|each| match each {
        Objection::Unknown(label) => Some(label),
        _ => None,
    })
}

impl RunnerClass {
    /// Whether one of the labels is the class's own, or stands for one, and is not what every runner has anyway.
    fn is_named_by(&self, labels: &[String]) -> bool {
        Label::all(labels).iter().any(|label| {
            self.pieces(label).0.into_iter().any(|piece| {
                let is_own = matches!(self.role(piece), Ok(Role::Own | Role::Translated { is_label: true, .. }));
                is_own && !OF_EVERY_RUNNER.contains(&piece.lowercase)
            })
        })
    }

    /// The labels that the class does not have; `None` if it leaves such jobs to others.
    fn lacks(&self, asked: &Asked<'_>) -> Option<Vec<String>> {
        let objections = self.judge(asked).err()?;
        let leaves = |each: &Objection| matches!(each, Objection::Excluded(_) | Objection::Missing(_));
        let lacks: Vec<_> = unknown(&objections).cloned().collect();
        (!lacks.is_empty() && !objections.iter().any(leaves)).then_some(lacks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(job: &[&str]) -> Option<String> {
        let classes = RunnerClasses::parse(
            r#"[{"name":"small","labels":["self-hosted","linux","fargate"],"task_definition":"t","subnets":["s"],
                 "sizes":{"cpu":4}},
                {"name":"large","labels":["fargate","large-*"],"task_definition":"t","subnets":["s"]},
                {"name":"shared","labels":["build"],"requires":["team-a"],"task_definition":"t","subnets":["s"]},
                {"name":"picky","labels":["deploy"],"excluded_labels":["gpu"],"task_definition":"t","subnets":["s"]}]"#,
        );
        let classes = classes.expect("valid classes");
        let labels: Vec<_> = job.iter().map(|&label| label.to_owned()).collect();
        let asked = Asked { owner: "octo-org", repository: "octo-repo", labels: &labels };
        let misfit = classes.fit(&asked).expect_err("no class");
        classes.refusal(&asked, &misfit)
    }

    #[test]
    fn a_job_that_names_a_class_hears_which_class_is_nearest_and_what_it_lacks() {
        let says = |class: &str, lacks: &str| {
            Some(format!("no class has all of its labels; nearest: {class}, which lacks {lacks}"))
        };
        assert_eq!(refusal(&["fargate", "riscv"]), says("small", "riscv"));
        assert_eq!(refusal(&["self-hosted", "FARGATE", "riscv"]), says("small", "riscv"));
        assert_eq!(refusal(&["fargate", "large-8", "a", "b"]), says("large", "a, b"));
        let too_large = refusal(&["fargate", "cpu=16"]).expect("class small is meant");
        assert!(
            too_large.starts_with("class small: cpu=16 (16 vCPU and 32 GiB on Fargate) is too large"),
            "{too_large}"
        );
        let in_one = refusal(&["fargate/gpu"]).expect("class small is meant");
        assert!(in_one.starts_with("class small: gpu is not available on Fargate"), "{in_one}");
    }

    #[test]
    fn a_job_that_may_be_for_another_fleet_hears_nothing() {
        for of_others in [
            &["self-hosted", "linux", "riscv"][..],
            &["self-hosted", "linux", "gpu"],
            &["self-hosted", "cpu=16"],
            &["ubuntu-latest"],
            &["fargat", "x64"],
            &[],
        ] {
            assert_eq!(refusal(of_others), None, "{of_others:?}");
        }
    }

    #[test]
    fn a_class_that_leaves_such_jobs_to_others_does_not_count_as_named() {
        assert_eq!(refusal(&["build", "riscv"]), None);
        assert_eq!(refusal(&["build"]), None);
        assert_eq!(refusal(&["deploy", "gpu", "riscv"]), None);
        assert!(refusal(&["deploy", "riscv"]).is_some());
    }
}
