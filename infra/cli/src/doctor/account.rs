//! The checks of AWS's side.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use time::{Duration, OffsetDateTime};

use super::finding::{Fix, Look, Wrong};
use crate::aws::{Aws, Stack, Standing, has_ecs_role, offer};
use crate::fleet::Deployed;
use crate::why::words;

/// The cleaner's schedule is five minutes. The alarm `cleaner-silent` waits as long.
const CLEANER_SILENT: Duration = Duration::minutes(15);

/// How many free addresses a subnet should have: each runner takes one.
const FEW_ADDRESSES: u32 = 16;

pub(super) fn stack(found: Option<&Stack>) -> Result<String, Wrong> {
    let Some(stack) = found else { return Ok("not CloudFormation's".to_owned()) };
    let wrong = |todo: &str| Err(Wrong::new(stack.status.clone(), todo));
    match stack.standing() {
        Standing::Steady if stack.status.contains("ROLLBACK") => wrong("its last update failed: run `jitgate upgrade`"),
        Standing::Steady => Ok(stack.status.clone()),
        Standing::Busy => wrong("wait until CloudFormation is done"),
        Standing::Stuck => wrong("continue the rollback: `aws cloudformation continue-update-rollback`"),
        Standing::Doomed | Standing::Absent => wrong("run `jitgate destroy`, then `jitgate setup`"),
    }
}

pub(super) fn version(fleet: &Deployed) -> Result<String, Wrong> {
    let own = env!("CARGO_PKG_VERSION");
    match fleet.version.as_deref() {
        Some(version) if version == own => Ok(own.to_owned()),
        Some(version) => {
            Err(Wrong::new(format!("the fleet is {version}, this command {own}"), "run `jitgate upgrade`"))
        }
        None => Ok("the fleet does not say".to_owned()),
    }
}

pub(super) async fn event_source(aws: &Aws, fleet: &Deployed) -> Look {
    let sources = aws.event_sources(&fleet.worker.name).await?;
    Ok(of_sources(&sources))
}

fn of_sources(sources: &[Value]) -> Result<String, Wrong> {
    let Some(source) = sources.first() else {
        return Err(Wrong::new("the worker has no event source", "run `jitgate upgrade`"));
    };
    match source["State"].as_str().unwrap_or_default() {
        "Disabled" | "Disabling" => {
            let id = source["UUID"].as_str().unwrap_or_default().to_owned();
            Err(Wrong::new("disabled, so no job is launched", "run `jitgate doctor --fix`")
                .with(Fix::EnableEventSource(id)))
        }
        _ => Ok(String::new()),
    }
}

pub(super) async fn dead_letters(aws: &Aws, fleet: &Deployed) -> Look {
    let numbers = aws.queue_numbers(&fleet.setting("DEAD_LETTER_QUEUE_URL")?).await?;
    Ok(match numbers.get("ApproximateNumberOfMessages").copied().unwrap_or_default() {
        0 => Ok("none".to_owned()),
        some => Err(Wrong::new(some.to_string(), "see `jitgate dead-letters`")),
    })
}

pub(super) async fn cleaner(aws: &Aws, fleet: &Deployed) -> Look {
    let since = OffsetDateTime::now_utc() - CLEANER_SILENT;
    let passes = aws.log_lines(&fleet.cleaner.log_group, "clean-up done", since).await?;
    Ok(match passes.last() {
        Some(_) => Ok(format!("{} within 15 minutes", passes.len())),
        None => Err(Wrong::new(
            "none within 15 minutes",
            "is its schedule on? Read the cleaner's log; run `jitgate upgrade`",
        )),
    })
}

pub(super) async fn alarms(aws: &Aws, fleet: &Deployed) -> Look {
    let alarms = aws.alarms(&fleet.stack).await?;
    Ok(if alarms.is_empty() {
        Ok("none".to_owned())
    } else {
        Err(Wrong::new(alarms.join(", "), "docs/OPERATIONS.md says what each means"))
    })
}

pub(super) async fn ecs_role(aws: &Aws) -> Look {
    Ok(if has_ecs_role(aws).await? {
        Ok(String::new())
    } else {
        Err(Wrong::new(
            "the account has none",
            "make it: `aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com`",
        ))
    })
}

pub(super) async fn task_definitions(aws: &Aws, fleet: &Deployed) -> Look {
    let classes = fleet.classes()?;
    let named: BTreeSet<&str> = classes
        .iter()
        .flat_map(|class| class.task_definition.architectures().filter_map(|each| class.task_definition.of(each)))
        .collect();
    for name in &named {
        if !aws.has_task_definition(name).await? {
            return Ok(Err(Wrong::new(format!("{name} is not active"), "correct the class, or run `jitgate upgrade`")));
        }
    }
    Ok(Ok(format!("{} active", named.len())))
}

/// Whether the runners' subnets lead out and have room.
pub(super) async fn subnets(aws: &Aws, fleet: &Deployed) -> Look {
    let classes = fleet.classes()?;
    let mut found = BTreeMap::new();
    for class in classes.iter() {
        let Some(first) = class.subnets.first() else { continue };
        let Some(vpc) = aws.vpc_of(first).await? else {
            return Ok(Err(Wrong::new(
                format!("{first} does not exist"),
                "correct SubnetIds: `jitgate upgrade --set …`",
            )));
        };
        for subnet in offer(aws, Some(&vpc)).await? {
            found.insert(subnet.id.clone(), subnet);
        }
        for id in &class.subnets {
            let Some(subnet) = found.get(id) else {
                return Ok(Err(Wrong::new(
                    format!("{id} does not exist"),
                    "correct SubnetIds: `jitgate upgrade --set …`",
                )));
            };
            if subnet.is_public && !class.assign_public_ip {
                return Ok(Err(Wrong::new(
                    format!(
                        "{id} is public, and class {}'s tasks get no public address, so they cannot get out",
                        class.name
                    ),
                    "`jitgate upgrade --set AssignPublicIp=true`, or use private subnets behind a NAT",
                )));
            }
            if subnet.free < FEW_ADDRESSES {
                return Ok(Err(Wrong::new(
                    format!("{id} has {} free addresses", subnet.free),
                    "add subnets; each runner takes an address",
                )));
            }
        }
    }
    Ok(Ok(String::new()))
}

/// What became of the tasks of the last hour.
pub(super) async fn failed_starts(aws: &Aws, fleet: &Deployed) -> Look {
    let since = OffsetDateTime::now_utc() - Duration::HOUR;
    let lines = aws.log_lines(&fleet.cleaner.log_group, "TaskFailedToStart", since).await?;
    let deferred = aws.log_lines(&fleet.worker.log_group, "until this is mended", since).await?;
    let parsed = |lines: &[(OffsetDateTime, String)]| -> Vec<Value> {
        lines.iter().filter_map(|(_, line)| serde_json::from_str(line).ok()).collect()
    };
    Ok(of_starts(&parsed(&lines), &parsed(&deferred)))
}

fn of_starts(failed: &[Value], to_mend: &[Value]) -> Result<String, Wrong> {
    if let Some(error) = to_mend.last().and_then(|line| line["error"].as_str()) {
        return Err(Wrong::new(format!("nothing can be launched: {error}"), words::of_error(error).todo));
    }
    match failed.iter().filter(|line| line["message"] == "task ended").count() {
        0 => Ok("none failed".to_owned()),
        some => Err(Wrong::new(
            format!("{some} tasks did not start"),
            "see why, by the job of one: `jitgate why JOB_ID`; docs/NETWORK.md if no image can be pulled",
        )),
    }
}

/// Whether GitHub will soon turn the runner's version away.
pub(super) async fn runner_version(aws: &Aws, fleet: &Deployed) -> Look {
    let since = OffsetDateTime::now_utc() - Duration::DAY;
    let lines = aws.log_lines(&fleet.cleaner.log_group, "turn this version of the runner away", since).await?;
    let last = lines.last().and_then(|(_, line)| serde_json::from_str::<Value>(line).ok());
    Ok(match last {
        None => Ok(String::new()),
        Some(line) => {
            let (version, days) = (line["runner.version"].as_str().unwrap_or("?"), &line["days_left"]);
            Err(Wrong::new(format!("version {version} ends in {days} days"), "`jitgate upgrade --image IMAGE`"))
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_source_that_is_off_can_be_switched_on() {
        let off = of_sources(&[json!({ "UUID": "u", "State": "Disabled" })]).unwrap_err();
        let fixed = Wrong::new("disabled, so no job is launched", "run `jitgate doctor --fix`");
        assert_eq!(off, fixed.with(Fix::EnableEventSource("u".to_owned())));
        assert!(of_sources(&[json!({ "UUID": "u", "State": "Enabled" })]).is_ok() && of_sources(&[]).is_err());
    }

    #[test]
    fn what_holds_all_launches_up_comes_first() {
        let ended = [json!({ "message": "task ended", "stop_code": "TaskFailedToStart" })];
        let to_mend = [json!({ "error": "secret \"s\" is unusable: private_key is missing" })];
        let says = |outcome: Result<String, Wrong>| format!("{outcome:?}");
        assert!(says(of_starts(&ended, &to_mend)).contains("private_key is missing"));
        assert!(says(of_starts(&ended, &[])).contains("1 tasks did not start"));
        assert_eq!(of_starts(&[], &[]), Ok("none failed".to_owned()));
    }

    #[test]
    fn a_stack_whose_update_failed_is_not_well() {
        let of = |status: &str| Stack {
            id: String::new(),
            status: status.to_owned(),
            outputs: BTreeMap::new(),
            parameters: BTreeMap::new(),
            version: None,
        };
        assert!(stack(Some(&of("UPDATE_COMPLETE"))).is_ok() && stack(None).is_ok());
        for status in ["UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED", "ROLLBACK_COMPLETE", "UPDATE_IN_PROGRESS"]
        {
            assert!(stack(Some(&of(status))).is_err(), "{status}");
        }
    }
}
