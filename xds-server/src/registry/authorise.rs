//! Which keys may use a model, told from the model's side.

use weir_schema::{ModelPattern, Name};

use super::{Refusal, Registry, State};
use crate::{
    access::Role,
    file::{Key, PublicModel},
    object::{Object, ObjectId, ObjectKind},
    store::Change,
};

impl Registry {
    /// The ids of the keys that name the model.
    pub fn authorised(&self, role: &Role, model: &ObjectId) -> Result<Vec<String>, Refusal> {
        let state = self.state();
        state.store()?;
        let model = state.models_own(role, model)?;
        let entries = state.entries(ObjectKind::Keys);
        let named = entries.into_iter().filter(|(_, entry)| {
            entry.object().as_key().is_some_and(|key| key.names(&model) && state.is_for(&model, key))
        });
        Ok(named.map(|(id, _)| id).collect())
    }

    /// Lets a key use a model; nothing else of the key changes.
    pub fn authorise(&self, role: &Role, model: &ObjectId, key: &ObjectId) -> Result<(), Refusal> {
        self.change_key(role, model, key, |model, key| {
            let allowed = key.models.iter().any(|pattern| pattern.matches(model.name.as_str()));
            if !allowed {
                key.models.push(pattern(model)?);
            }
            Ok(!allowed)
        })
    }

    /// Takes back that a key may use a model; nothing else of the key changes.
    pub fn withdraw(&self, role: &Role, model: &ObjectId, key: &ObjectId) -> Result<(), Refusal> {
        let id = key.clone();
        self.change_key(role, model, key, |model, key| {
            let before = key.models.len();
            key.models.retain(|pattern| pattern.as_str() != model.name.as_str());
            if let Some(wide) = key.models.iter().find(|pattern| pattern.matches(model.name.as_str())) {
                let problem = format!("the key may use all models that are like \"{}\"", wide.as_str());
                return Err(Refusal::Invalid { object: Some(id.clone()), field: "models".into(), problem });
            }
            Ok(key.models.len() != before)
        })
    }

    fn change_key(
        &self,
        role: &Role,
        model: &ObjectId,
        id: &ObjectId,
        change: impl Fn(&PublicModel, &mut Key) -> Result<bool, Refusal>,
    ) -> Result<(), Refusal> {
        self.change(|writer| {
            let state = &writer.state;
            let model = state.models_own(role, model)?;
            state.changeable(id)?;
            let mut key = state.key(id).ok_or_else(|| Refusal::Missing(id.clone()))?;
            if !state.is_for(&model, &key) {
                let problem = "the key's tenant does not see this model".into();
                return Err(Refusal::Invalid { object: Some(id.clone()), field: String::new(), problem });
            }
            if change(&model, &mut key)? {
                let written = writer.write(&[Change::Put(Object::Key(key))]);
                return written.map_err(|refusal| writer.state.tell(role, refusal, id));
            }
            Ok(())
        })
    }
}

impl State {
    /// The model, if the role is shown it.
    fn models_own(&self, role: &Role, id: &ObjectId) -> Result<PublicModel, Refusal> {
        let sight = self.sight(role);
        let seen = self.entry(id).filter(|entry| sight.sees(entry));
        let model = seen.and_then(|entry| entry.object().as_model().cloned());
        model.ok_or_else(|| Refusal::Missing(id.clone()))
    }

    /// Whether a request with this key for the model's name is one for this model: its tenant sees the model, and has
    /// none of its own by that name.
    fn is_for(&self, model: &PublicModel, key: &Key) -> bool {
        let domain = self.domain_of(key);
        match &model.domain {
            Some(owner) => *owner == domain,
            None => {
                let own = PublicModel { domain: Some(domain.clone()), ..model.clone() };
                let shared = self.shared_with(&domain);
                self.entry(&ObjectKind::Models.id(own.label())).is_none()
                    && shared.iter().any(|pattern| pattern.matches(model.name.as_str()))
            }
        }
    }

    /// The domain that a key works on.
    fn domain_of(&self, key: &Key) -> Name {
        let consumer = key.consumer.as_ref().map(|name| ObjectKind::Consumers.id(name.as_str()));
        let consumer = consumer.and_then(|id| self.object(&id));
        let domain = consumer.as_ref().and_then(Object::as_consumer).and_then(|of| of.domain.clone());
        domain.unwrap_or_else(Name::default_domain)
    }
}

impl Key {
    /// Whether the key names the model itself, not by a pattern.
    fn names(&self, model: &PublicModel) -> bool {
        self.models.iter().any(|pattern| pattern.as_str() == model.name.as_str())
    }
}

fn pattern(model: &PublicModel) -> Result<ModelPattern, Refusal> {
    ModelPattern::try_from(model.name.to_string()).map_err(|error| Refusal::Invalid {
        object: None,
        field: "models".into(),
        problem: error.to_string(),
    })
}
