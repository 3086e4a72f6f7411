//! The objects over HTTP.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::{JoinError, block_in_place};
use weir_schema::Name;

use super::{
    Admin,
    error::ApiError,
    operation::Operation,
    request::{Body, By, If, OfKind, Place, page_token, query},
};
use crate::{
    file::KeyPrefix,
    keys::NewKey,
    object::{Object, ObjectId, ObjectKind},
    registry::{Condition, Owner, Refusal, Registry, View},
};

/// An object as it is answered.
#[derive(Serialize)]
struct Shown {
    kind: ObjectKind,
    name: String,
    owner: &'static str,
    etag: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registrar: Option<Name>,
    spec: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

#[derive(Serialize)]
struct List {
    items: Vec<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    #[serde(default)]
    overlap_secs: u32,
}

pub(super) async fn list(
    by: By,
    State(admin): State<Arc<Admin>>,
    OfKind(kind): OfKind,
    parts: Parts,
) -> Result<Response, ApiError> {
    let role = by.may(Operation::List(kind))?;
    let query = query(kind, &parts)?;
    let page = blocking(&admin, move |registry| registry.list(&role, &query)).await?;
    let items = page.views.into_iter().map(|view| Shown::from(view).with_use(&admin)).collect();
    let next_page_token = page.next.as_deref().map(page_token);
    Ok(answer(StatusCode::OK, &List { items, next_page_token }))
}

pub(super) async fn get(by: By, State(admin): State<Arc<Admin>>, place: Place) -> Result<Response, ApiError> {
    match place {
        Place::Object(id) => {
            let role = by.may(Operation::Get(id.kind))?;
            let view = blocking(&admin, move |registry| registry.get(&role, &id)).await?;
            Ok(Shown::from(view).with_use(&admin).into_response())
        }
        Place::Keys(model) => {
            let role = by.may(Operation::Authorised)?;
            let keys = blocking(&admin, move |registry| registry.authorised(&role, &model)).await?;
            Ok(answer(StatusCode::OK, &json!({"keys": keys})))
        }
        Place::Key(..) => Err(ApiError::method_not_allowed()),
    }
}

pub(super) async fn create(
    by: By,
    State(admin): State<Arc<Admin>>,
    OfKind(kind): OfKind,
    Body(mut spec): Body,
) -> Result<Response, ApiError> {
    let role = by.may(Operation::Create(kind))?;
    let secret = add_secret(kind, &mut spec)?;
    let object = Object::parse(kind, spec).map_err(|error| Refusal::of_object(error, None))?;
    let id = object.id();
    let put = blocking(&admin, move |registry| match registry.put(&role, object, &Condition::Absent) {
        Err(Refusal::Condition(_)) => Ok(None),
        other => other.map(Some),
    });
    let (view, _) = put.await?.ok_or_else(|| ApiError::exists(&id))?;
    let response = (StatusCode::CREATED, Shown { secret, ..Shown::from(view) });
    Ok(response.into_response())
}

pub(super) async fn put(
    by: By,
    State(admin): State<Arc<Admin>>,
    place: Place,
    If(condition): If,
    body: Result<Body, ApiError>,
) -> Result<Response, ApiError> {
    let id = match place {
        Place::Object(id) => id,
        Place::Keys(_) => return Err(ApiError::method_not_allowed()),
        Place::Key(model, key) => {
            let role = by.may(Operation::Authorise)?;
            blocking(&admin, move |registry| registry.authorise(&role, &model, &key)).await?;
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
    };
    let role = by.may(Operation::Put(id.kind))?;
    let Body(spec) = body?;
    let object = Object::parse(id.kind, spec).map_err(|error| Refusal::of_object(error, Some(id.clone())))?;
    if object.id() != id {
        return Err(Refusal::of_name(id).into());
    }
    let (view, is_new) = blocking(&admin, move |registry| registry.put(&role, object, &condition)).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Shown::from(view)).into_response())
}

pub(super) async fn delete(
    by: By,
    State(admin): State<Arc<Admin>>,
    place: Place,
    If(condition): If,
) -> Result<StatusCode, ApiError> {
    match place {
        Place::Object(id) => {
            let role = by.may(Operation::Delete(id.kind))?;
            blocking(&admin, move |registry| registry.delete(&role, &id, &condition)).await?;
        }
        Place::Key(model, key) => {
            let role = by.may(Operation::Withdraw)?;
            blocking(&admin, move |registry| registry.withdraw(&role, &model, &key)).await?;
        }
        Place::Keys(_) => return Err(ApiError::method_not_allowed()),
    }
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/keys/{id}/rotate`, the one thing that is done to an object besides writing it.
pub(super) async fn act(
    by: By,
    State(admin): State<Arc<Admin>>,
    place: Place,
    If(condition): If,
    body: Result<Body, ApiError>,
) -> Result<Response, ApiError> {
    let Place::Object(ObjectId { kind: ObjectKind::Keys, name }) = place else {
        return Err(ApiError::method_not_allowed());
    };
    let name = name.strip_suffix("/rotate").ok_or_else(ApiError::method_not_allowed)?;
    let role = by.may(Operation::Rotate)?;
    let (id, Rotation { overlap_secs }) = (ObjectKind::Keys.id(name), body?.read()?);
    let key = new_key()?;
    let (hash, prefix) = (key.hash(), KeyPrefix::try_from(key.prefix()).ok());
    let view = blocking(&admin, move |registry| {
        registry.rotate(&role, &id, (hash, prefix), overlap_secs, &condition)
    })
    .await?;
    Ok(Shown { secret: Some(key.secret().into()), ..Shown::from(view) }.into_response())
}

/// A key that comes without a hash is made here; its secret is told in this one answer.
fn add_secret(kind: ObjectKind, spec: &mut Value) -> Result<Option<String>, ApiError> {
    let (ObjectKind::Keys, Value::Object(fields)) = (kind, spec) else { return Ok(None) };
    if fields.contains_key("sha256") {
        return Ok(None);
    }
    let key = new_key()?;
    fields.insert("prefix".into(), key.prefix().into());
    fields.insert("sha256".into(), json!([key.hash()]));
    Ok(Some(key.secret().into()))
}

fn new_key() -> Result<NewKey, ApiError> {
    NewKey::generate().map_err(random_fault)
}

pub(super) fn random_fault(error: impl std::fmt::Display) -> ApiError {
    ApiError::fault(format!("the system has no random numbers: {error}"))
}

/// The registry checks, saves and publishes in one go, so it has a thread for that time.
pub(super) async fn blocking<T: Send + 'static>(
    admin: &Admin,
    work: impl FnOnce(&Registry) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, ApiError> {
    let registry = Arc::clone(&admin.registry);
    let done = tokio::task::spawn_blocking(move || work(&registry)).await;
    // What has begun is never cancelled, only what waits for its turn when the process ends.
    let abandoned = |error: JoinError| match error.is_cancelled() {
        true => ApiError::stopping(),
        false => ApiError::fault("the request was abandoned"),
    };
    Ok(done.map_err(abandoned)??)
}

impl From<View> for Shown {
    fn from(View { id: ObjectId { kind, name }, owner, etag, written, registrar, spec }: View) -> Self {
        let owner = match owner {
            Owner::File => "file",
            Owner::Api => "api",
        };
        let (created_at, updated_at) = written.unzip();
        Self {
            kind,
            name,
            owner,
            etag,
            created_at,
            updated_at,
            last_used_at: None,
            registrar,
            spec,
            secret: None,
        }
    }
}

impl Shown {
    /// A key with when it was used last, as far as usage is recorded. What cannot be read is not told.
    fn with_use(mut self, admin: &Admin) -> Self {
        if let (ObjectKind::Keys, Some(records)) = (self.kind, &admin.records) {
            let used = block_in_place(|| records.last_used(&self.name)).ok().flatten();
            self.last_used_at = used.and_then(|at| Timestamp::from_second(at).ok());
        }
        self
    }
}

impl IntoResponse for Shown {
    fn into_response(self) -> Response {
        let etag = HeaderValue::from_str(&self.etag);
        let mut response = answer(StatusCode::OK, &self);
        response.headers_mut().extend(etag.ok().map(|etag| (header::ETAG, etag)));
        response
    }
}

pub(super) fn answer(status: StatusCode, body: &impl Serialize) -> Response {
    let headers: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];
    (status, headers, Json(body)).into_response()
}
