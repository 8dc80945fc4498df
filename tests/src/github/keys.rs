//! The App's key pair for tests. Each process generates one, so no key is in the repository.

use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A pair of keys in PEM.
pub struct AppKey {
    /// As GitHub hands it out: PKCS #1.
    pub private_pem: String,
    /// X.509, as `openssl rsa -pubout` writes it.
    pub public_pem: String,
}

impl AppKey {
    /// Generates a pair.
    pub fn generate() -> Self {
        // PKCS #8 prefixes the PKCS #1 key of a 2,048-bit pair with the version, the algorithm and the head of an octet
        // string, all of known length.
        const PKCS8_HEADER: usize = 26;
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("enough randomness for a key");
        let private: Pkcs8V1Der<'_> = pair.as_der().expect("a new key can be written");
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("a new key can be written");
        Self {
            private_pem: pem("RSA PRIVATE KEY", &private.as_ref()[PKCS8_HEADER..]),
            public_pem: pem("PUBLIC KEY", public.as_ref()),
        }
    }

    /// The pair that all tests of this process share.
    pub fn of_tests() -> &'static Self {
        static KEY: OnceLock<AppKey> = OnceLock::new();
        KEY.get_or_init(Self::generate)
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base64 is ASCII")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
