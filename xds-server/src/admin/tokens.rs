//! The tokens of the API over HTTP.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::{StatusCode, request::Parts},
    response::Response,
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use weir_schema::Name;

use super::{
    Admin,
    error::ApiError,
    objects::{answer, blocking, random_fault},
    operation::Operation,
    request::{Body, By, page_token, pages},
};
use crate::{
    access::{Role, RoleName, Token},
    token,
};

/// A token that is to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    /// Its name.
    name: Name,
    /// What it allows.
    role: RoleName,
    /// The provider that a token of the role `provider` is bound to.
    provider: Option<Name>,
    /// The domain that a token of the role `tenant` is bound to.
    domain: Option<Name>,
    /// When it stops working. Default never.
    expires_at: Option<weir_schema::Timestamp>,
}

/// `GET /v1/tokens`
pub(super) async fn list(
    by: By,
    State(admin): State<Arc<Admin>>,
    parts: Parts,
) -> Result<Response, ApiError> {
    by.may(Operation::ListTokens)?;
    let (after, limit) = pages(&parts)?;
    let tokens = blocking(&admin, |registry| registry.tokens()).await?;
    let mut tokens: Vec<_> = tokens
        .into_iter()
        .filter(|token| after.as_deref().is_none_or(|after| token.name.as_str() > after))
        .collect();
    let more = tokens.len() > limit;
    tokens.truncate(limit);
    let next = tokens.last().filter(|_| more).map(|token| page_token(token.name.as_str()));
    let mut list = Map::from_iter([("items".to_owned(), tokens.iter().map(shown).collect())]);
    list.extend(next.map(|next| ("next_page_token".to_owned(), next.into())));
    Ok(answer(StatusCode::OK, &list))
}

/// `POST /v1/tokens`
pub(super) async fn create(
    by: By,
    State(admin): State<Arc<Admin>>,
    body: Body,
) -> Result<Response, ApiError> {
    by.may(Operation::CreateToken)?;
    let new: NewToken = body.read()?;
    let role = new.role()?;
    let expires_at = new.expires_at.map(|time| Timestamp::from_second(time.unix_seconds()));
    let expires_at = expires_at
        .transpose()
        .map_err(|_| ApiError::bad_request("invalid_body", "expires_at: out of range"))?;
    let (token, secret) = token::new(new.name, role, expires_at).map_err(random_fault)?;
    let token = blocking(&admin, move |registry| registry.admit(&token)).await?;
    let mut shown = shown(&token);
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("secret".into(), secret.into());
    }
    Ok(answer(StatusCode::CREATED, &shown))
}

/// `DELETE /v1/tokens/{name}`
pub(super) async fn revoke(
    by: By,
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    by.may(Operation::RevokeToken)?;
    let name = Name::try_from(name).map_err(|_| ApiError::not_found("there is no such token".into()))?;
    blocking(&admin, move |registry| registry.revoke(&name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl NewToken {
    /// The role, bound to what it must be bound to and to nothing else.
    fn role(&self) -> Result<Role, ApiError> {
        let Self { role, provider, domain, .. } = self;
        match (role, provider, domain) {
            (RoleName::Admin, None, None) => Ok(Role::Admin),
            (RoleName::Provider, Some(provider), None) => Ok(Role::Provider(provider.clone())),
            (RoleName::Tenant, None, Some(domain)) => Ok(Role::Tenant(domain.clone())),
            (RoleName::Admin | RoleName::Provider | RoleName::Tenant, _, _) => {
                let rule = "a token of the role provider names its provider, one of the role tenant its domain, and \
                    one of the role admin neither";
                Err(ApiError::bad_request("invalid_body", rule))
            }
        }
    }
}

fn shown(token: &Token) -> Value {
    let Token { name, sha256: _, prefix, role, created_at, expires_at } = token;
    let mut shown = json!({"name": name, "prefix": prefix, "role": role.name(), "created_at": created_at});
    if let Some(fields) = shown.as_object_mut() {
        let bound = match role {
            Role::Admin => None,
            Role::Provider(provider) => Some(("provider", provider)),
            Role::Tenant(domain) => Some(("domain", domain)),
        };
        fields.extend(bound.map(|(field, name)| (field.to_owned(), json!(name))));
        fields.extend(expires_at.map(|time| ("expires_at".to_owned(), json!(time))));
    }
    shown
}
