//! The checks of what tasks are started from: ECS's role, task definitions with their roles, and subnets.

use std::collections::{BTreeMap, BTreeSet};

use jitgate::classes::{Architecture, RunnerClass};
use url::Host;

use super::finding::{Look, Wrong};
use crate::aws::{Aws, Definition, Subnet, WayOut, has_ecs_role, offer};
use crate::fleet::Deployed;
use crate::trouble::Trouble;

/// How many free addresses a subnet should have: each runner takes one.
const FEW_ADDRESSES: u32 = 16;

/// What a class starts its tasks from.
pub(super) struct Origin {
    pub(super) class: RunnerClass,
    pub(super) architecture: Architecture,
    /// Its name in the class.
    pub(super) name: String,
    /// `None` if there is none of that name.
    pub(super) definition: Option<Definition>,
}

impl Origin {
    /// The role with which ECS starts the tasks.
    pub(super) fn execution_role(&self) -> Option<&str> {
        let own = self.definition.as_ref().and_then(|definition| definition.execution_role.as_deref());
        self.class.execution_role.as_deref().or(own)
    }

    /// The role that jobs have.
    fn task_role(&self) -> Option<&str> {
        let own = self.definition.as_ref().and_then(|definition| definition.task_role.as_deref());
        self.class.task_role.as_deref().or(own)
    }
}

/// The task definitions of all classes.
pub(super) async fn origins(aws: &Aws, fleet: &Deployed) -> Result<Vec<Origin>, Trouble> {
    let classes = fleet.classes()?;
    let all = classes.iter().flat_map(|class| {
        let definitions = &class.task_definition;
        definitions.architectures().filter_map(|it| Some((class.clone(), it, definitions.of(it)?.to_owned())))
    });
    let asked = all.map(|(class, architecture, name)| async move {
        let definition = aws.definition(&name).await?;
        Ok(Origin { class, architecture, name, definition })
    });
    futures::future::try_join_all(asked).await
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

/// Whether all task definitions are active and ECS may take their roles.
pub(super) async fn definitions(aws: &Aws, origins: &[Origin]) -> Look {
    if let Some(gone) = origins.iter().find(|origin| !origin.definition.as_ref().is_some_and(|it| it.is_active)) {
        let todo = "correct task_definition in the class, or register it anew and run `jitgate upgrade`";
        return Ok(Err(Wrong::new(format!("{}, of class {}, is not active", gone.name, gone.class.name), todo)));
    }
    let roles = origins.iter().flat_map(|origin| origin.execution_role().into_iter().chain(origin.task_role()));
    let roles: BTreeSet<&str> = roles.collect();
    for role in &roles {
        let wrong = match aws.is_for_tasks(role).await? {
            Some(true) => continue,
            Some(false) => format!("{role} does not trust ecs-tasks.amazonaws.com"),
            None => format!("there is no {role}"),
        };
        return Ok(Err(Wrong::new(wrong, "restore the role as template.yaml has it, or name another in the class")));
    }
    let names: BTreeSet<&str> = origins.iter().map(|origin| origin.name.as_str()).collect();
    Ok(Ok(format!("{} active, {} roles", names.len(), roles.len())))
}

/// Whether the runners' subnets lead out and have addresses left.
pub(super) async fn subnets(aws: &Aws, fleet: &Deployed) -> Look {
    let classes = fleet.classes()?;
    let needs_internet = leads_to_the_internet(&fleet.setting("GITHUB_API_URL").unwrap_or_default());
    let mut found = BTreeMap::new();
    let mut ways = BTreeMap::new();
    for class in classes.iter() {
        let Some(first) = class.subnets.first() else { continue };
        let Some(vpc) = aws.vpc_of(first).await? else { return Ok(Err(no_such(first))) };
        if !ways.contains_key(&vpc) {
            let (subnets, out) = tokio::try_join!(offer(aws, Some(&vpc)), aws.ways_out(&vpc))?;
            found.extend(subnets.into_iter().map(|subnet| (subnet.id.clone(), subnet)));
            ways.insert(vpc.clone(), out);
        }
        for id in &class.subnets {
            let Some(subnet) = found.get(id) else { return Ok(Err(no_such(id))) };
            let way = ways.get(&subnet.vpc).map_or(WayOut::Nowhere, |ways| ways.of(id));
            if let Some(wrong) = of_subnet(class, subnet, way, needs_internet) {
                return Ok(Err(wrong));
            }
        }
    }
    Ok(Ok(String::new()))
}

fn no_such(subnet: &str) -> Wrong {
    Wrong::new(format!("{subnet} does not exist"), "correct SubnetIds: `jitgate upgrade --set SubnetIds=…`")
}

/// An Enterprise Server may be in the runners' own network.
fn leads_to_the_internet(api: &str) -> bool {
    let url = url::Url::parse(api).ok();
    let host = url.as_ref().and_then(url::Url::host);
    matches!(host, Some(Host::Domain(host)) if host == "api.github.com" || host.ends_with(".ghe.com"))
}

fn of_subnet(class: &RunnerClass, subnet: &Subnet, way: WayOut, needs_internet: bool) -> Option<Wrong> {
    let id = &subnet.id;
    let has_proxy = class.environment.keys().any(|name| name.eq_ignore_ascii_case("https_proxy"));
    Some(match way {
        WayOut::Gateway if !class.assign_public_ip => Wrong::new(
            format!("{id} is public, and class {}'s tasks get no public address, so they cannot get out", class.name),
            "`jitgate upgrade --set AssignPublicIp=true`, or use private subnets behind a NAT",
        ),
        WayOut::Lost => Wrong::new(
            format!("the default route of {id} leads to something that is gone"),
            "let it lead to a NAT gateway or an internet gateway",
        ),
        WayOut::Nowhere if needs_internet && !has_proxy => Wrong::new(
            format!("{id} has no default route, so its tasks do not reach GitHub"),
            "add a route to a NAT gateway, or use other subnets: `jitgate upgrade --set SubnetIds=…`; see docs/NETWORK.md",
        ),
        _ if subnet.free < FEW_ADDRESSES => Wrong::new(
            format!("{id} has {} free addresses", subnet.free),
            "add subnets: `jitgate upgrade --set SubnetIds=…`; each runner takes an address",
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use jitgate::classes::RunnerClasses;

    use super::*;

    #[test]
    fn a_subnet_leads_out_and_has_addresses() {
        let class = |more: &str| {
            let json = format!(
                r#"[{{"name":"default","labels":["fargate"],"task_definition":"r","subnets":["subnet-a"]{more}}}]"#
            );
            RunnerClasses::parse(&json).unwrap().iter().next().unwrap().clone()
        };
        let subnet = |free| Subnet {
            id: "subnet-a".to_owned(),
            vpc: "vpc-1".to_owned(),
            zone: String::new(),
            is_public: false,
            free,
            name: None,
        };
        let with_address = class(r#","assign_public_ip":true"#);
        let with_proxy = class(r#","environment":{"HTTPS_PROXY":"http://p"}"#);
        let plain = class("");
        for (class, way, free, needs_internet, is_well) in [
            (&with_address, WayOut::Gateway, 250, true, true),
            (&plain, WayOut::Gateway, 250, true, false),
            (&plain, WayOut::Other, 250, true, true),
            (&plain, WayOut::Other, 3, true, false),
            (&plain, WayOut::Lost, 250, false, false),
            (&plain, WayOut::Nowhere, 250, true, false),
            (&plain, WayOut::Nowhere, 250, false, true),
            (&with_proxy, WayOut::Nowhere, 250, true, true),
        ] {
            let found = of_subnet(class, &subnet(free), way, needs_internet);
            assert_eq!(found.is_none(), is_well, "{way:?} {free}: {found:?}");
        }
        assert!(leads_to_the_internet("https://api.github.com") && leads_to_the_internet("https://api.a.ghe.com"));
        assert!(!leads_to_the_internet("https://github.example.com/api/v3"));
    }
}
