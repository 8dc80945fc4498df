//! AWS's error answers for scripted faults, in the wire format of its JSON protocols.
//!
//! The messages are AWS's own where they are documented or were reported; the functions must not depend on any others.

use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::wire::Answer;

pub(super) const REQUEST_ID: &str = "x-amzn-requestid";
const ERROR_TYPE: &str = "x-amzn-errortype";
const QUERY_ERROR: &str = "x-amzn-query-error";

/// Why ECS places no task: Fargate has no capacity in this zone. An entry of `failures`, or an error's message.
pub const CAPACITY_UNAVAILABLE: &str =
    "Capacity is unavailable at this time. Please try again later or in a different availability zone";

/// Why ECS places no task: the account's vCPU quota for On-Demand or Spot.
pub const VCPU_QUOTA: &str = "You've reached the limit on the number of vCPUs you can run concurrently";

/// Why ECS places no task: the account's quota of tasks.
pub const TASK_QUOTA: &str = "You've reached the limit on the number of tasks you can run concurrently";

/// Why ECS places no task: too many tasks of the cluster wait for instances (the quota "Tasks in the PROVISIONING state per
/// cluster"). It comes as `ClientException`. Source: aws/aws-sdk-ruby#3047.
pub const PROVISIONING_QUOTA: &str = "Tasks provisioning capacity limit exceeded.";

/// Why a task that waited for an instance fails: EC2 has none. The code is EC2's ("Error codes"); ECS's words around it are not
/// documented for Managed Instances.
pub const NO_INSTANCE: &str = "InsufficientInstanceCapacity: there is no instance of the requested types at present";

/// Why ECS refuses a strategy: the provider does not exist, or is not the cluster's.
pub const NOT_ASSOCIATED: &str = "The specified capacity provider strategy cannot contain a capacity provider that is \
     not associated with the cluster. Associate the capacity provider with the cluster and try again.";

/// What a person, a deployment or time mends: code and message of refusals of `RunTask`. Sources: ECS's `RunTask` reference,
/// its "Troubleshooting" pages and users' reports, among others jonrau1/ElectricEye#9 (service-linked role) and
/// boto/boto3#1878 (task role).
pub const MENDABLE: [(&str, &str); 14] = [
    (
        "InvalidParameterException",
        "Unable to assume the service linked role. Please verify that the ECS service linked role exists.",
    ),
    (
        "ClientException",
        "ECS was unable to assume the role 'arn:aws:iam::123456789012:role/runner' that was provided for this task. \
         Please verify that the role being passed has the proper trust relationship and permissions and that your IAM \
         user has permissions to pass this role.",
    ),
    ("BlockedException", "Your AWS account was blocked. For more information, contact AWS Support."),
    (
        "ClientException",
        "Your account is currently blocked. Contact aws-verification@amazon.com if you have questions.",
    ),
    (
        "ClientException",
        "Your request for accessing resources in this region is being validated, and you will not be able to launch \
         additional resources in this region until the validation is complete.",
    ),
    ("ClusterNotFoundException", "Cluster not found."),
    ("InvalidParameterException", "The referenced cluster was inactive."),
    ("ClientException", "TaskDefinition not found."),
    ("ClientException", "Unable to describe task definition."),
    ("ClientException", "TaskDefinition is inactive"),
    (
        "InvalidParameterException",
        "Error retrieving subnet information for [subnet-1]: The subnet ID 'subnet-1' does not exist (ErrorCode: \
         InvalidSubnetID.NotFound)",
    ),
    (
        "InvalidParameterException",
        "Error retrieving security group information for [sg-1]: The security group 'sg-1' does not exist (ErrorCode: \
         InvalidGroup.NotFound)",
    ),
    ("InvalidParameterException", "Override for container named runner is not a container in the TaskDefinition."),
    ("InvalidParameterException", NOT_ASSOCIATED),
];

/// ECS asks EC2 about subnets and security groups, and passes EC2's own failures on as a wrong parameter. Source:
/// reproio/wrapbox#43.
pub const EC2_FAILS: [&str; 2] = [
    "Error retrieving security group information for [sg-1]: An internal error has occurred (ErrorCode: InternalError)",
    "Error retrieving subnet information for [subnet-1]: The service is unavailable. Please try again shortly. \
     (ErrorCode: Unavailable)",
];

/// HTTP 200.
pub fn ok(body: &Value) -> Answer {
    build(200, body)
}

/// An error of a service that speaks AWS JSON.
pub fn error(status: u16, code: &str, message: &str) -> Answer {
    let mut answer = build(status, &json!({ "__type": code, "message": message }));
    name_error(&mut answer, code);
    answer
}

/// Too many calls: HTTP 400 with a code that the SDK retries.
pub fn throttling() -> Answer {
    error(400, "ThrottlingException", "Rate exceeded")
}

/// An internal error of AWS: HTTP 500.
pub fn server_exception() -> Answer {
    error(500, "ServerException", "Service Unavailable. Please try again later.")
}

/// HTTP 503 from a load balancer in front of the service, not in the service's own format.
pub fn unavailable() -> Answer {
    let mut answer = Answer::new(Bytes::from_static(b"<html><body><b>Http/1.1 Service Unavailable</b></body></html>"));
    *answer.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
    answer
}

/// The role lacks a permission: HTTP 400.
pub fn access_denied(operation: &str) -> Answer {
    let message =
        format!("User: arn:aws:sts::{}:assumed-role/r/f is not authorized to perform: {operation}", super::ACCOUNT);
    error(400, "AccessDeniedException", &message)
}

/// What IAM says of a role that the caller may not pass.
pub fn cannot_pass(role: &str) -> String {
    format!(
        "User: arn:aws:sts::{}:assumed-role/r/f is not authorized to perform: iam:PassRole on resource: {role} because no \
         identity-based policy allows the iam:PassRole action",
        super::ACCOUNT
    )
}

/// A quota or a wrong parameter: ECS reports both with this code, and only the message tells them apart.
pub fn client_exception(message: &str) -> Answer {
    error(400, "ClientException", message)
}

/// A parameter that ECS refuses.
pub fn invalid_parameter(message: &str) -> Answer {
    error(400, "InvalidParameterException", message)
}

/// No capacity, as an error.
pub fn capacity_unavailable() -> Answer {
    client_exception(CAPACITY_UNAVAILABLE)
}

/// The answer of `RunTask` if it places no task: HTTP 200 with one entry in `failures`, on Fargate without an ARN.
pub fn failure(reason: &str) -> Answer {
    ok(&json!({ "tasks": [], "failures": [{ "reason": reason }] }))
}

/// The token was used with other parameters; `tasks` are the ARNs of the tasks started then.
pub fn conflict(tasks: &[String]) -> Answer {
    let message = "The request with the same clientToken was made before with different parameters.";
    let body = json!({ "__type": "ConflictException", "message": message, "resourceIds": tasks });
    let mut answer = build(400, &body);
    name_error(&mut answer, "ConflictException");
    answer
}

/// An error of SQS. A header carries the code of its older query protocol, which the SDK prefers. `query_code` is that
/// code, if it differs from the shape's name.
pub fn sqs_error(shape: &str, query_code: Option<&str>, message: &str) -> Answer {
    let body = json!({ "__type": format!("com.amazonaws.sqs#{shape}"), "message": message });
    let mut answer = build(400, &body);
    let query = format!("{};Sender", query_code.unwrap_or(shape));
    answer.headers_mut().insert(QUERY_ERROR, query.parse().expect("a code is a valid header"));
    answer
}

pub(super) fn unknown_operation() -> Answer {
    error(400, "UnknownOperationException", "The stand-in does not know this operation.")
}

/// A body that is not JSON, or has a member of the wrong type.
pub(super) fn serialization(cause: &serde_json::Error) -> Answer {
    error(400, "SerializationException", &cause.to_string())
}

pub(super) fn request_id(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

fn name_error(answer: &mut Answer, code: &str) {
    answer.headers_mut().insert(ERROR_TYPE, code.parse().expect("a code is a valid header"));
}

fn build(status: u16, body: &Value) -> Answer {
    http::Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.1")
        .header(REQUEST_ID, request_id(999_999_999_999))
        .body(Bytes::from(body.to_string()))
        .expect("a valid status and static headers")
}
