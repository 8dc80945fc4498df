//! The checks of what is deployed: the stack, its functions, and the address that GitHub calls.

use super::finding::{Fix, Look, Wrong};
use crate::aws::{Aws, Door, Doorway, Stack, Standing};
use crate::fleet::Deployed;

/// Whoever signs in nowhere does not come so far.
pub(super) fn credentials(aws: &Aws) -> String {
    format!("{}, {}", aws.caller, aws.region)
}

pub(super) async fn stack(aws: &Aws, found: Option<&Stack>) -> Look {
    let Some(stack) = found else { return Ok(Ok("not CloudFormation's".to_owned())) };
    let failure = match of_stack(stack) {
        Ok(_) => None,
        Err(_) => aws.last_failure(&stack.id).await.unwrap_or_default(),
    };
    Ok(of_stack(stack).map_err(|wrong| match failure {
        Some((resource, reason)) => wrong.because(&format!("{resource}: {reason}")),
        None => wrong,
    }))
}

fn of_stack(stack: &Stack) -> Result<String, Wrong> {
    let wrong = |todo: &str| Err(Wrong::new(stack.status.clone(), todo));
    match stack.standing() {
        Standing::Steady if stack.status.contains("ROLLBACK") => {
            wrong("its last update failed: correct what it names, then run `jitgate upgrade`")
        }
        Standing::Steady => Ok(stack.status.clone()),
        Standing::Busy => wrong("wait until CloudFormation is done"),
        Standing::Stuck => wrong("continue the rollback: `aws cloudformation continue-update-rollback`"),
        Standing::Doomed | Standing::Absent => wrong("run `jitgate destroy`, then `jitgate setup`"),
    }
}

pub(super) fn version(fleet: &Deployed) -> Result<String, Wrong> {
    let functions = [&fleet.webhook, &fleet.worker, &fleet.cleaner];
    of_versions(&functions.map(|function| (function.name.as_str(), function.version.as_deref())))
}

fn of_versions(functions: &[(&str, Option<&str>)]) -> Result<String, Wrong> {
    let own = env!("CARGO_PKG_VERSION");
    let others: Vec<String> = functions
        .iter()
        .filter_map(|(name, version)| version.filter(|version| *version != own).map(|it| format!("{name} is {it}")))
        .collect();
    if others.is_empty() {
        let says = functions.iter().any(|(_, version)| version.is_some());
        Ok(if says { own.to_owned() } else { "the fleet does not say".to_owned() })
    } else {
        let others = others.join(", ");
        Err(Wrong::new(format!("{others}; this command is {own}"), "run `jitgate upgrade` of the newer version"))
    }
}

pub(super) async fn doorway(aws: &Aws, fleet: &Deployed) -> Look {
    Ok(of_doorway(aws.doorway(&fleet.webhook.name).await?))
}

fn of_doorway(doorway: Doorway) -> Result<String, Wrong> {
    match doorway {
        Doorway::None => {
            Err(Wrong::new("the webhook has no Function URL", "run `jitgate destroy`, then `jitgate setup`"))
        }
        Doorway::Signed => Err(Wrong::new(
            "callers must sign with AWS's credentials, which GitHub has not",
            "set the Function URL's authorization to NONE: `aws lambda update-function-url-config --auth-type NONE`",
        )),
        Doorway::Open(missing) if missing.is_empty() => Ok(String::new()),
        Doorway::Open(missing) => {
            let actions: Vec<&str> = missing.iter().map(|door: &Door| door.action()).collect();
            let wrong = Wrong::new(
                format!("not everybody has {}", actions.join(" and ")),
                "run `jitgate doctor --fix`; if it is refused, let nothing in your organisation forbid public Function URLs",
            );
            Err(wrong.with(Fix::OpenDoors(missing)))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_stack_whose_update_failed_is_not_well() {
        let of = |status: &str| {
            of_stack(&Stack {
                id: String::new(),
                status: status.to_owned(),
                outputs: BTreeMap::new(),
                parameters: BTreeMap::new(),
                version: None,
            })
        };
        assert!(of("UPDATE_COMPLETE").is_ok());
        for status in ["UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED", "ROLLBACK_COMPLETE", "UPDATE_IN_PROGRESS"]
        {
            assert!(of(status).is_err(), "{status}");
        }
    }

    #[test]
    fn each_function_has_its_own_version() {
        let own = Some(env!("CARGO_PKG_VERSION"));
        assert_eq!(of_versions(&[("webhook", own), ("worker", own)]), Ok(env!("CARGO_PKG_VERSION").to_owned()));
        assert_eq!(of_versions(&[("webhook", None)]), Ok("the fleet does not say".to_owned()));
        assert!(
            format!("{:?}", of_versions(&[("webhook", own), ("worker", Some("0.0.1"))])).contains("worker is 0.0.1")
        );
    }

    #[test]
    fn a_url_that_is_closed_can_be_opened() {
        assert_eq!(of_doorway(Doorway::Open(Vec::new())), Ok(String::new()));
        let closed = of_doorway(Doorway::Open(vec![Door::Function])).unwrap_err();
        assert_eq!(closed.fix(), Some(&Fix::OpenDoors(vec![Door::Function])));
        assert!(of_doorway(Doorway::None).is_err() && of_doorway(Doorway::Signed).is_err());
    }
}
