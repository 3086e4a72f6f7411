//! Tenants: which hosts are theirs, who belongs to them, and what they see.

use std::collections::BTreeMap;

use weir_schema::{HostPattern, ModelName, ModelPattern, Name};

use super::{Consumer, Key, ModelError, Parts, Problem, PublicModel, known, unique};
use crate::secret::Secret;

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// The tenant's name.
    pub name: Name,
    /// The hosts that are its own.
    pub hosts: Vec<HostPattern>,
    /// The shared models that it sees beside its own.
    pub models: Vec<ModelPattern>,
    /// The model of a request that names none. Absent: the gateway's.
    pub default_model: Option<ModelName>,
    /// How it is reached over TLS. All domains have it, or none.
    pub tls: Option<ServerTls>,
}

/// What a domain is reached over TLS with, by the names of secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// Its certificate, and those between it and the authority.
    pub certificate: Name,
    /// The certificate's private key.
    pub key: Name,
}

impl Parts {
    /// Each key with the domain that it works on, which is that of its consumer.
    pub fn keys_with_domains(&self) -> impl Iterator<Item = (&Key, Name)> {
        let domains: BTreeMap<_, _> =
            self.consumers.iter().map(|consumer| (&consumer.name, consumer.domain.as_ref())).collect();
        self.keys.iter().map(move |key| {
            let domain = key.consumer.as_ref().and_then(|consumer| domains.get(consumer).copied().flatten());
            (key, domain.cloned().unwrap_or_else(Name::default_domain))
        })
    }

    pub(super) fn check_domains(&self) -> Result<(), ModelError> {
        unique("domains", self.domains.iter().map(|domain| domain.name.as_str()))?;
        let mut owners = BTreeMap::new();
        for domain in &self.domains {
            let at = |field: &str| format!("domains.{}.{field}", domain.name);
            if domain.hosts.is_empty() {
                return Err(ModelError { at: at("hosts"), problem: Problem::NoHost });
            }
            for (index, host) in domain.hosts.iter().enumerate() {
                if let Some(other) = owners.insert(host, &domain.name) {
                    let problem = Problem::SharedHost(other.clone());
                    return Err(ModelError { at: at(&format!("hosts[{index}]")), problem });
                }
            }
            let models = self.models.iter().filter(|model| model.is_for(&domain.name));
            for (index, pattern) in plain(&domain.models) {
                if models.clone().any(|model| model.is_named(pattern)) {
                    continue;
                }
                let names = models.clone().map(|model| model.name.as_str());
                known("model", pattern, names, || at(&format!("models[{index}]")))?;
            }
            if let Some(name) = &domain.default_model {
                self.check_seen(name.as_str(), &domain.name, || at("default_model"))?;
            }
            self.check_tls(domain)?;
        }
        self.consumers.iter().try_for_each(|consumer| self.check_consumer(consumer))?;
        self.models.iter().try_for_each(|model| match &model.domain {
            Some(domain) => self.known_domain(domain, || format!("models.{}.domain", model.label())),
            None => Ok(()),
        })
    }

    /// A key is of some domain, and the models it names are to be seen there.
    pub(super) fn check_place(&self, key: &Key, domain: &Name) -> Result<(), ModelError> {
        if key.consumer.is_none() && !self.has_domain(domain) {
            return Err(ModelError { at: format!("keys.{}.consumer", key.id), problem: Problem::NoConsumer });
        }
        plain(&key.models).try_for_each(|(index, pattern)| {
            self.check_seen(pattern, domain, || format!("keys.{}.models[{index}]", key.id))
        })
    }

    /// A domain's callers may ask for a model by this name.
    fn check_seen(&self, name: &str, domain: &Name, at: impl FnOnce() -> String) -> Result<(), ModelError> {
        if self.seen_from(domain, Some(name)).next().is_some() {
            return Ok(());
        }
        known("model", name, self.seen_from(domain, None), at).map_err(|error| {
            match error.problem {
                // Also for a model that others see: what they have is not told.
                Problem::Unknown { name, suggestion, .. } if !self.domains.is_empty() => {
                    let problem = Problem::Unseen { domain: domain.clone(), name, suggestion };
                    ModelError { problem, ..error }
                }
                _ => error,
            }
        })
    }

    fn check_tls(&self, domain: &Domain) -> Result<(), ModelError> {
        let at = |field: &str| format!("domains.{}.tls{field}", domain.name);
        let Some(tls) = &domain.tls else {
            return match self.domains.iter().find(|other| other.tls.is_some() && self.meet(domain, other)) {
                Some(other) => {
                    Err(ModelError { at: at(""), problem: Problem::PlainBesideTls(other.name.clone()) })
                }
                None => Ok(()),
            };
        };
        let certificate = || at(".certificate");
        self.check_secret(&tls.certificate, Secret::fits_certificate, Problem::NotCertificate, certificate)?;
        self.check_secret(&tls.key, Secret::fits_private_key, Problem::NotPrivateKey, || at(".key"))
    }

    fn check_consumer(&self, consumer: &Consumer) -> Result<(), ModelError> {
        let at = || format!("consumers.{}.domain", consumer.name);
        match &consumer.domain {
            Some(domain) => self.known_domain(domain, at),
            None if self.has_domain(&Name::default_domain()) => Ok(()),
            None => Err(ModelError { at: at(), problem: Problem::NoDomain }),
        }
    }

    /// Whether there is a tenant of this name; without any, all are of the one that is called `default`.
    fn has_domain(&self, name: &Name) -> bool {
        self.domains.is_empty() || self.domains.iter().any(|domain| domain.name == *name)
    }

    /// Without tenants there is one, `default`, which a quota may name.
    pub(super) fn check_domain_of_quota(
        &self,
        name: &Name,
        at: impl FnOnce() -> String,
    ) -> Result<(), ModelError> {
        let default = self.domains.is_empty() && *name == Name::default_domain();
        if default { Ok(()) } else { self.known_domain(name, at) }
    }

    fn known_domain(&self, name: &Name, at: impl FnOnce() -> String) -> Result<(), ModelError> {
        known("domain", name.as_str(), self.domains.iter().map(|domain| domain.name.as_str()), at)
    }

    /// The names of the models that a domain's callers may ask for: all, or those that `wanted` means.
    fn seen_from<'a>(
        &'a self,
        domain: &'a Name,
        wanted: Option<&'a str>,
    ) -> impl Iterator<Item = &'a str> + Clone {
        let tenant = self.domains.iter().find(|known| known.name == *domain);
        let sees = move |name: &str| {
            tenant.is_none_or(|tenant| tenant.models.iter().any(|pattern| pattern.matches(name)))
        };
        let named = self.models.iter().filter(move |model| wanted.is_none_or(|name| model.is_named(name)));
        let seen = named.filter(move |model| match &model.domain {
            Some(owner) => owner == domain,
            None => sees(wanted.unwrap_or(model.name.as_str())),
        });
        seen.map(|model| model.name.as_str())
    }
}

/// What a model is called among all models.
pub fn label(name: &ModelName, domain: Option<&Name>) -> String {
    match domain {
        Some(domain) => format!("{name}@{domain}"),
        None => name.to_string(),
    }
}

impl PublicModel {
    /// What tells the model apart from every other: its name, and its domain if it has one.
    pub fn label(&self) -> String {
        label(&self.name, self.domain.as_ref())
    }

    /// Whether this is its name, or one that its wildcard fits.
    pub(super) fn is_named(&self, name: &str) -> bool {
        match self.name.as_str().split_once('*') {
            Some((head, tail)) => {
                let rest = name.strip_prefix(head).and_then(|rest| rest.strip_suffix(tail));
                rest.is_some_and(|star| !star.is_empty())
            }
            None => self.name.as_str() == name,
        }
    }

    fn is_for(&self, domain: &Name) -> bool {
        self.domain.as_ref().is_none_or(|owner| owner == domain)
    }
}

/// The patterns that name one model.
pub(super) fn plain(patterns: &[ModelPattern]) -> impl Iterator<Item = (usize, &str)> {
    let names = patterns.iter().map(ModelPattern::as_str).enumerate();
    names.filter(|(_, name)| !name.contains('*'))
}
