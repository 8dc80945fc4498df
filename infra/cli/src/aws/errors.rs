//! AWS's errors in words.

use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};

use crate::trouble::{Exit, Trouble};

/// AWS's codes for too many calls.
const LIMITS: [&str; 5] =
    ["Throttling", "ThrottlingException", "RequestLimitExceeded", "SlowDown", "TooManyRequestsException"];

/// AWS's codes for errors of its own.
const OF_AWS: [&str; 6] = [
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "InternalServiceError",
    "ServiceUnavailable",
    "ServiceUnavailableException",
];

/// Whether an answer has one of these codes, whatever its form.
pub(super) fn names_limit(text: &str) -> bool {
    LIMITS.iter().any(|code| text.contains(code))
}

/// Whether AWS refused a call for want of a permission.
pub(super) fn is_denied<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    matches!(error.code(), Some("AccessDenied" | "AccessDeniedException"))
}

/// What to tell the user of a failed call. `what` is what it was for, with the permission in brackets.
pub fn trouble_of<E: ProvideErrorMetadata>(what: &str, error: &SdkError<E>) -> Trouble {
    let words = jitgate::aws::words_of(error);
    let code = match error {
        SdkError::ServiceError(service) => service.err().code().unwrap_or_default(),
        _ => "",
    };
    explain(what, code, &words, is_unreachable(error))
}

/// Whether nobody answered.
pub(super) fn is_unreachable<E>(error: &SdkError<E>) -> bool {
    match error {
        SdkError::TimeoutError(_) => true,
        SdkError::DispatchFailure(failure) => failure.is_io() || failure.is_timeout(),
        _ => false,
    }
}

/// The same from an error's parts.
pub(super) fn explain(what: &str, code: &str, words: &str, is_unreachable: bool) -> Trouble {
    let (exit, remedy) = match code {
        "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "SignatureDoesNotMatch"
        | "AuthFailure"
        | "RequestExpired" => (Exit::SignIn, "sign in to AWS again, and check this machine's clock"),
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" | "NotAuthorized" => {
            (Exit::Failed, "let whoever you are signed in as make this call, then run the command again")
        }
        code if LIMITS.contains(&code) => (Exit::Unknown, "AWS limits your calls; run the command again in a minute"),
        code if OF_AWS.contains(&code) => {
            (Exit::Unknown, "AWS has an error of its own; run the command again in a minute")
        }
        _ if is_unreachable => (Exit::Unknown, "check the network, the proxy and the region, then run it again"),
        _ => (Exit::Failed, "correct what AWS names, then run the command again"),
    };
    Trouble { exit, what: format!("{what}: {words}"), remedy: remedy.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_whose_turn_it_is_and_what_to_do() {
        let kinds = [
            ("ExpiredToken", "the token has expired", false),
            ("AccessDenied", "u is not authorized to perform: cloudformation:DescribeStacks", false),
            ("Throttling", "Rate exceeded", false),
            ("InternalFailure", "an internal error", false),
            ("", "no answer in time", true),
            ("ValidationError", "1 validation error detected", false),
        ];
        let told = kinds.map(|(code, words, is_unreachable)| {
            let trouble = explain("stack s (cloudformation:DescribeStacks)", code, words, is_unreachable);
            format!("{trouble}\nexit code {}", trouble.exit as u8)
        });
        insta::assert_snapshot!(told.join("\n\n"));
    }
}
