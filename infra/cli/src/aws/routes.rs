//! Where a subnet's route table leads.

use std::collections::BTreeMap;

use roxmltree::{Document, Node};

use super::query::{Query, child};
use super::{Aws, network};
use crate::trouble::Trouble;

/// Where a subnet's default route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayOut {
    /// To an internet gateway: only tasks with a public address get out.
    Gateway,
    /// To a NAT gateway, a transit gateway, an instance or the like.
    Other,
    /// To something that is gone.
    Lost,
    /// There is none.
    Nowhere,
}

/// The ways out of a VPC's subnets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WaysOut {
    own: BTreeMap<String, WayOut>,
    main: Option<WayOut>,
}

impl WaysOut {
    /// That of a subnet. One without a route table of its own has the VPC's main one.
    pub fn of(&self, subnet: &str) -> WayOut {
        self.own.get(subnet).copied().or(self.main).unwrap_or(WayOut::Nowhere)
    }
}

impl Aws {
    /// The ways out of a VPC's subnets.
    pub async fn ways_out(&self, vpc: &str) -> Result<WaysOut, Trouble> {
        let of_vpc = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", vpc)];
        let text = Query::EC2.call(self, "DescribeRouteTables", &of_vpc).await.map_err(|(_, trouble)| trouble)?;
        read(&text).ok_or_else(|| network::unreadable("ec2:DescribeRouteTables"))
    }
}

fn read(text: &str) -> Option<WaysOut> {
    let document = Document::parse(text).ok()?;
    let mut found = WaysOut::default();
    for table in network::items(&document, "routeTableSet") {
        let way = way_of(table);
        for association in table.descendants().filter(|node| child(*node, "routeTableAssociationId").is_some()) {
            if child(association, "main") == Some("true") {
                found.main = Some(way);
            }
            if let Some(subnet) = child(association, "subnetId") {
                found.own.insert(subnet.to_owned(), way);
            }
        }
    }
    Some(found)
}

fn way_of(table: Node<'_, '_>) -> WayOut {
    let routes = table.descendants().filter(|node| {
        child(*node, "destinationCidrBlock") == Some("0.0.0.0/0")
            || child(*node, "destinationIpv6CidrBlock") == Some("::/0")
    });
    let ways = routes.map(|route| match child(route, "gatewayId") {
        _ if child(route, "state") == Some("blackhole") => WayOut::Lost,
        Some(gateway) if gateway.starts_with("igw-") => WayOut::Gateway,
        _ => WayOut::Other,
    });
    // A table may have one route for each version of IP: the one that leads somewhere counts.
    ways.min_by_key(|way| *way == WayOut::Lost).unwrap_or(WayOut::Nowhere)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source: EC2's API reference of `DescribeRouteTables`.
    #[test]
    fn a_subnet_leads_where_its_own_table_or_the_main_one_does() {
        let table = |association: &str, route: &str| {
            format!(
                "<item><routeSet><item><destinationCidrBlock>10.0.0.0/16</destinationCidrBlock><gatewayId>local</gatewayId>
                 </item>{route}</routeSet><associationSet><item><routeTableAssociationId>r</routeTableAssociationId>
                 {association}</item></associationSet></item>"
            )
        };
        let to = |target: &str| format!("<item><destinationCidrBlock>0.0.0.0/0</destinationCidrBlock>{target}</item>");
        let main = "<main>true</main>";
        let own = "<main>false</main><subnetId>subnet-b</subnetId>";
        for (route, way) in [
            (to("<gatewayId>igw-1</gatewayId><state>active</state>"), WayOut::Gateway),
            (to("<natGatewayId>nat-1</natGatewayId><state>active</state>"), WayOut::Other),
            (to("<transitGatewayId>tgw-1</transitGatewayId>"), WayOut::Other),
            (to("<natGatewayId>nat-1</natGatewayId><state>blackhole</state>"), WayOut::Lost),
            (String::new(), WayOut::Nowhere),
        ] {
            let text = format!("<R><routeTableSet>{}{}</routeTableSet></R>", table(main, ""), table(own, &route));
            let found = read(&text).unwrap();
            assert_eq!((found.of("subnet-a"), found.of("subnet-b")), (WayOut::Nowhere, way), "{route}");
        }
        assert_eq!(read("<html>"), None);
    }
}
