//! AWS's errors in words.

use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};

use crate::trouble::{Exit, Trouble};

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
        "Throttling" | "ThrottlingException" | "RequestLimitExceeded" | "SlowDown" => {
            (Exit::Unknown, "AWS limits your calls; run the command again in a minute")
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
    fn an_error_says_whose_turn_it_is() {
        for (code, unreachable, exit) in [
            ("ExpiredToken", false, Exit::SignIn),
            ("AccessDenied", false, Exit::Failed),
            ("Throttling", false, Exit::Unknown),
            ("", true, Exit::Unknown),
            ("ValidationError", false, Exit::Failed),
        ] {
            assert_eq!(explain("x", code, "words", unreachable).exit, exit, "{code}");
        }
    }
}
