//! CloudWatch's alarms.

use roxmltree::Document;

use super::query::child;
use super::{Aws, Query};
use crate::trouble::Trouble;

impl Aws {
    /// The names of a fleet's alarms that have gone off.
    pub async fn alarms(&self, stack: &str) -> Result<Vec<String>, Trouble> {
        let prefix = format!("{stack}-");
        let parameters = [("AlarmNamePrefix", prefix.as_str()), ("StateValue", "ALARM"), ("MaxRecords", "100")];
        let answer = Query::CLOUDWATCH.call(self, "DescribeAlarms", &parameters).await;
        Ok(names(&answer.map_err(|(_, trouble)| trouble)?))
    }
}

fn names(text: &str) -> Vec<String> {
    let Ok(document) = Document::parse(text) else { return Vec::new() };
    let names = document.descendants().filter_map(|node| child(node, "AlarmName"));
    names.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source: the API reference of `DescribeAlarms`, "Sample Response".
    #[test]
    fn alarms_are_read_by_name() {
        let answer = "<DescribeAlarmsResponse xmlns=\"http://monitoring.amazonaws.com/doc/2010-08-01/\">\
            <DescribeAlarmsResult><MetricAlarms><member><AlarmName>fleet-dead-letters</AlarmName></member>\
            </MetricAlarms></DescribeAlarmsResult></DescribeAlarmsResponse>";
        assert_eq!(names(answer), ["fleet-dead-letters"]);
    }
}
