//! Why a registry's answer cannot be had.

use std::{env, error::Error, io};

/// Why a registry's answer cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Nothing says where the registry is.
    #[error("nothing says where the registry is")]
    NoRegistry,
    /// There is no cluster around the control plane.
    #[error("not inside a Kubernetes cluster ({0}); set discovery.kubernetes.url")]
    NoCluster(#[from] env::VarError),
    /// A file cannot be read.
    #[error("cannot read {0}: {1}")]
    File(String, io::Error),
    /// A file cannot be watched.
    #[error("cannot watch: {0}")]
    Watch(#[from] notify::Error),
    /// A file's content is not a list of nodes.
    #[error("the file is not a list of nodes: {0}")]
    List(Box<serde_saphyr::Error>),
    /// The certificate authorities cannot be used.
    #[error("the certificate authorities cannot be read: {0}")]
    Authorities(String),
    /// A request cannot be written.
    #[error("not a request: {0}")]
    Request(#[from] http::Error),
    /// The registry cannot be reached.
    #[error("cannot reach the registry: {}", root(.0))]
    Unreachable(#[from] hyper_util::client::legacy::Error),
    /// The registry's answer was cut.
    #[error("the registry's answer was cut: {0}")]
    Cut(Box<dyn Error + Send + Sync>),
    /// The registry takes too long.
    #[error("the registry does not answer in time")]
    Late(#[from] tokio::time::error::Elapsed),
    /// The registry answers an error.
    #[error("the registry answers {0}")]
    Status(http::StatusCode),
    /// The registry's answer is an error of its own kind.
    #[error("the registry answers code {0}")]
    Code(i64),
    /// The registry's answer is not what its protocol says.
    #[error("the registry's answer cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// The registry's answer is not whole.
    #[error("the registry's answer has no {0}")]
    Missing(&'static str),
}

/// The innermost reason; the outer ones only say that there is one.
fn root(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
