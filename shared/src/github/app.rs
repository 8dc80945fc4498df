//! Signing in as a GitHub App: a signed token that names the App, with which installation tokens are requested.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use time::{Duration, OffsetDateTime};

use crate::secret::expose;

/// GitHub's clock may be behind ours. Source: GitHub's "Generating a JSON Web Token for a GitHub App".
const BACKDATED: Duration = Duration::seconds(60);

/// GitHub refuses tokens that live longer than ten minutes, counted by its own clock.
const LIFETIME: Duration = Duration::minutes(9);

/// Makes App tokens from the App's private key.
pub struct AppSigner {
    issuer: String,
    key: EncodingKey,
}

#[derive(Serialize)]
struct Claims<'a> {
    iat: i64,
    exp: i64,
    iss: &'a str,
    /// Two identical tokens in one second were answered with 404s, so no two of ours are alike, nor like another
    /// process's.
    jti: String,
}

impl AppSigner {
    /// Fails when the key is not an RSA key in PEM.
    pub fn new(issuer: &str, private_key: &secrecy::SecretString) -> Result<Self, &'static str> {
        let key = EncodingKey::from_rsa_pem(expose(private_key).as_bytes())
            .map_err(|_| "private_key is not an RSA private key in PEM")?;
        Ok(Self { issuer: issuer.to_owned(), key })
    }

    /// A token for the next few minutes.
    pub fn sign(&self, now: OffsetDateTime) -> Result<String, &'static str> {
        static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let jti = format!("{:016x}-{}", *PROCESS, SERIAL.fetch_add(1, Ordering::Relaxed));
        let claims = Claims {
            iat: (now - BACKDATED).unix_timestamp(),
            exp: (now + LIFETIME).unix_timestamp(),
            iss: &self.issuer,
            jti,
        };
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &self.key)
            .map_err(|_| "private_key cannot sign a token")
    }
}
