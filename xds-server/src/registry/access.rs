//! What somebody in a role may write.

use weir_schema::{ModelName, Name};

use super::{
    Refusal, State,
    sight::{Sight, leads_to},
};
use crate::{
    access::Role,
    file::{Consumer, Key, PublicModel},
    object::{Object, ObjectId, ObjectKind},
    store::Change,
};

/// Why a role does not allow what somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The role never allows it.
    #[error("a token of this role is not for this")]
    Role,
    /// A provider's model with somebody else's targets.
    #[error("the models of the provider \"{0}\" lead to it alone")]
    Target(Name),
    /// A provider's model for one tenant.
    #[error("a provider's models are for every tenant that sees them")]
    OneTenant,
    /// A provider's model that answers for names that it does not have.
    #[error("a provider's models have plain names")]
    Wildcard,
    /// A provider's model that answers for other names too.
    #[error("a provider's models have no aliases")]
    Aliases,
    /// A tenant's object outside of its name space.
    #[error("what the tenant \"{0}\" makes has a name that begins with \"{0}/\"")]
    Name(Name),
    /// A tenant's object for another tenant.
    #[error("what the tenant \"{0}\" makes is of its own domain")]
    OtherTenant(Name),
    /// A label that decides about quotas.
    #[error("quotas go by the label \"{0}\", so an administrator sets it")]
    Label(Name),
}

impl State {
    /// What a role must do to write an object; the object becomes what it has to be for the role.
    pub(super) fn permit(
        &self,
        sight: &Sight<'_>,
        role: &Role,
        object: &mut Object,
    ) -> Result<Vec<Change>, Refusal> {
        let id = object.id();
        let denied = |field: &str, denied| {
            Err(Refusal::Denied { object: Some(id.clone()), field: field.into(), denied })
        };
        let hidden = self.entry(&id).is_some_and(|entry| !sight.sees(&entry));
        match (role, object) {
            (Role::Admin, _) => Ok(Vec::new()),
            (Role::Provider(provider), Object::Model(model)) => {
                if let Some((field, why)) = misfit(model, provider) {
                    return denied(field, why);
                }
                if hidden || self.is_claimed(&model.name, &id, sight) {
                    return Err(Refusal::Taken(id));
                }
                Ok(vec![Change::Register(id, provider.clone())])
            }
            (Role::Tenant(domain), Object::Consumer(_) | Object::Key(_))
                if self.entry(&id).is_none_or(|_| hidden) && !self.is_in(domain, &id.name) =>
            {
                denied(id.kind.name_field(), Denied::Name(domain.clone()))
            }
            (Role::Tenant(_), Object::Consumer(_) | Object::Key(_)) if hidden => Err(Refusal::Taken(id)),
            (Role::Tenant(domain), Object::Consumer(consumer)) => {
                // Without domains there is `default`, which nothing can name.
                if *domain != Name::default_domain() {
                    consumer.domain.get_or_insert_with(|| domain.clone());
                }
                if consumer.domain.as_ref().is_some_and(|named| named != domain) {
                    return denied("domain", Denied::OtherTenant(domain.clone()));
                }
                match self.decisive_label(consumer) {
                    Some(label) => denied("labels", Denied::Label(label)),
                    None => Ok(Vec::new()),
                }
            }
            (Role::Tenant(_), Object::Key(key)) => {
                self.check_tenants_key(sight, &id, key).map(|()| Vec::new())
            }
            (Role::Provider(_) | Role::Tenant(_), _) => denied("", Denied::Role),
        }
    }

    /// Whether a request for the model of this name could be for another one that the role does not have.
    fn is_claimed(&self, name: &ModelName, id: &ObjectId, sight: &Sight<'_>) -> bool {
        self.entries(ObjectKind::Models).into_values().any(|entry| {
            let claims = entry.object().as_model().is_some_and(|other| other.claims(name));
            claims && entry.object().id() != *id && !sight.sees(&entry)
        })
    }

    /// Whether a name is in a domain's name space: no longer name of a domain, and a slash, begin it.
    fn is_in(&self, domain: &Name, name: &str) -> bool {
        let within = |domain: &str| {
            name.strip_prefix(domain).is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
        };
        let domains = self.entries(ObjectKind::Domains);
        let longest =
            domains.keys().map(String::as_str).filter(|domain| within(domain)).max_by_key(|name| name.len());
        within(domain.as_str()) && longest.is_none_or(|longest| longest.len() <= domain.as_str().len())
    }

    /// A label of a consumer that quotas go by and that is another one than before.
    fn decisive_label(&self, consumer: &Consumer) -> Option<Name> {
        let before = self.object(&ObjectKind::Consumers.id(consumer.name.as_str()));
        let before = before.as_ref().and_then(Object::as_consumer).map(|before| &before.labels);
        let quotas = self.entries(ObjectKind::Quotas).into_values();
        let mut decisive = quotas.flat_map(|entry| match entry.object() {
            Object::Quota(quota) => quota.selector.labels.keys().cloned().collect(),
            _ => Vec::new(),
        });
        decisive.find(|name| before.and_then(|labels| labels.get(name)) != consumer.labels.get(name))
    }

    /// A key's consumer is the tenant's, and its secret nobody else's. What others have is not told.
    fn check_tenants_key(&self, sight: &Sight<'_>, id: &ObjectId, key: &Key) -> Result<(), Refusal> {
        let wrong = |field: &str, problem: String| {
            Err(Refusal::Invalid { object: Some(id.clone()), field: field.into(), problem })
        };
        if !sight.is_own(key) {
            return match &key.consumer {
                Some(consumer) => wrong("consumer", format!("no consumer is named \"{consumer}\"")),
                None => wrong("consumer", "a key needs the name of its consumer".into()),
            };
        }
        let hashes: Vec<_> = key.sha256.clone().into();
        let foreign = self.entries(ObjectKind::Keys).into_values().any(|entry| {
            let shares =
                |other: &&Key| Vec::from(other.sha256.clone()).iter().any(|hash| hashes.contains(hash));
            entry.object().as_key().filter(shares).is_some_and(|other| !sight.is_own(other))
        });
        if foreign { wrong("sha256", "the secret is in use".into()) } else { Ok(()) }
    }
}

/// What a provider cannot say of its model, and why.
fn misfit(model: &PublicModel, provider: &Name) -> Option<(&'static str, Denied)> {
    let PublicModel {
        name,
        aliases,
        domain,
        targets,
        timeouts: _,
        owned_by: _,
        prices: _,
        limits: _,
        compat: _,
    } = model;
    let plain = |name: &ModelName| !name.as_str().contains('*');
    if domain.is_some() {
        Some(("domain", Denied::OneTenant))
    } else if !plain(name) || !targets.iter().filter_map(|target| target.model.as_ref()).all(plain) {
        Some(("name", Denied::Wildcard))
    } else if !aliases.is_empty() {
        Some(("aliases", Denied::Aliases))
    } else if !leads_to(model, provider) {
        Some(("targets", Denied::Target(provider.clone())))
    } else {
        None
    }
}

impl PublicModel {
    /// Whether a request for the model of this name can be for this one.
    fn claims(&self, name: &ModelName) -> bool {
        let fits =
            |(head, tail)| name.as_str().strip_prefix(head).is_some_and(|rest: &str| rest.ends_with(tail));
        let names = [&self.name].into_iter().chain(&self.aliases);
        names.into_iter().any(|known| known == name || known.as_str().split_once('*').is_some_and(fits))
    }
}
