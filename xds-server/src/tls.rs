//! TLS of what `weir` itself listens with, from files that may change.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoClientAuth, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::watch::FileWatch;

/// The files of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate, then those between it and its authority, in PEM.
    pub certificate: PathBuf,
    /// The certificate's private key in PEM.
    pub key: PathBuf,
    /// The authorities whose certificates clients must have. None: clients need none.
    pub client_ca: Option<PathBuf>,
}

/// TLS as the files had it last.
#[derive(Clone, Debug)]
pub struct Tls(watch::Receiver<Arc<ServerConfig>>);

impl Tls {
    /// Reads the files now and whenever they have changed. What cannot be used is logged, and what there was stays.
    pub fn follow(files: Files, protocol: &'static [u8]) -> Result<Self, TlsError> {
        let (sender, receiver) = watch::channel(Arc::new(files.read(protocol)?));
        let mut changes = FileWatch::new().map_err(TlsError::Watch)?;
        tokio::spawn(async move {
            loop {
                changes.cover(&files.all());
                changes.changed().await;
                match files.read(protocol) {
                    Ok(config) => {
                        info!(certificate = %files.certificate.display(), "TLS is read anew");
                        if sender.send(Arc::new(config)).is_err() {
                            return;
                        }
                    }
                    Err(problem) => warn!(%problem, "TLS stays as it was"),
                }
            }
        });
        Ok(Self(receiver))
    }

    /// What the next connection gets.
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.borrow())
    }
}

impl Files {
    fn read(&self, protocol: &[u8]) -> Result<ServerConfig, TlsError> {
        let chain = certificates(&self.certificate)?;
        let refused = |problem: String| TlsError::File(self.key.clone(), problem);
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| refused(error.to_string()))?;
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let config =
            config.with_safe_default_protocol_versions().map_err(|error| refused(error.to_string()))?;
        let clients: Arc<dyn ClientCertVerifier> = match &self.client_ca {
            None => Arc::new(NoClientAuth),
            Some(file) => {
                let refused = |problem: String| TlsError::File(file.clone(), problem);
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(certificates(file)?);
                let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                clients.build().map_err(|error| refused(error.to_string()))?
            }
        };
        let config = config.with_client_cert_verifier(clients).with_single_cert(chain, key);
        let mut config = config.map_err(|error| refused(error.to_string()))?;
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(config)
    }

    fn all(&self) -> BTreeSet<PathBuf> {
        [&self.certificate, &self.key].into_iter().chain(&self.client_ca).cloned().collect()
    }
}

fn certificates(file: &PathBuf) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let refused = |problem: String| TlsError::File(file.clone(), problem);
    let found = CertificateDer::pem_file_iter(file).map_err(|error| refused(error.to_string()))?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(|error| refused(error.to_string()))?;
    if found.is_empty() { Err(refused("it has no certificate".into())) } else { Ok(found) }
}

/// Files that are no use for TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is not what it should be.
    #[error("{}: {}", .0.display(), .1)]
    File(PathBuf, String),
    /// The system cannot tell of changes.
    #[error("cannot watch files: {0}")]
    Watch(notify::Error),
}
