//! What the account may run at once.

use serde_json::{Value, json};

use super::Aws;
use super::json::Json;
use crate::trouble::Trouble;

const fn operation(operation: &'static str) -> Json {
    Json { service: "servicequotas", target: "ServiceQuotasV20190624", operation, version: "1.1" }
}

const APPLIED: Json = operation("GetServiceQuota");
const DEFAULT: Json = operation("GetAWSDefaultServiceQuota");

/// A quota of Fargate. Source: AWS General Reference, "AWS Fargate endpoints and quotas".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// "Fargate On-Demand vCPU resource count"
    OnDemand,
    /// "Fargate Spot vCPU resource count"
    Spot,
}

impl Quota {
    fn code(self) -> &'static str {
        match self {
            Self::OnDemand => "L-3032A538",
            Self::Spot => "L-36FBB829",
        }
    }

    /// AWS's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::OnDemand => "Fargate On-Demand vCPU resource count",
            Self::Spot => "Fargate Spot vCPU resource count",
        }
    }
}

impl Aws {
    /// vCPUs of Fargate On-Demand that may run at once in this region.
    pub async fn fargate_vcpus(&self) -> Result<f64, Trouble> {
        self.quota(Quota::OnDemand).await
    }

    /// vCPUs that may run at once in this region.
    pub async fn quota(&self, quota: Quota) -> Result<f64, Trouble> {
        let request = json!({ "ServiceCode": "fargate", "QuotaCode": quota.code() });
        let answer = match self.json(&APPLIED, &request).await {
            // A quota that was never changed may have no value of its own. Source: the API reference of GetServiceQuota.
            Err(trouble) if trouble.what.contains("NoSuchResource") => self.json(&DEFAULT, &request).await?,
            answer => answer?,
        };
        value(&answer)
    }
}

fn value(answer: &Value) -> Result<f64, Trouble> {
    let value = answer["Quota"]["Value"].as_f64();
    value.ok_or_else(|| {
        Trouble::unknown(
            "servicequotas:GetServiceQuota: the answer has no value",
            "see Service Quotas in AWS's console, under AWS Fargate",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::standin::Server;

    /// Shapes: the API references of `GetServiceQuota` and `GetAWSDefaultServiceQuota`.
    #[tokio::test]
    async fn a_quota_that_was_never_changed_has_its_default() {
        let server = Server::start(|request| {
            let own = json!({ "Quota": { "ServiceCode": "fargate", "QuotaCode": "L-3032A538", "Value": 100.0 } });
            let default = json!({ "Quota": { "ServiceCode": "fargate", "QuotaCode": "L-36FBB829", "Value": 6.0 } });
            let none = json!({ "__type": "NoSuchResourceException", "Message": "The request failed" });
            match request {
                it if it.contains("GetAWSDefaultServiceQuota") => (200, Vec::new(), default.to_string()),
                it if it.contains("L-3032A538") => (200, Vec::new(), own.to_string()),
                _ => (400, Vec::new(), none.to_string()),
            }
        })
        .await;
        let aws = server.aws();
        assert_eq!(aws.quota(Quota::OnDemand).await, Ok(100.0));
        assert_eq!(aws.quota(Quota::Spot).await, Ok(6.0));
        let heard = server.heard();
        assert_eq!(heard.len(), 3);
        let signed = "eu-central-1/servicequotas/aws4_request";
        assert!(heard.iter().all(|it| it.contains(signed) && it.contains("ServiceQuotasV20190624")), "{heard:?}");
    }

    #[tokio::test]
    async fn a_quota_that_may_not_be_read_is_not_known() {
        let denied = json!({ "__type": "AccessDeniedException", "Message": "not authorized" });
        let server = Server::start(move |_| (400, Vec::new(), denied.to_string())).await;
        let trouble = server.aws().quota(Quota::OnDemand).await.unwrap_err();
        assert!(trouble.what.contains("servicequotas:GetServiceQuota: AccessDeniedException"), "{trouble:?}");
        assert!(value(&json!({})).is_err());
    }
}
