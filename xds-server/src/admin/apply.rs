//! Many objects in one request.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Admin,
    error::ApiError,
    objects::blocking,
    operation::Operation,
    request::{Body, By},
};
use crate::{
    object::{Object, ObjectKind},
    registry::{Applied, Outcome, Refusal},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    /// Whether stored objects that the document does not name are removed.
    #[serde(default)]
    prune: bool,
    /// Whether the change is only checked.
    #[serde(default)]
    dry_run: bool,
}

/// `POST /v1/apply`
pub(super) async fn apply(
    by: By,
    State(admin): State<Arc<Admin>>,
    options: Result<Query<Options>, QueryRejection>,
    Body(document): Body,
) -> Result<Json<Value>, ApiError> {
    by.may(Operation::Apply)?;
    let options = options.map_err(|error| ApiError::bad_request("invalid_query", error.body_text()));
    let Query(Options { prune, dry_run }) = options?;
    let objects = objects(document)?;
    let applied = blocking(&admin, move |registry| registry.apply(objects, prune, dry_run)).await?;
    Ok(Json(json!({"changes": applied.iter().map(shown).collect::<Vec<_>>()})))
}

/// The objects of a document in the shape of the file.
fn objects(document: Value) -> Result<Vec<Object>, ApiError> {
    let refuse = |message: String| ApiError::bad_request("invalid_body", message);
    let Value::Object(lists) = document else { return Err(refuse("the document is no object".into())) };
    let mut objects = Vec::new();
    for (name, list) in lists {
        let kind = ObjectKind::named(&name).ok_or_else(|| refuse(unknown(&name)))?;
        let Value::Array(list) = list else { return Err(refuse(format!("{name}: a list is needed"))) };
        for (nth, spec) in list.into_iter().enumerate() {
            let at = |field: &str| format!("{name}[{nth}]{}{field}", if field.is_empty() { "" } else { "." });
            let object = Object::parse(kind, spec).map_err(|mut error| {
                error.field = at(&error.field);
                Refusal::of_object(error, None)
            });
            objects.push(object?);
        }
    }
    Ok(objects)
}

fn unknown(name: &str) -> String {
    let kinds = ObjectKind::ALL.map(ObjectKind::as_str).join(", ");
    format!("{name}: not among what is applied ({kinds}); the rest stands in the file of `weir serve`")
}

fn shown(Applied { id, outcome }: &Applied) -> Value {
    let (action, fields) = match outcome {
        Outcome::Created => ("created", None),
        Outcome::Changed(fields) => ("changed", Some(fields)),
        Outcome::Unchanged => ("unchanged", None),
        Outcome::Deleted => ("deleted", None),
    };
    let mut shown = Map::from_iter([
        ("kind".to_owned(), id.kind.as_str().into()),
        ("name".to_owned(), id.name.clone().into()),
        ("action".to_owned(), action.into()),
    ]);
    shown.extend(fields.map(|fields| ("fields".to_owned(), fields.clone().into())));
    Value::Object(shown)
}
