//! What somebody in a role is shown.

use std::collections::BTreeSet;

use weir_schema::{ModelPattern, Name};

use super::{Entry, Refusal, State, View};
use crate::{
    access::Role,
    file::{Domain, Key, PublicModel},
    object::{Object, ObjectId, ObjectKind},
    store::StoreError,
};

/// What a role is shown of the objects as they are now.
pub(super) struct Sight<'a> {
    role: &'a Role,
    /// The consumers of a tenant.
    consumers: BTreeSet<Name>,
    /// The patterns of the shared models that a tenant sees.
    models: Vec<ModelPattern>,
}

impl State {
    /// What the role is told of a refusal.
    pub(super) fn tell(&self, role: &Role, refusal: Refusal, about: &ObjectId) -> Refusal {
        self.sight(role).tell(refusal, about, self)
    }

    /// The object as it is stored, if it is; an error if the role, or the API, cannot change it.
    pub(super) fn changeable_by(&self, role: &Role, id: &ObjectId) -> Result<Option<View>, Refusal> {
        self.store()?;
        let written = match role {
            Role::Admin => true,
            Role::Provider(_) => id.kind == ObjectKind::Models,
            Role::Tenant(_) => matches!(id.kind, ObjectKind::Consumers | ObjectKind::Keys),
        };
        let sight = self.sight(role);
        if self.entry(id).is_some_and(|entry| !written || !sight.sees(&entry)) {
            return Ok(None);
        }
        self.changeable(id)
    }

    pub(super) fn sight<'a>(&self, role: &'a Role) -> Sight<'a> {
        match role {
            Role::Admin | Role::Provider(_) => Sight { role, consumers: BTreeSet::new(), models: Vec::new() },
            Role::Tenant(domain) => {
                Sight { role, consumers: self.consumers_of(domain), models: self.shared_with(domain) }
            }
        }
    }

    fn consumers_of(&self, domain: &Name) -> BTreeSet<Name> {
        let of_file = self.loader.file().into_iter().flat_map(|file| &file.consumers);
        let stored = self.stored(ObjectKind::Consumers).filter_map(|stored| stored.object.as_consumer());
        let of = |named: &Option<Name>| named.clone().unwrap_or_else(Name::default_domain) == *domain;
        let consumers = of_file.chain(stored).filter(|consumer| of(&consumer.domain));
        consumers.map(|consumer| consumer.name.clone()).collect()
    }

    /// The patterns of the shared models that a domain sees. Without domains there is one, which sees them all.
    pub(super) fn shared_with(&self, domain: &Name) -> Vec<ModelPattern> {
        let any = || self.entries(ObjectKind::Domains).is_empty() && *domain == Name::default_domain();
        if let Some(Object::Domain(Domain { models, .. })) =
            self.object(&ObjectKind::Domains.id(domain.as_str()))
        {
            models
        } else if any() {
            vec![ModelPattern::any()]
        } else {
            Vec::new()
        }
    }
}

impl Sight<'_> {
    /// Whether the role is shown this object.
    pub(super) fn sees(&self, entry: &Entry<'_>) -> bool {
        match self.role {
            Role::Admin => true,
            Role::Provider(provider) => match entry.object() {
                Object::Provider(shown) => shown.name == *provider,
                Object::Model(model) => entry.registrar() == Some(provider) && leads_to(model, provider),
                Object::Domain(_)
                | Object::Consumer(_)
                | Object::Key(_)
                | Object::Quota(_)
                | Object::Template(_)
                | Object::Route(_) => false,
            },
            Role::Tenant(domain) => match entry.object() {
                Object::Consumer(consumer) => self.consumers.contains(&consumer.name),
                Object::Key(key) => self.is_own(key),
                Object::Model(model) => match &model.domain {
                    Some(owner) => owner == domain,
                    None => self.models.iter().any(|pattern| pattern.matches(model.name.as_str())),
                },
                Object::Domain(_)
                | Object::Provider(_)
                | Object::Quota(_)
                | Object::Template(_)
                | Object::Route(_) => false,
            },
        }
    }

    /// Whether a key works on the tenant's domain.
    pub(super) fn is_own(&self, key: &Key) -> bool {
        match (&key.consumer, self.role) {
            (Some(consumer), _) => self.consumers.contains(consumer),
            (None, Role::Tenant(domain)) => *domain == Name::default_domain(),
            (None, Role::Admin | Role::Provider(_)) => false,
        }
    }

    /// The object as the role is shown it: who answers a model is not the business of those who use it.
    pub(super) fn show(&self, mut view: View) -> View {
        if let (Role::Tenant(_), ObjectKind::Models, Some(spec)) =
            (self.role, view.id.kind, view.spec.as_object_mut())
        {
            spec.retain(|field, _| SEEN_OF_MODELS.contains(&field.as_str()));
        }
        view
    }

    /// What the role is told of a refusal: nothing of objects that it is not shown.
    pub(super) fn tell(&self, refusal: Refusal, about: &ObjectId, state: &State) -> Refusal {
        if *self.role == Role::Admin {
            return refusal;
        }
        match refusal {
            Refusal::InUse { id, by, field } => {
                let shown = state.entry(&by).is_some_and(|entry| self.sees(&entry));
                // A provider has said itself which keys may use its model, or can take it back.
                let told = shown || (by.kind == ObjectKind::Keys && id.kind == ObjectKind::Models);
                if told { Refusal::InUse { id, by, field } } else { Refusal::Held(id) }
            }
            Refusal::Invalid { object: Some(object), .. } if object != *about => Refusal::Elsewhere,
            Refusal::Rest(_) => Refusal::Elsewhere,
            Refusal::Store(StoreError::Away(_) | StoreError::Failed(_) | StoreError::Damaged(_)) => {
                Refusal::Store(StoreError::Away("it is away".into()))
            }
            other => other,
        }
    }
}

/// Whether nobody but this provider answers for a model.
pub(super) fn leads_to(model: &PublicModel, provider: &Name) -> bool {
    model.targets.iter().all(|target| target.provider == *provider)
}

/// What a tenant is shown of a model.
pub const SEEN_OF_MODELS: [&str; 5] = ["name", "domain", "owned_by", "prices", "limits"];
