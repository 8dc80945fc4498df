//! What `setup` has to do, from what it found.

use crate::aws::Standing;

/// What the account has.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an observation of its own")]
pub(super) struct Found {
    /// ECS's service-linked role.
    pub(super) has_ecs_role: bool,
    /// The fleet's stack.
    pub(super) stack: Standing,
    /// It is this version's, and nothing else was asked for.
    pub(super) is_as_wanted: bool,
    /// The bucket for the code, or one of the user's own.
    pub(super) has_bucket: bool,
    /// What the fleet signs in to GitHub with.
    pub(super) credential: CredentialFound,
    /// The user named an App that exists.
    pub(super) app_is_given: bool,
}

/// What the secret holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CredentialFound {
    /// Nothing yet.
    Nothing,
    /// An App.
    App,
    /// A personal access token, which has neither installations nor a webhook.
    Token,
}

/// A step. Each can be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Create ECS's service-linked role.
    EcsRole,
    /// Create the code's bucket.
    CodeBucket,
    /// Remove a stack whose creation failed.
    RemoveFailed,
    /// Create the stack.
    CreateStack,
    /// Update the stack.
    UpdateStack,
    /// Write the secret as it is, before anything is made that cannot be made twice.
    RehearseSecret,
    /// Have GitHub make an App.
    MakeApp,
    /// Store the App that the user named.
    StoreApp,
    /// Wait until the App is installed.
    Install,
    /// Prove that it works.
    Verify,
}

impl Step {
    /// What it does, for the plan.
    pub fn words(self) -> &'static str {
        match self {
            Self::EcsRole => "create ECS's service-linked role, of which each account has one",
            Self::CodeBucket => "create a private bucket for the functions' code",
            Self::RemoveFailed => "delete the stack whose creation failed",
            Self::CreateStack => "create the stack: three functions, queues, a cluster, roles, alarms",
            Self::UpdateStack => "update the stack to this version",
            Self::RehearseSecret => "write the secret once as it is, to see that it can be written",
            Self::MakeApp => "have GitHub make an App; your browser asks you to confirm it",
            Self::StoreApp => "store the id and the key of your App in the secret",
            Self::Install => "have the App installed, by you, on GitHub's page",
            Self::Verify => "verify that GitHub's deliveries arrive and that runners may be registered",
        }
    }

    /// Whether it changes anything.
    pub fn changes(self) -> bool {
        !matches!(self, Self::Verify)
    }
}

/// The plan as the user sees it.
pub(super) fn words_of(steps: &[Step]) -> String {
    steps.iter().map(|step| format!("- {}", step.words())).collect::<Vec<_>>().join("\n")
}

/// The steps that are left, in order.
pub(super) fn plan(found: &Found) -> Vec<Step> {
    let mut steps = Vec::new();
    if !found.has_ecs_role {
        steps.push(Step::EcsRole);
    }
    let deploys = match found.stack {
        Standing::Absent => Some(Step::CreateStack),
        Standing::Doomed => {
            steps.push(Step::RemoveFailed);
            Some(Step::CreateStack)
        }
        Standing::Steady | Standing::Busy | Standing::Stuck => (!found.is_as_wanted).then_some(Step::UpdateStack),
    };
    if deploys.is_some() && !found.has_bucket {
        steps.push(Step::CodeBucket);
    }
    steps.extend(deploys);
    match (found.credential, found.app_is_given) {
        (_, true) => steps.extend([Step::RehearseSecret, Step::StoreApp, Step::Install]),
        (CredentialFound::Nothing, false) => steps.extend([Step::RehearseSecret, Step::MakeApp, Step::Install]),
        (CredentialFound::App, false) => steps.push(Step::Install),
        (CredentialFound::Token, false) => {}
    }
    steps.push(Step::Verify);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> Found {
        Found {
            has_ecs_role: false,
            stack: Standing::Absent,
            is_as_wanted: false,
            has_bucket: false,
            credential: CredentialFound::Nothing,
            app_is_given: false,
        }
    }

    fn everything() -> Found {
        Found {
            has_ecs_role: true,
            stack: Standing::Steady,
            is_as_wanted: true,
            has_bucket: true,
            credential: CredentialFound::App,
            app_is_given: false,
        }
    }

    #[test]
    fn an_empty_account_gets_everything_in_order() {
        use Step::*;
        let steps = plan(&nothing());
        assert_eq!(steps, [EcsRole, CodeBucket, CreateStack, RehearseSecret, MakeApp, Install, Verify]);
    }

    #[test]
    fn a_plan_names_each_step_in_words() {
        let (repaired, given) = (
            Found { stack: Standing::Doomed, app_is_given: true, ..nothing() },
            Found { is_as_wanted: false, app_is_given: true, ..everything() },
        );
        let plans = [nothing(), repaired, given, everything()].map(|found| words_of(&plan(&found)));
        insta::assert_snapshot!(plans.join("\n\n"));
    }

    #[test]
    fn where_all_is_well_only_the_installation_is_looked_at_and_all_is_verified() {
        assert_eq!(plan(&everything()), [Step::Install, Step::Verify]);
        let by_token = Found { credential: CredentialFound::Token, ..everything() };
        assert_eq!(plan(&by_token), [Step::Verify]);
    }

    #[test]
    fn wherever_it_stopped_the_rest_is_the_end_of_the_whole() {
        let mut found = nothing();
        let whole = plan(&found);
        let ends_with = |found: &Found| assert!(whole.ends_with(&plan(found)), "{found:?}");
        found.has_ecs_role = true;
        ends_with(&found);
        found.has_bucket = true;
        ends_with(&found);
        (found.stack, found.is_as_wanted) = (Standing::Steady, true);
        ends_with(&found);
        found.credential = CredentialFound::App;
        ends_with(&found);
    }

    #[test]
    fn a_stack_that_can_only_be_removed_is_made_anew() {
        let steps = plan(&Found { stack: Standing::Doomed, ..nothing() });
        let at = |step| steps.iter().position(|each| *each == step);
        assert!(at(Step::RemoveFailed) < at(Step::CreateStack) && at(Step::RemoveFailed).is_some());
    }

    #[test]
    fn an_app_that_the_user_names_is_stored_whatever_was_there() {
        let steps = plan(&Found { app_is_given: true, ..everything() });
        assert_eq!(steps, [Step::RehearseSecret, Step::StoreApp, Step::Install, Step::Verify]);
    }
}
