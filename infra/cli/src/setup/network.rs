//! Which network the runners get.

use std::collections::BTreeMap;

use crate::args::Setup;
use crate::aws::{Aws, Subnet, offer};
use crate::screen::Screen;
use crate::trouble::Trouble;

/// The most subnets of a task. Source: ECS's API reference, `AwsVpcConfiguration`.
const MOST_SUBNETS: usize = 16;

/// The parameters of the network: what the command line names, or else what the user chooses from the VPC's subnets.
pub(super) async fn choose(aws: &Aws, screen: &Screen, options: &Setup) -> Result<BTreeMap<String, String>, Trouble> {
    let there = offer(aws, options.vpc.as_deref()).await?;
    let chosen = if options.subnets.is_empty() { pick(screen, &there)? } else { named(&there, &options.subnets)? };
    let (public, private): (Vec<&Subnet>, _) = chosen.iter().partition(|subnet| subnet.is_public);
    if !public.is_empty() && !private.is_empty() {
        screen.warn(
            "Some of these subnets are public and some are not: runners without a public address may not reach GitHub.",
        );
    } else if public.is_empty() {
        screen.say("These subnets have no internet gateway: their way to GitHub must be a NAT gateway or the like.");
    }
    let ids: Vec<_> = chosen.iter().map(|subnet| subnet.id.as_str()).collect();
    Ok(BTreeMap::from([
        ("VpcId".to_owned(), chosen[0].vpc.clone()),
        ("SubnetIds".to_owned(), ids.join(",")),
        ("AssignPublicIp".to_owned(), (!public.is_empty()).to_string()),
    ]))
}

/// The public subnets are the offer; where there are none, all are.
fn pick(screen: &Screen, there: &[Subnet]) -> Result<Vec<Subnet>, Trouble> {
    let has_public = there.iter().any(|subnet| subnet.is_public);
    let offered = there.iter().filter(|subnet| subnet.is_public == has_public).take(MOST_SUBNETS);
    let choices: Vec<_> = offered.map(|subnet| (subnet.id.clone(), words(subnet))).collect();
    if choices.is_empty() {
        return Err(Trouble::usage("the VPC has no subnets", "name another one by --vpc"));
    }
    let ids = screen.choose_some("Subnets for the runners (space chooses, Enter goes on):", "--subnets", &choices)?;
    named(there, &ids)
}

fn named(there: &[Subnet], ids: &[String]) -> Result<Vec<Subnet>, Trouble> {
    if ids.is_empty() || ids.len() > MOST_SUBNETS {
        return Err(Trouble::usage(format!("{} subnets are chosen", ids.len()), format!("choose 1 to {MOST_SUBNETS}")));
    }
    let find = |id: &String| {
        there.iter().find(|subnet| subnet.id == *id).cloned().ok_or_else(|| {
            let known: Vec<_> = there.iter().map(|subnet| subnet.id.as_str()).collect();
            Trouble::usage(format!("{id} is no subnet of this VPC"), format!("choose among {}", known.join(", ")))
        })
    };
    ids.iter().map(find).collect()
}

fn words(subnet: &Subnet) -> String {
    let kind = if subnet.is_public { "public" } else { "private" };
    let name = subnet.name.as_deref().map(|name| format!(" {name:?}")).unwrap_or_default();
    format!("{}: {}, {kind}, {} free{name}", subnet.id, subnet.zone, subnet.free)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(id: &str) -> Subnet {
        Subnet {
            id: id.to_owned(),
            vpc: "vpc-1".to_owned(),
            zone: "us-east-1a".to_owned(),
            is_public: true,
            free: 250,
            name: None,
        }
    }

    #[test]
    fn subnets_of_another_vpc_are_refused_by_name() {
        let there = [subnet("subnet-a"), subnet("subnet-b")];
        assert_eq!(named(&there, &["subnet-b".to_owned()]).unwrap(), [subnet("subnet-b")]);
        let error = named(&there, &["subnet-x".to_owned()]).unwrap_err();
        assert!(error.what.contains("subnet-x") && error.remedy.contains("subnet-a, subnet-b"));
        assert!(named(&there, &[]).is_err());
        assert!(named(&there, &vec!["subnet-a".to_owned(); 17]).is_err());
    }
}
