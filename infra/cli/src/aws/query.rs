//! EC2 and IAM, of which a handful of calls is needed. The official crate of EC2 alone has over a million lines.

use roxmltree::Document;
use url::form_urlencoded;

use super::signed::Signed;
use super::{Aws, errors};
use crate::trouble::Trouble;

/// A service that speaks AWS's query protocol: a form as the request, XML as the answer.
#[derive(Clone, Copy, Debug)]
pub struct Query {
    service: &'static str,
    version: &'static str,
    is_global: bool,
}

impl Query {
    /// Amazon EC2.
    pub const EC2: Self = Self { service: "ec2", version: "2016-11-15", is_global: false };
    /// Amazon CloudWatch.
    pub const CLOUDWATCH: Self = Self { service: "monitoring", version: "2010-08-01", is_global: false };
    /// AWS Identity and Access Management.
    pub const IAM: Self = Self { service: "iam", version: "2010-05-08", is_global: true };

    /// Makes a call and returns the answer's XML. An error carries AWS's code in front of its words.
    pub async fn call(self, aws: &Aws, action: &str, parameters: &[(&str, &str)]) -> Result<String, (String, Trouble)> {
        let what = format!("{}:{action}", self.service);
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("Action", action)
            .append_pair("Version", self.version)
            .extend_pairs(parameters)
            .finish();
        let request = Signed {
            service: self.service,
            region: &self.region(aws),
            method: "POST",
            address: &self.address(aws),
            content_type: "application/x-www-form-urlencoded",
            target: None,
            body: &body,
        };
        let (status, text) = request.send(aws, &what).await.map_err(|trouble| (String::new(), trouble))?;
        if status.is_success() {
            return Ok(text);
        }
        let (code, message) = refusal(&text).unwrap_or_else(|| (String::new(), format!("answer {status}")));
        let trouble = errors::explain(&what, &code, &format!("{code}: {message}"), status.is_server_error());
        Err((code, trouble))
    }

    fn address(self, aws: &Aws) -> String {
        let host = if self.is_global && aws.partition == "aws" {
            self.service.to_owned()
        } else {
            format!("{}.{}", self.service, self.region(aws))
        };
        format!("{}/", aws.endpoint(&host))
    }

    /// A global service is signed for in one region of its partition.
    fn region(self, aws: &Aws) -> String {
        match (self.is_global, aws.partition.as_str()) {
            (true, "aws-cn") => "cn-north-1".to_owned(),
            (true, "aws-us-gov") => "us-gov-west-1".to_owned(),
            (true, _) => "us-east-1".to_owned(),
            (false, _) => aws.region.clone(),
        }
    }
}

/// Code and message of a refusal. EC2 and IAM nest them differently.
fn refusal(text: &str) -> Option<(String, String)> {
    let document = Document::parse(text).ok()?;
    let local = |name| document.descendants().find(|node| node.tag_name().name() == name).and_then(|node| node.text());
    Some((local("Code")?.to_owned(), local("Message").unwrap_or_default().to_owned()))
}

/// The text of a node's child, whatever its namespace.
pub(super) fn child<'a>(node: roxmltree::Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.children().find(|each| each.tag_name().name() == name).and_then(|each| each.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_both_services_are_understood() {
        let of_iam = r#"<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type>
            <Code>InvalidInput</Code><Message>taken</Message></Error></ErrorResponse>"#;
        let of_ec2 = "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>no</Message></Error></Errors></Response>";
        assert_eq!(refusal(of_iam), Some(("InvalidInput".to_owned(), "taken".to_owned())));
        assert_eq!(refusal(of_ec2), Some(("UnauthorizedOperation".to_owned(), "no".to_owned())));
        assert_eq!(refusal("<html>"), None);
    }
}
