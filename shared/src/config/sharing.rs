//! Classes whose rules only the gate keeps, since GitHub gives their runners to any job with their labels.

use super::environment::ConfigError;
use super::github::ScopeKind;
use crate::classes::{RunnerClass, RunnerClasses, RunnerGroup};

/// GitHub's default group, which every repository of an organisation may use, unless an owner has changed that.
const DEFAULT_GROUP: RunnerGroup = RunnerGroup::Id(1);

/// Warns of each class whose runners GitHub may give to jobs that the class does not take. Without the gate, such a class
/// is an error.
pub(super) fn check_sharing(classes: &RunnerClasses, scope: &ScopeKind) -> Result<(), ConfigError> {
    for class in classes.iter() {
        for (what, remedy) in risks(class, scope) {
            if !class.gate {
                return Err(ConfigError {
                    variable: "RUNNER_CLASSES",
                    found: format!("class {:?} with {what} and without the gate", class.name),
                    expected: format!("{remedy}, or the gate"),
                });
            }
            tracing::warn!(
                class.name = class.name,
                "a class has {what}: only the gate keeps other jobs off its runners; {remedy} would keep them away"
            );
        }
    }
    Ok(())
}

/// What makes a class's runners available to jobs that it does not take, and what helps.
fn risks(class: &RunnerClass, scope: &ScopeKind) -> Vec<(&'static str, &'static str)> {
    let mut risks = Vec::new();
    // A repository's runners are its own, and it has no other group.
    if class.runner_group == DEFAULT_GROUP && *scope != ScopeKind::Repo {
        let remedy = "a runner group for selected repositories (runner_group)";
        risks.extend(class.repositories.is_some().then_some(("repositories in the default runner group", remedy)));
        risks.extend((!class.warm.is_empty()).then_some(("warm runners in the default runner group", remedy)));
    }
    if !class.warm.is_empty() && class.public_repositories && !class.fork_pull_requests {
        let what = "warm runners for public repositories, but not for forks";
        risks.push((what, "a class without warm runners for public repositories"));
    }
    risks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(keys: &str, scope: &ScopeKind) -> Result<(), ConfigError> {
        let json = format!(r#"[{{"name":"a","labels":["l"],"task_definition":"t","subnets":["s"],{keys}}}]"#);
        check_sharing(&RunnerClasses::parse(&json).expect("valid classes"), scope)
    }

    #[test]
    fn rules_that_only_the_gate_keeps_are_refused_without_it() {
        let warm = r#""warm":[{"count":1}]"#;
        for (keys, scope, says) in [
            (r#""repositories":["o/r"]"#, ScopeKind::Org, "repositories in the default runner group"),
            (warm, ScopeKind::Org, "warm runners in the default runner group"),
            (
                &format!(r#"{warm},"runner_group":"Own","public_repositories":true"#),
                ScopeKind::Org,
                "but not for forks",
            ),
            (&format!(r#"{warm},"public_repositories":true"#), ScopeKind::Repo, "but not for forks"),
        ] {
            assert_eq!(check(keys, &scope), Ok(()), "with the gate, {keys} is only worth a warning");
            let error = check(&format!(r#"{keys},"gate":false"#), &scope).expect_err(keys);
            assert!(error.to_string().contains(says), "{error}");
        }
        for (keys, scope) in [
            (r#""repositories":["o/r"]"#, ScopeKind::Repo),
            (r#""repositories":["o/r"],"runner_group_id":7"#, ScopeKind::Org),
            (r#""public_repositories":true"#, ScopeKind::Org),
        ] {
            assert_eq!(check(&format!(r#"{keys},"gate":false"#), &scope), Ok(()), "{keys}");
        }
    }
}
