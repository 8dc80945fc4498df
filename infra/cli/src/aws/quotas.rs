//! What the account may run at once.

use serde_json::json;

use super::Aws;
use super::json::Json;
use crate::trouble::Trouble;

const QUOTA: Json =
    Json { service: "servicequotas", target: "ServiceQuotasV20190624", operation: "GetServiceQuota", version: "1.1" };

impl Aws {
    /// vCPUs of Fargate On-Demand that may run at once in this region.
    pub async fn fargate_vcpus(&self) -> Result<f64, Trouble> {
        // "Fargate On-Demand vCPU resource count". Source: AWS General Reference, "AWS Fargate endpoints and quotas".
        let request = json!({ "ServiceCode": "fargate", "QuotaCode": "L-3032A538" });
        let answer = self.json(&QUOTA, &request).await?;
        answer["Quota"]["Value"].as_f64().ok_or_else(|| {
            Trouble::unknown("servicequotas: the answer has no value", "look in AWS's console, Service Quotas")
        })
    }
}
