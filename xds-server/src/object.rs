//! The objects of a configuration one by one, as the API and the store have them.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::file::{Consumer, Domain, File, Key, Provider, PublicModel, Quota, Route, StoredTemplate};

/// The kinds of objects that the API serves, named as their lists in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectKind {
    /// `domains`
    Domains,
    /// `consumers`
    Consumers,
    /// `keys`
    Keys,
    /// `providers`
    Providers,
    /// `models`
    Models,
    /// `quotas`
    Quotas,
    /// `templates`
    Templates,
    /// `routes`
    Routes,
}

/// Which object: `models/index`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectId {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its name; a key's `id`.
    pub name: String,
}

/// One object, in the shape that the file has for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// One of `domains`.
    Domain(Domain),
    /// One of `consumers`.
    Consumer(Consumer),
    /// One of `keys`.
    Key(Key),
    /// One of `providers`.
    Provider(Box<Provider>),
    /// One of `models`.
    Model(PublicModel),
    /// One of `quotas`.
    Quota(Quota),
    /// One of `templates`.
    Template(Box<StoredTemplate>),
    /// One of `routes`.
    Route(Box<Route>),
}

impl ObjectKind {
    /// Every kind; what is referred to comes before what refers to it.
    pub const ALL: [Self; 8] = [
        Self::Domains,
        Self::Consumers,
        Self::Providers,
        Self::Models,
        Self::Keys,
        Self::Quotas,
        Self::Templates,
        Self::Routes,
    ];

    /// The name of its list.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Domains => "domains",
            Self::Consumers => "consumers",
            Self::Keys => "keys",
            Self::Providers => "providers",
            Self::Models => "models",
            Self::Quotas => "quotas",
            Self::Templates => "templates",
            Self::Routes => "routes",
        }
    }

    /// The kind whose list has this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The field that names an object of this kind.
    pub fn name_field(self) -> &'static str {
        match self {
            Self::Keys => "id",
            Self::Domains
            | Self::Consumers
            | Self::Providers
            | Self::Models
            | Self::Quotas
            | Self::Templates => "name",
            Self::Routes => "path",
        }
    }

    /// Whether objects of this kind have labels.
    pub fn has_labels(self) -> bool {
        match self {
            Self::Consumers | Self::Keys => true,
            Self::Domains
            | Self::Providers
            | Self::Models
            | Self::Quotas
            | Self::Templates
            | Self::Routes => false,
        }
    }

    /// The object of this kind with that name.
    pub fn id(self, name: impl Into<String>) -> ObjectId {
        ObjectId { kind: self, name: name.into() }
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.as_str(), self.name)
    }
}

impl Object {
    /// Reads an object of a kind; unknown keys are refused.
    pub fn parse(kind: ObjectKind, spec: Value) -> Result<Self, InvalidObject> {
        match kind {
            ObjectKind::Domains => parse(spec).map(Self::Domain),
            ObjectKind::Consumers => parse(spec).map(Self::Consumer),
            ObjectKind::Keys => parse(spec).map(Self::Key),
            ObjectKind::Providers => parse(spec).map(Box::new).map(Self::Provider),
            ObjectKind::Models => parse(spec).map(Self::Model),
            ObjectKind::Quotas => parse(spec).map(Self::Quota),
            ObjectKind::Templates => parse(spec).map(Box::new).map(Self::Template),
            ObjectKind::Routes => parse(spec).map(Box::new).map(Self::Route),
        }
    }

    /// Which object it is.
    pub fn id(&self) -> ObjectId {
        match self {
            Self::Domain(domain) => ObjectKind::Domains.id(domain.name.as_str()),
            Self::Consumer(consumer) => ObjectKind::Consumers.id(consumer.name.as_str()),
            Self::Key(key) => ObjectKind::Keys.id(key.id.as_str()),
            Self::Provider(provider) => ObjectKind::Providers.id(provider.name.as_str()),
            Self::Model(model) => ObjectKind::Models.id(model.label()),
            Self::Quota(quota) => ObjectKind::Quotas.id(quota.name.as_str()),
            Self::Template(template) => ObjectKind::Templates.id(template.label()),
            Self::Route(route) => ObjectKind::Routes.id(route.label()),
        }
    }

    /// The consumer, if it is one.
    pub fn as_consumer(&self) -> Option<&Consumer> {
        if let Self::Consumer(consumer) = self { Some(consumer) } else { None }
    }

    /// The key, if it is one.
    pub fn as_key(&self) -> Option<&Key> {
        if let Self::Key(key) = self { Some(key) } else { None }
    }

    /// The model, if it is one.
    pub fn as_model(&self) -> Option<&PublicModel> {
        if let Self::Model(model) = self { Some(model) } else { None }
    }

    /// The object as JSON, with its defaults filled in and without what is absent.
    pub fn spec(&self) -> Value {
        match self {
            Self::Domain(domain) => spec(domain),
            Self::Consumer(consumer) => spec(consumer),
            Self::Key(key) => spec(key),
            Self::Provider(provider) => spec(provider.as_ref()),
            Self::Model(model) => spec(model),
            Self::Quota(quota) => spec(quota),
            // A null in a template or its variables says something.
            Self::Template(template) => whole(template.as_ref()),
            Self::Route(route) => whole(route.as_ref()),
        }
    }
}

impl File {
    /// Adds an object to its list.
    pub fn insert(&mut self, object: Object) {
        match object {
            Object::Domain(domain) => self.domains.push(domain),
            Object::Consumer(consumer) => self.consumers.push(consumer),
            Object::Key(key) => self.keys.push(key),
            Object::Provider(provider) => self.providers.push(*provider),
            Object::Model(model) => self.models.push(model),
            Object::Quota(quota) => self.quotas.push(quota),
            Object::Template(template) => self.templates.push(*template),
            Object::Route(route) => self.routes.push(*route),
        }
    }

    /// Which objects the file has that the API shows.
    pub fn ids(&self) -> impl Iterator<Item = ObjectId> {
        ObjectKind::ALL
            .into_iter()
            .flat_map(|kind| self.names(kind).into_iter().map(move |name| kind.id(name)))
    }

    /// The objects of a kind.
    pub fn of(&self, kind: ObjectKind) -> Vec<Object> {
        match kind {
            ObjectKind::Domains => self.domains.iter().cloned().map(Object::Domain).collect(),
            ObjectKind::Consumers => self.consumers.iter().cloned().map(Object::Consumer).collect(),
            ObjectKind::Keys => self.keys.iter().cloned().map(Object::Key).collect(),
            ObjectKind::Providers => {
                self.providers.iter().cloned().map(Box::new).map(Object::Provider).collect()
            }
            ObjectKind::Models => self.models.iter().cloned().map(Object::Model).collect(),
            ObjectKind::Quotas => self.quotas.iter().cloned().map(Object::Quota).collect(),
            ObjectKind::Templates => {
                self.templates.iter().cloned().map(Box::new).map(Object::Template).collect()
            }
            ObjectKind::Routes => self.routes.iter().cloned().map(Box::new).map(Object::Route).collect(),
        }
    }

    /// One object.
    pub fn object(&self, ObjectId { kind, name }: &ObjectId) -> Option<Object> {
        let place = self.names(*kind).iter().position(|known| known == name)?;
        match kind {
            ObjectKind::Domains => self.domains.get(place).cloned().map(Object::Domain),
            ObjectKind::Consumers => self.consumers.get(place).cloned().map(Object::Consumer),
            ObjectKind::Keys => self.keys.get(place).cloned().map(Object::Key),
            ObjectKind::Providers => self.providers.get(place).cloned().map(Box::new).map(Object::Provider),
            ObjectKind::Models => self.models.get(place).cloned().map(Object::Model),
            ObjectKind::Quotas => self.quotas.get(place).cloned().map(Object::Quota),
            ObjectKind::Templates => self.templates.get(place).cloned().map(Box::new).map(Object::Template),
            ObjectKind::Routes => self.routes.get(place).cloned().map(Box::new).map(Object::Route),
        }
    }

    fn names(&self, kind: ObjectKind) -> Vec<String> {
        match kind {
            ObjectKind::Domains => self.domains.iter().map(|domain| domain.name.to_string()).collect(),
            ObjectKind::Consumers => {
                self.consumers.iter().map(|consumer| consumer.name.to_string()).collect()
            }
            ObjectKind::Keys => self.keys.iter().map(|key| key.id.to_string()).collect(),
            ObjectKind::Providers => {
                self.providers.iter().map(|provider| provider.name.to_string()).collect()
            }
            ObjectKind::Models => self.models.iter().map(PublicModel::label).collect(),
            ObjectKind::Quotas => self.quotas.iter().map(|quota| quota.name.to_string()).collect(),
            ObjectKind::Templates => self.templates.iter().map(StoredTemplate::label).collect(),
            ObjectKind::Routes => self.routes.iter().map(Route::label).collect(),
        }
    }
}

/// JSON that is not an object of its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidObject {
    /// The field; empty for the whole.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

fn parse<T: DeserializeOwned>(spec: Value) -> Result<T, InvalidObject> {
    serde_path_to_error::deserialize(spec).map_err(|error| {
        let field = error.path().to_string().trim_end_matches(['.', '?']).to_owned();
        InvalidObject { field, problem: error.into_inner().to_string() }
    })
}

#[expect(clippy::expect_used, reason = "the types have text keys and no fallible part")]
fn whole(object: &impl Serialize) -> Value {
    serde_json::to_value(object).expect("an object is JSON")
}

fn spec(object: &impl Serialize) -> Value {
    let mut spec = whole(object);
    drop_absent(&mut spec);
    spec
}

fn drop_absent(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_absent);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_absent),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_what_was_read() {
        let mut file = File::parse(include_str!("../tests/golden/full/weir.yaml")).unwrap();
        file.domains = File::parse(include_str!("../tests/golden/tls/weir.yaml")).unwrap().domains;
        let templates = File::parse(include_str!("../tests/golden/chat_template/weir.yaml")).unwrap();
        (file.templates, file.routes) = (templates.templates, templates.routes);
        for kind in ObjectKind::ALL {
            let objects = file.of(kind);
            assert!(!objects.is_empty());
            for object in objects {
                let id = object.id();
                assert_eq!(file.object(&id).as_ref(), Some(&object));
                assert_eq!(Object::parse(kind, object.spec()), Ok(object), "{id}");
            }
        }
    }

    #[test]
    fn an_error_names_the_field() {
        let spec = json!({"name": "index", "targets": [{"provider": "local", "modle": "x"}]});
        let error = Object::parse(ObjectKind::Models, spec).unwrap_err();
        assert_eq!(error.field, "targets[0].modle");
        let spec = json!({"name": "local", "upstream": "ftp://host"});
        let error = Object::parse(ObjectKind::Providers, spec).unwrap_err();
        assert_eq!(error.field, "upstream");
        assert!(error.problem.starts_with("an upstream begins with http://, https://"), "{error}");
    }
}
