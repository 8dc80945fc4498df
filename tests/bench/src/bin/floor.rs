//! The least that a webhook in Rust can do: verify the signature of a delivery, and send one message. The webhook is
//! measured against it, with the same SDK setup. It is never deployed.

use std::collections::HashMap;

use hmac::{Hmac, KeyInit, Mac};
use jitgate::aws::{Patience, sdk_config};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

#[derive(Deserialize)]
struct Request {
    headers: HashMap<String, String>,
    body: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    status_code: u16,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let (secret, queue) = (std::env::var("WEBHOOK_SECRET")?, std::env::var("JOB_QUEUE_URL")?);
    let sqs = aws_sdk_sqs::Client::new(&sdk_config(Patience::WEBHOOK).await);
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Request>| {
        let request = event.payload;
        let mut hmac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())?;
        hmac.update(request.body.as_bytes());
        let signature = request.headers.get("x-hub-signature-256").and_then(|value| value.strip_prefix("sha256="));
        if hmac.verify_slice(&hex::decode(signature.unwrap_or_default())?).is_err() {
            return Ok(Response { status_code: 401 });
        }
        let delivery = request.headers.get("x-github-delivery").cloned().unwrap_or_default();
        sqs.send_message().queue_url(&queue).message_body(delivery).send().await?;
        Ok::<_, Error>(Response { status_code: 202 })
    }))
    .await
}
