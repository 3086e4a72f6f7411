//! The certificate authorities that servers are verified with.

use std::path::{Path, PathBuf};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem, pem::PemObject},
};

/// A client that trusts the authorities in a file.
pub fn trusting(file: &Path) -> Result<ClientConfig, InvalidAuthorities> {
    let mut roots = RootCertStore::empty();
    let found =
        CertificateDer::pem_file_iter(file).map_err(|error| InvalidAuthorities::File(file.into(), error))?;
    roots.add_parsable_certificates(found.filter_map(Result::ok));
    if roots.is_empty() {
        return Err(InvalidAuthorities::None(file.into()));
    }
    config(roots)
}

/// A client that trusts nobody, for servers without TLS.
pub fn none() -> Result<ClientConfig, InvalidAuthorities> {
    config(RootCertStore::empty())
}

fn config(roots: RootCertStore) -> Result<ClientConfig, InvalidAuthorities> {
    let config = ClientConfig::builder_with_provider(ring::default_provider().into());
    Ok(config.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth())
}

/// Authorities that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum InvalidAuthorities {
    /// Their file cannot be read.
    #[error("{}: {}", .0.display(), .1)]
    File(PathBuf, pem::Error),
    /// The file has no certificate.
    #[error("{}: it has no certificate", .0.display())]
    None(PathBuf),
    /// The library has no protocol in common with itself.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// Those of a Debian system.
pub const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";
