//! A private certificate authority, as companies run for internal hosts.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// An authority that a client trusts only if it has its [`file`](Self::file), which is deleted on drop.
pub struct PrivateAuthority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
}

impl PrivateAuthority {
    /// A new one.
    ///
    /// # Panics
    /// If its certificate cannot be written to the folder for temporary files.
    #[expect(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names, so none that is malformed");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let file = std::env::temp_dir().join(format!("jitgate-ca-{}-{number}.pem", std::process::id()));
        std::fs::write(&file, certificate.pem()).expect("a file");
        Self { issuer: Issuer::new(params, key), file }
    }

    /// The path of its own certificate, in PEM.
    ///
    /// # Panics
    /// If the folder for temporary files has a name that is not Unicode.
    pub fn file(&self) -> &str {
        self.file.to_str().expect("a path in Unicode")
    }

    /// Serves TLS with a certificate of this authority for 127.0.0.1.
    ///
    /// # Panics
    /// If no certificate can be made.
    pub fn acceptor(&self) -> TlsAcceptor {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names, so none that is malformed");
        params.subject_alt_names = vec![SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST))];
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions that the provider knows")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a key that fits its certificate");
        TlsAcceptor::from(Arc::new(config))
    }
}

impl Drop for PrivateAuthority {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}
