//! Which class a job gets: a pure function of the classes and of what the job asks for.
//!
//! `docs/LABELS.md` tells users the same; a test holds its table to this code.

use super::choices::Choices;
use super::class::{RunnerClass, RunnerClasses};
use super::demand::{Asked, Demand};
use super::grammar::{Label, Role};
use super::labels::{LONGEST_LABEL, LONGEST_LABELS, LabelPattern, MOST_LABELS};
use super::misfit::{Misfit, Objection};

/// A job's class, and what the job has chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit<'a> {
    /// The first class that takes the job.
    pub class: &'a RunnerClass,
    /// What the job has chosen; the rest is the class's.
    pub demand: Demand,
}

impl RunnerClasses {
    /// The first class that a job fits.
    pub fn fit(&self, asked: &Asked<'_>) -> Result<Fit<'_>, Misfit> {
        check_lengths(asked.labels)?;
        let labels = Label::all(asked.labels);
        let mut near = Vec::new();
        for class in self.iter() {
            match class.examine(asked, &labels, Objection::is_near) {
                Ok(demand) => return Ok(Fit { class, demand }),
                Err(objections) if objections.iter().all(Objection::is_near) => {
                    near.push((class.name.clone(), objections));
                }
                Err(_) => {}
            }
        }
        Err(if near.is_empty() { Misfit::NoClass(asked.labels.to_vec()) } else { Misfit::Refused(near) })
    }

    /// As [`fit`](Self::fit), for a job that already has a class. It keeps the class as long as it fits: the
    /// configuration may have changed while the message waited.
    pub fn fit_again(&self, class: &str, asked: &Asked<'_>) -> Result<Fit<'_>, Misfit> {
        let before = self.named(class).filter(|_| check_lengths(asked.labels).is_ok());
        match before.map(|class| (class, class.judge(asked))) {
            Some((class, Ok(demand))) => Ok(Fit { class, demand }),
            _ => self.fit(asked),
        }
    }
}

fn check_lengths(labels: &[String]) -> Result<(), Misfit> {
    if labels.is_empty() {
        return Err(Misfit::NoLabels);
    }
    let lengths = || labels.iter().map(|label| label.chars().count());
    let is_fine = labels.len() <= MOST_LABELS
        && lengths().all(|length| length <= LONGEST_LABEL)
        && lengths().sum::<usize>() <= LONGEST_LABELS;
    if is_fine { Ok(()) } else { Err(Misfit::TooMany) }
}

impl RunnerClass {
    /// Whether a job fits this class, and what it has chosen; or all that is against it.
    pub fn judge(&self, asked: &Asked<'_>) -> Result<Demand, Vec<Objection>> {
        self.examine(asked, &Label::all(asked.labels), |_| true)
    }

    /// What a job that fits asks for and does not get: each label, or piece of one, with what that is.
    pub fn left_out<'a>(&'a self, asked: &Asked<'a>) -> Vec<(String, String)> {
        let mut all = Vec::new();
        if self.translations.is_empty() && self.ignored_labels.is_empty() {
            return all;
        }
        for label in &Label::all(asked.labels) {
            for piece in self.pieces(label).0 {
                let what = match self.role(piece) {
                    Ok(Role::Ignored) => "it is among the ignored_labels",
                    Ok(Role::Translated { drops: Some(drops), .. }) => drops,
                    _ => continue,
                };
                let each = (piece.text.to_owned(), what.to_owned());
                if !all.contains(&each) {
                    all.push(each);
                }
            }
        }
        all
    }

    /// Collects objections as long as `goes_on` says so: a job that is for another fleet need not be looked at further.
    fn examine<'a>(
        &'a self,
        asked: &Asked<'_>,
        labels: &'a [Label<'a>],
        goes_on: impl Fn(&Objection) -> bool,
    ) -> Result<Demand, Vec<Objection>> {
        let mut choices = Choices::default();
        let mut objections = Vec::new();
        let mut is_meant = false;
        let is_excluded =
            |label: &&Label<'_>| self.excluded_labels.iter().any(|each| each.matches_lowercase(&label.lowercase));
        objections.extend(labels.iter().find(is_excluded).map(|label| Objection::Excluded(label.text.to_owned())));
        for label in labels {
            let (pieces, is_combined) = self.pieces(label);
            for piece in pieces {
                if objections.last().is_some_and(|last| !goes_on(last)) {
                    return Err(objections);
                }
                let before = objections.len();
                match self.role(piece) {
                    Ok(role) => {
                        is_meant |= role.is_meant();
                        self.take(role, piece.text, &mut choices, &mut objections);
                    }
                    Err(Objection::Unknown(piece)) if is_combined => {
                        objections.push(Objection::UnknownPiece { piece, label: label.text.to_owned() });
                    }
                    Err(objection) => objections.push(objection),
                }
                if objections.len() > before && objections[..before].contains(&objections[before]) {
                    objections.truncate(before);
                }
            }
        }
        let has = |required: &LabelPattern| labels.iter().any(|label| self.has_label(required, label));
        if let Some(missing) = self.requires.iter().find(|required| !has(required)) {
            objections.push(Objection::Missing(missing.to_string()));
        }
        if objections.is_empty() && !is_meant {
            return Err(vec![Objection::OnlyIgnored]);
        }
        if !self.is_for(asked) {
            objections.push(Objection::Repository(format!("{}/{}", asked.owner, asked.repository)));
        }
        let demand = self.demand(&choices, &mut objections);
        if objections.is_empty() { Ok(demand) } else { Err(objections) }
    }

    fn take<'a>(&self, role: Role<'a>, label: &'a str, choices: &mut Choices<'a>, objections: &mut Vec<Objection>) {
        let (words, named) = match role {
            Role::Translated { words, named, .. } => (words, named),
            Role::Choice(key, value) => return objections.extend(choices.take(key, value, label).err()),
            Role::Own | Role::Ignored => return,
        };
        for word in words {
            let value = word.value(named);
            if self.permits_word(word.key, value) {
                objections.extend(choices.take(word.key, value, label).err());
            } else {
                objections.push(self.not_permitted(word.key, format!("{label} ({}={value})", word.key)));
            }
        }
    }

    fn has_label(&self, required: &LabelPattern, label: &Label<'_>) -> bool {
        let separators = self.separators(&label.lowercase);
        required.matches_lowercase(&label.lowercase)
            || label.lowercase.split(separators).any(|piece| required.matches_lowercase(piece))
    }

    fn is_for(&self, asked: &Asked<'_>) -> bool {
        let Some(globs) = &self.repositories else { return true };
        globs.iter().any(|glob| glob.matches(asked.owner, asked.repository))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(json: &str) -> RunnerClasses {
        RunnerClasses::parse(json).expect("valid classes")
    }

    fn labels(labels: &[&str]) -> Vec<String> {
        labels.iter().map(|&label| label.to_owned()).collect()
    }

    fn fit<'a>(classes: &'a RunnerClasses, labels: &[String]) -> Result<Fit<'a>, Misfit> {
        classes.fit(&Asked { owner: "octo-org", repository: "octo-repo", labels })
    }

    fn two_classes() -> RunnerClasses {
        classes(
            r#"[{"name":"small","labels":["fargate","Linux"],"task_definition":"t","subnets":["s"]},
                {"name":"large","labels":["fargate","large"],"task_definition":"t","subnets":["s"],"container":"c",
                 "runner_group_id":7,"security_groups":["sg"],"assign_public_ip":true}]"#,
        )
    }

    #[test]
    fn a_job_fits_the_first_class_that_has_all_its_labels() {
        let classes = two_classes();
        for (job, class) in [
            (&["fargate"][..], "small"),
            (&["LINUX", "Fargate"], "small"),
            (&["fargate", "large"], "large"),
            (&["large"], "large"),
        ] {
            assert_eq!(fit(&classes, &labels(job)).map(|fit| fit.class.name.as_str()), Ok(class));
        }
    }

    #[test]
    fn a_class_that_a_job_means_says_what_is_wrong_unless_the_job_is_for_another_fleet() {
        let classes = classes(
            r#"[{"name":"a","labels":["fargate"],"task_definition":"t","subnets":["s"],"sizes":{"cpu":4},
                 "repositories":["octo-org/octo-*"]}]"#,
        );
        let objection = |job: &[&str]| match fit(&classes, &labels(job)) {
            Err(Misfit::Refused(near)) => near[0].1[0].to_string(),
            other => format!("{other:?}"),
        };
        assert!(objection(&["fargate", "cpu=many"]).starts_with("cpu=many is malformed"));
        assert!(objection(&["fargate", "cpu=many", "cpu=9"]).starts_with("cpu=many is malformed"), "the first");
        assert!(objection(&["fargate/cpu=2/tiny"]).starts_with("\"tiny\" in fargate/cpu=2/tiny"));
        for elsewhere in [&["fargate", "tiny"][..], &["tiny"], &["fargate", "cpu=many", "tiny"]] {
            assert_eq!(fit(&classes, &labels(elsewhere)), Err(Misfit::NoClass(labels(elsewhere))));
        }
        let labels = labels(&["fargate"]);
        let asked = |repository| Asked { owner: "octo-org", repository, labels: &labels };
        assert!(classes.fit(&asked("octo-tools")).is_ok());
        let refused = Objection::Repository("octo-org/other".to_owned());
        assert_eq!(classes.fit(&asked("other")), Err(Misfit::Refused(vec![("a".to_owned(), vec![refused])])));
    }

    #[test]
    fn a_job_keeps_its_class_as_long_as_it_fits() {
        let classes = two_classes();
        let again = |class: &str, job: &[&str]| {
            let labels = labels(job);
            let asked = Asked { owner: "octo-org", repository: "octo-repo", labels: &labels };
            classes.fit_again(class, &asked).map(|fit| fit.class.name.clone())
        };
        assert_eq!(again("large", &["fargate"]), Ok("large".to_owned()), "although it fits the first, too");
        assert_eq!(again("large", &["linux"]), Ok("small".to_owned()));
        assert_eq!(again("gone", &["fargate"]), Ok("small".to_owned()));
        assert_eq!(again("small", &[]), Err(Misfit::NoLabels));
    }

    #[test]
    fn a_job_that_asks_for_more_or_for_nothing_fits_no_class() {
        let classes = two_classes();
        for job in [&["linux", "large"][..], &["self-hosted", "fargate"], &["ubuntu-latest"], &["fargat"], &[""]] {
            assert_eq!(fit(&classes, &labels(job)), Err(Misfit::NoClass(labels(job))));
        }
        assert_eq!(fit(&classes, &[]), Err(Misfit::NoLabels));
        assert_eq!(fit(&classes, &vec!["fargate".to_owned(); 101]), Err(Misfit::TooMany));
        assert_eq!(fit(&classes, &labels(&[&"x".repeat(257)])), Err(Misfit::TooMany));
        assert_eq!(fit(&classes, &labels(&[&"x".repeat(151), &"y".repeat(150)])), Err(Misfit::TooMany));
    }
}
