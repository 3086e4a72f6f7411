//! Who answers.

use std::{path::PathBuf, time::Duration};

use weir_schema::Name;
use weir_schema::compat::{CredentialHeader, Profile, Protocol};
use weir_schema::quota::Limits;

use super::{CircuitBreakers, ModelError, OutlierDetection, Parts, Problem, Upstream, known};
use crate::secret::Secret;

/// Someone who answers requests for models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// The provider's name, and that of its cluster.
    pub name: Name,
    /// What kind of API it has. Absent: OpenAI's.
    pub profile: Option<Name>,
    /// What its API needs: what is said of the provider alone, and in a model what its profile says too.
    pub needs: Profile,
    /// Where it is reached.
    pub upstream: Upstream,
    /// The secrets it is called with: none, one, or a pool of several.
    pub credentials: Vec<Name>,
    /// The certificate authorities it is verified with, as a file that Envoy reads. Absent: the system's.
    pub ca: Option<PathBuf>,
    /// Whether it speaks HTTP/2 without TLS.
    pub http2: bool,
    /// How long a connection may take to open.
    pub connect_timeout: Duration,
    /// When a node that fails gets no requests.
    pub outlier_detection: OutlierDetection,
    /// How much may be under way there at once.
    pub circuit_breakers: CircuitBreakers,
    /// How much may be used. Absent: no limit of its own.
    pub limits: Option<Limits>,
    /// The interfaces that it speaks, the preferred one first; at least one.
    pub protocols: Vec<Protocol>,
    /// The header that its credentials are sent in.
    pub credential_header: CredentialHeader,
    /// The domains whose callers may use the files, batches and responses that it keeps. They are all in one account,
    /// so each of these callers sees everyone's.
    pub stored_for: Vec<Name>,
}

impl Parts {
    pub(super) fn check_provider(&self, provider: &Provider) -> Result<(), ModelError> {
        let refuse = |field: &str, problem| {
            Err(ModelError { at: format!("providers.{}.{field}", provider.name), problem })
        };
        if provider.name.as_str().starts_with(RESERVED) {
            return refuse("name", Problem::Reserved);
        }
        if provider.upstream.is_tls() && provider.http2 {
            return refuse("http2", Problem::Http2OverTls);
        }
        if let Some(section) =
            provider.upstream.service().and_then(|service| self.registries.missing(service))
        {
            return refuse("upstream", Problem::NoRegistry(section));
        }
        match &provider.ca {
            Some(_) if !provider.upstream.is_tls() => return refuse("tls", Problem::TlsWithoutHttps),
            Some(path) if !path.is_absolute() => return refuse("tls.ca", Problem::RelativePath),
            _ => {}
        }
        if provider.protocols.is_empty() {
            return refuse("protocols", Problem::NoProtocol);
        }
        for (nth, name) in provider.credentials.iter().enumerate() {
            let at = || format!("providers.{}.credentials[{nth}]", provider.name);
            self.check_secret(name, Secret::fits_header, Problem::PemCredential, at)?;
            if provider.credentials.iter().take(nth).any(|other| other == name) {
                return Err(ModelError { at: at(), problem: Problem::Duplicate });
            }
        }
        let only = Name::default_domain();
        for (nth, domain) in provider.stored_for.iter().enumerate() {
            let names = self.domains.iter().map(|domain| domain.name.as_str());
            let none = self.domains.is_empty().then_some(only.as_str());
            let at = || format!("providers.{}.stored_for[{nth}]", provider.name);
            known("domain", domain.as_str(), names.chain(none), at)?;
        }
        Ok(())
    }

    /// A secret is there, and is what it is needed for.
    pub(super) fn check_secret(
        &self,
        name: &Name,
        fits: fn(&Secret) -> bool,
        problem: Problem,
        at: impl FnOnce() -> String,
    ) -> Result<(), ModelError> {
        match self.secrets.get(name) {
            Some(secret) if fits(secret) => Ok(()),
            Some(_) => Err(ModelError { at: at(), problem }),
            None => known("secret", name.as_str(), self.secrets.keys().map(Name::as_str), at),
        }
    }
}

/// Clusters with this prefix come from Envoy's bootstrap.
pub(super) const RESERVED: &str = "weir-";
