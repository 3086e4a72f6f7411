//! Whom `weir` believes when it connects over TLS.

use std::path::{Path, PathBuf};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

/// A TLS client that believes the certificate authorities in a file of PEM; those of the system if none is given.
pub fn client(file: Option<&Path>) -> Result<ClientConfig, AuthoritiesError> {
    let file = file.unwrap_or(Path::new(SYSTEM));
    let refused = |problem: String| AuthoritiesError { file: file.into(), problem };
    let found = CertificateDer::pem_file_iter(file).map_err(|error| refused(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.filter_map(Result::ok));
    if roots.is_empty() {
        return Err(refused("it has none".into()));
    }
    Ok(with_roots(roots))
}

/// A TLS client that believes nobody, for where there is no TLS.
pub fn nobody() -> ClientConfig {
    with_roots(RootCertStore::empty())
}

fn with_roots(roots: RootCertStore) -> ClientConfig {
    let tls = ClientConfig::builder_with_provider(ring::default_provider().into());
    #[expect(clippy::expect_used, reason = "ring has the protocol versions that rustls has by default")]
    let tls = tls.with_safe_default_protocol_versions().expect("ring speaks TLS 1.2 and 1.3");
    tls.with_root_certificates(roots).with_no_client_auth()
}

/// A file without certificate authorities.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", file.display())]
pub struct AuthoritiesError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

/// The certificate authorities of a Debian system.
const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";
