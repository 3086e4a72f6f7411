//! Why a change is not made.

use weir_schema::Name;

use super::Denied;
use crate::{
    compile::CompileError,
    load::LoadError,
    model::ModelError,
    object::{InvalidObject, ObjectId, ObjectKind},
    store::StoreError,
};

/// Why the configuration is not changed, or not shown.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// `weir serve` runs without one.
    #[error("this control plane has no store: start it with --store PATH")]
    NoStore,
    /// There is no such object.
    #[error("there is no {0}")]
    Missing(ObjectId),
    /// The file names the object, so it is changed there.
    #[error("{0} belongs to the configuration file and is changed there")]
    OwnedByFile(ObjectId),
    /// It is not what the caller has seen of it.
    #[error("{0} is not as the request's condition says")]
    Condition(ObjectId),
    /// A version of a template has its content for good.
    #[error("{0} is there already with another content; make another version")]
    Immutable(ObjectId),
    /// Something else needs it.
    #[error("{} is in use by {}", .id, .by)]
    InUse {
        /// What was to be removed.
        id: ObjectId,
        /// What refers to it.
        by: ObjectId,
        /// Where it does.
        field: String,
    },
    /// Something else needs it that the caller is not shown.
    #[error("{0} is in use")]
    Held(ObjectId),
    /// The role does not allow it.
    #[error("{denied}")]
    Denied {
        /// The object.
        object: Option<ObjectId>,
        /// Its field; empty for the whole.
        field: String,
        /// Why.
        denied: Denied,
    },
    /// Something that the caller is not shown has the name.
    #[error("the name of {0} is taken")]
    Taken(ObjectId),
    /// The change does not fit what the caller is not shown.
    #[error("the change does not fit the rest of the configuration")]
    Elsewhere,
    /// There is no such token.
    #[error("there is no tokens/{0}")]
    NoToken(Name),
    /// There is a token of this name.
    #[error("tokens/{0} is there already")]
    TokenExists(Name),
    /// Nobody could use the API any more.
    #[error("tokens/{0} is the last one of an administrator that does not expire")]
    LastToken(Name),
    /// An object is wrong, or does not fit the others.
    #[error("{problem}")]
    Invalid {
        /// The object.
        object: Option<ObjectId>,
        /// Its field; empty for the whole.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The file, its secrets or the filters cannot be read.
    #[error("the rest of the configuration cannot be served: {0}")]
    Rest(LoadError),
    /// The change cannot be saved.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal {
    /// What a candidate's error means; `known` are the objects that it can be about.
    pub(super) fn of_load(error: LoadError, known: &[ObjectId]) -> Self {
        match error {
            LoadError::Model(_, error) => Self::of_model(&error, known),
            LoadError::Compile(
                ref error @ (CompileError::RouteCollision(ref name, _) | CompileError::RouteName(ref name)),
            ) => {
                let object = Some(ObjectKind::Models.id(name.as_str()));
                Self::Invalid { object, field: "name".into(), problem: error.to_string() }
            }
            other => Self::Rest(other),
        }
    }

    fn of_model(ModelError { at, problem }: &ModelError, known: &[ObjectId]) -> Self {
        let owners = known.iter().filter_map(|id| Some((id, field(at, id)?)));
        let owner = owners.max_by_key(|(id, _)| id.name.len());
        let (object, field) = owner.map_or((None, at.as_str()), |(id, field)| (Some(id.clone()), field));
        Self::Invalid { object, field: field.into(), problem: problem.to_string() }
    }

    /// A removal that leaves another object without what it refers to.
    pub(super) fn of_deleting(self, id: &ObjectId) -> Self {
        match self {
            Self::Invalid { object: Some(by), field, .. } => Self::InUse { id: id.clone(), by, field },
            other => other,
        }
    }

    /// An object that cannot be read.
    pub fn of_object(error: InvalidObject, object: Option<ObjectId>) -> Self {
        Self::Invalid { object, field: error.field, problem: error.problem }
    }

    /// A document that has an object twice.
    pub(super) fn of_repetition(id: ObjectId) -> Self {
        let field = id.kind.name_field().into();
        Self::Invalid { object: Some(id), field, problem: "the document names it twice".into() }
    }

    /// A body whose object has another name than the path says.
    pub fn of_name(id: ObjectId) -> Self {
        let field = id.kind.name_field().into();
        Self::Invalid { object: Some(id), field, problem: "the name is not that of the path".into() }
    }
}

/// The field of an object that `models.index.targets[0]` names, if it names that object.
fn field<'a>(at: &'a str, id: &ObjectId) -> Option<&'a str> {
    let rest = at.strip_prefix(id.kind.as_str())?.strip_prefix('.')?.strip_prefix(id.name.as_str())?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix('.') }
}
