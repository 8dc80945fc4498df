//! `X-Hub-Signature-256`: an HMAC-SHA256 over the raw body.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The header that carries the signature.
pub const HEADER: &str = "x-hub-signature-256";

/// A well-formed signature; [`Self::is_of`] tells whether it is the right one.
#[derive(Clone)]
pub struct Signature([u8; 32]);

impl Signature {
    /// Reads `sha256=` and 64 hexadecimal digits.
    pub fn parse(header: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(header.strip_prefix("sha256=")?, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// Whether the secret's owner signed this body. Takes the same time for either answer.
    pub fn is_of(&self, secret: &[u8], body: &[u8]) -> bool {
        let mut hmac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
        hmac.update(body);
        hmac.verify_slice(&self.0).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn githubs_published_test_vector_holds() {
        // Source: GitHub's "Validating webhook deliveries".
        let signature =
            Signature::parse("sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17").unwrap();
        assert!(signature.is_of(b"It's a Secret to Everybody", b"Hello, World!"));
        assert!(!signature.is_of(b"It's a secret to Everybody", b"Hello, World!"));
        assert!(!signature.is_of(b"It's a Secret to Everybody", b"Hello, World."));
    }

    #[test]
    fn only_one_form_is_accepted() {
        let digits = "0".repeat(64);
        assert!(Signature::parse(&format!("sha256={digits}")).is_some());
        for malformed in [
            digits.clone(),
            format!("sha1={digits}"),
            format!("sha256={digits}0"),
            format!("sha256={}", &digits[1..]),
            format!("sha256= {}", &digits[1..]),
            format!("sha256={}g", &digits[1..]),
            String::new(),
        ] {
            assert!(Signature::parse(&malformed).is_none(), "{malformed}");
        }
    }
}
