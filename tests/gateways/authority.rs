//! A certificate authority that nobody but these tests trusts, and the certificate it gave to
//! `api.anthropic.com`. Keys are made anew each time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

/// The name that gateways expect of their upstream.
pub(crate) const HOST: &str = "api.anthropic.com";

/// What servers of this machine are called.
pub(crate) const LOCAL: &str = "localhost";

/// The authority.
pub(crate) struct Authority {
    folder: tempfile::TempDir,
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

// === impl Authority ===

impl Authority {
    /// A new one, with a certificate for this name, and for servers of this machine.
    pub(crate) fn new(host: &str) -> Result<Self> {
        let named = |name: &str| {
            let mut full = DistinguishedName::new();
            full.push(DnType::CommonName, name);
            full
        };
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = named("tests of gateways");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate()?;
        let root = params.self_signed(&key)?;
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![host.to_owned(), LOCAL.to_owned()])?;
        params.distinguished_name = named(host);
        let certificate = params.signed_by(&key, &issuer)?;
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("ca.pem"), root.pem())?;
        Ok(Self {
            folder,
            certificate: certificate.der().clone(),
            key,
        })
    }

    /// The file that whoever trusts it needs.
    pub(crate) fn root(&self) -> PathBuf {
        Path::join(self.folder.path(), "ca.pem")
    }

    /// How a server shows its certificate.
    pub(crate) fn server(&self) -> Result<Arc<ServerConfig>> {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).map_err(anyhow::Error::msg)?;
        let provider = Arc::new(crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)?;
        Ok(Arc::new(config))
    }
}
