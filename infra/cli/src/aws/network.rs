//! Which subnets the runners may use.

use std::collections::HashSet;

use roxmltree::{Document, Node};

use super::Aws;
use super::query::{Query, child};
use crate::trouble::Trouble;

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// Its id.
    pub id: String,
    /// Its VPC's id.
    pub vpc: String,
    /// Its availability zone.
    pub zone: String,
    /// Whether its route table leads to an internet gateway.
    pub is_public: bool,
    /// Addresses that are free.
    pub free: u32,
    /// Its name tag, if it has one.
    pub name: Option<String>,
}

/// The subnets of a VPC, or of the region's default VPC; public ones first.
pub async fn offer(aws: &Aws, vpc: Option<&str>) -> Result<Vec<Subnet>, Trouble> {
    let vpc = match vpc {
        Some(vpc) => vpc.to_owned(),
        None => default_vpc(aws).await?,
    };
    let of_vpc = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", vpc.as_str())];
    let subnets = Query::EC2.call(aws, "DescribeSubnets", &of_vpc).await.map_err(|(_, trouble)| trouble)?;
    let routes = Query::EC2.call(aws, "DescribeRouteTables", &of_vpc).await.map_err(|(_, trouble)| trouble)?;
    let mut found = read(&subnets, &routes).ok_or_else(|| unreadable("ec2:DescribeSubnets"))?;
    found.sort_by(|one, other| (!one.is_public, &one.zone, &one.id).cmp(&(!other.is_public, &other.zone, &other.id)));
    Ok(found)
}

impl Aws {
    /// The VPC of a subnet; `None` if there is no such subnet.
    pub async fn vpc_of(&self, subnet: &str) -> Result<Option<String>, Trouble> {
        let text = match Query::EC2.call(self, "DescribeSubnets", &[("SubnetId.1", subnet)]).await {
            Ok(text) => text,
            Err((code, _)) if code == "InvalidSubnetID.NotFound" => return Ok(None),
            Err((_, trouble)) => return Err(trouble),
        };
        let document = Document::parse(&text).map_err(|_| unreadable("ec2:DescribeSubnets"))?;
        Ok(items(&document, "subnetSet").first().and_then(|subnet| child(*subnet, "vpcId")).map(ToOwned::to_owned))
    }
}

async fn default_vpc(aws: &Aws) -> Result<String, Trouble> {
    let of_region = [("Filter.1.Name", "is-default"), ("Filter.1.Value.1", "true")];
    let text = Query::EC2.call(aws, "DescribeVpcs", &of_region).await.map_err(|(_, trouble)| trouble)?;
    let document = Document::parse(&text).map_err(|_| unreadable("ec2:DescribeVpcs"))?;
    items(&document, "vpcSet").first().and_then(|vpc| child(*vpc, "vpcId")).map(ToOwned::to_owned).ok_or_else(|| {
        Trouble::usage(
            format!("{} has no default VPC", aws.region),
            "add --vpc, and --subnets if its public ones are not the right ones",
        )
    })
}

pub(super) fn unreadable(what: &str) -> Trouble {
    Trouble::unknown(format!("{what}: the answer cannot be read"), "name the network by --vpc and --subnets")
}

pub(super) fn items<'a>(document: &'a Document<'a>, set: &str) -> Vec<Node<'a, 'a>> {
    let of_set = document.descendants().find(|node| node.tag_name().name() == set);
    of_set.into_iter().flat_map(|set| set.children()).filter(|node| node.tag_name().name() == "item").collect()
}

/// Joins two answers of EC2. A subnet without a route table of its own has the VPC's main one.
fn read(subnets: &str, routes: &str) -> Option<Vec<Subnet>> {
    let (subnets, routes) = (Document::parse(subnets).ok()?, Document::parse(routes).ok()?);
    let mut main_is_public = false;
    let (mut public, mut own) = (HashSet::new(), HashSet::new());
    for table in items(&routes, "routeTableSet") {
        let mut routes = table.descendants().filter(|node| node.tag_name().name() == "gatewayId");
        let is_public = routes.any(|gateway| gateway.text().is_some_and(|id| id.starts_with("igw-")));
        for association in table.descendants().filter(|node| node.tag_name().name() == "routeTableAssociationId") {
            let association = association.parent()?;
            if child(association, "main") == Some("true") {
                main_is_public |= is_public;
            }
            if let Some(subnet) = child(association, "subnetId") {
                own.insert(subnet.to_owned());
                if is_public {
                    public.insert(subnet.to_owned());
                }
            }
        }
    }
    let of = |subnet: Node<'_, '_>| {
        let id = child(subnet, "subnetId")?.to_owned();
        let name = subnet
            .descendants()
            .find(|tag| tag.tag_name().name() == "item" && child(*tag, "key") == Some("Name"))
            .and_then(|tag| child(tag, "value"));
        Some(Subnet {
            is_public: public.contains(&id) || (!own.contains(&id) && main_is_public),
            vpc: child(subnet, "vpcId")?.to_owned(),
            zone: child(subnet, "availabilityZone").unwrap_or_default().to_owned(),
            free: child(subnet, "availableIpAddressCount").and_then(|count| count.parse().ok()).unwrap_or(0),
            name: name.map(ToOwned::to_owned),
            id,
        })
    };
    Some(items(&subnets, "subnetSet").into_iter().filter_map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBNETS: &str = r#"<DescribeSubnetsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><subnetSet>
        <item><subnetId>subnet-a</subnetId><vpcId>vpc-1</vpcId><availabilityZone>us-east-1a</availabilityZone>
            <availableIpAddressCount>251</availableIpAddressCount>
            <tagSet><item><key>Name</key><value>public a</value></item></tagSet></item>
        <item><subnetId>subnet-b</subnetId><vpcId>vpc-1</vpcId><availabilityZone>us-east-1b</availabilityZone></item>
        <item><subnetId>subnet-c</subnetId><vpcId>vpc-1</vpcId></item>
    </subnetSet></DescribeSubnetsResponse>"#;

    fn routes(main: &str, of_b: &str) -> String {
        let table = |association: &str, gateway: &str| {
            format!(
                "<item><routeSet><item><gatewayId>local</gatewayId></item><item><gatewayId>{gateway}</gatewayId></item>
                 </routeSet><associationSet><item><routeTableAssociationId>r</routeTableAssociationId>{association}
                 </item></associationSet></item>"
            )
        };
        format!(
            "<R><routeTableSet>{}{}</routeTableSet></R>",
            table("<main>true</main>", main),
            table("<main>false</main><subnetId>subnet-b</subnetId>", of_b)
        )
    }

    #[test]
    fn a_subnet_is_public_by_its_own_routes_or_else_by_those_of_the_vpc() {
        for (main, of_b, public) in [
            ("igw-1", "vgw-1", vec!["subnet-a", "subnet-c"]),
            ("vgw-1", "igw-1", vec!["subnet-b"]),
            ("vgw-1", "vgw-1", vec![]),
        ] {
            let found = read(SUBNETS, &routes(main, of_b)).unwrap();
            let named: Vec<_> = found.iter().filter(|each| each.is_public).map(|each| each.id.as_str()).collect();
            assert_eq!(named, public, "{main} {of_b}");
        }
        let found = read(SUBNETS, &routes("igw-1", "igw-1")).unwrap();
        assert_eq!((found[0].free, found[0].name.as_deref()), (251, Some("public a")));
    }
}
