//! The part of the control API that is about Apps, users, and calls that fail.

use std::collections::BTreeMap;
use std::time::Duration;

use jitgate_tests::github::{GitHub, answers};
use jitgate_tests::wire::{self, Answer, Calls, Fault, Faults, Request};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::control::read;

/// The next calls of one operation fail.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewFault {
    /// A name from `github::operation`.
    operation: String,
    fault: Kind,
    #[serde(default = "once")]
    times: usize,
}

fn once() -> usize {
    1
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    /// The connection is closed, and nothing was done.
    Drop,
    /// The connection is closed, but it was done.
    LoseAnswer,
    /// This status is answered, and nothing was done; 422 says that a label is invalid.
    Refuse(u16),
    /// The answer takes this many milliseconds.
    Delay(u64),
}

impl Kind {
    fn fault(self) -> Fault {
        match self {
            Self::Drop => Fault::Drop,
            Self::LoseAnswer => Fault::LoseAnswer,
            Self::Refuse(422) => Fault::Refuse(answers::validation_failed(&["Labels is invalid"])),
            Self::Refuse(status) => Fault::Refuse(answers::error(status, "Scripted")),
            Self::Delay(milliseconds) => Fault::Delay(Duration::from_millis(milliseconds)),
        }
    }
}

/// Who sits at the browser; `null` signs out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    user: Option<String>,
}

/// What an App asks for from now on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    permissions: BTreeMap<String, String>,
}

/// Answers what is about Apps, users, calls and faults; `None` for anything else.
pub(crate) fn control(
    github: &GitHub,
    wire: (&Faults, &Calls),
    what: &str,
    request: &Request,
) -> Option<Result<Answer, String>> {
    let (faults, calls) = wire;
    let done = |is_done: bool| if is_done { wire::json(200, &json!({})) } else { answers::not_found() };
    Some(match (request.method().as_str(), what.split_once('/').unwrap_or((what, ""))) {
        ("GET", ("apps", "")) => Ok(wire::json(200, &json!({ "apps": github.apps() }))),
        ("DELETE", ("apps", slug)) => Ok(done(github.delete_app(slug))),
        ("PATCH", ("apps", slug)) => read(request).map(|asked: Asked| {
            let permissions = asked.permissions.iter().map(|(name, level)| (name.as_str(), level.as_str()));
            done(github.ask_for(slug, &permissions.collect::<Vec<_>>()))
        }),
        ("POST", ("sign-in", "")) => read(request).map(|wanted: SignIn| {
            match &wanted.user {
                Some(user) => github.sign_in(user),
                None => github.sign_out(),
            }
            done(true)
        }),
        ("POST", ("faults", "")) => read(request).map(|new: NewFault| {
            faults.script_times(&new.operation, new.fault.fault(), new.times);
            done(true)
        }),
        ("DELETE", ("faults", "")) => {
            faults.clear();
            Ok(done(true))
        }
        ("GET", ("calls", "")) => Ok(wire::json(200, &json!({ "calls": heard(calls) }))),
        _ => return None,
    })
}

/// GitHub's calls so far, without their bodies.
fn heard(calls: &Calls) -> Vec<Value> {
    let of_github = calls.all().into_iter().filter(|call| !call.operation.starts_with("standin "));
    of_github.map(|call| json!({ "operation": call.operation, "target": call.target, "status": call.status })).collect()
}
