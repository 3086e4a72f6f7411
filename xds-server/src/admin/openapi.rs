//! The OpenAPI document, made from the types that requests are read into.

mod accounts;
mod marketplace;

use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};
use weir_schema::chat_template::ChatTemplate;

use super::{
    operation::Operation,
    request::{LARGEST_PAGE, PAGE},
    tokens::NewToken,
};
use crate::{
    access::RoleName,
    file::{Consumer, Domain, Key, Provider, PublicModel, Quota, Route, StoredTemplate},
    object::ObjectKind,
    registry::SEEN_OF_MODELS,
};

/// The document: OpenAPI 3.1 of every path below `/v1`.
pub fn document() -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| {
            settings.definitions_path = COMPONENTS.into();
            settings.meta_schema = None;
        })
        .into_generator();
    let mut paths = Map::new();
    let mut shown = Map::new();
    for kind in ObjectKind::ALL {
        let spec = spec(kind, &mut generator);
        shown.insert(format!("Shown{}", title(kind)), shown_object(kind, &spec));
        shown.insert(format!("{}List", title(kind)), list_object(kind));
        paths.insert(format!("/v1/{}", kind.as_str()), collection(kind, &spec));
        paths.insert(format!("/v1/{}/{{name}}", kind.as_str()), object(kind, &spec));
    }
    paths.insert("/v1/keys/{name}/rotate".into(), rotate());
    paths.insert("/v1/models/{name}/keys".into(), keys_of_model());
    paths.insert("/v1/models/{name}/keys/{key}".into(), key_of_model());
    paths.insert("/v1/apply".into(), apply());
    paths.insert("/v1/tokens".into(), tokens(&generator.subschema_for::<NewToken>().to_value()));
    paths.insert("/v1/tokens/{name}".into(), token());
    paths.insert("/v1/snapshots".into(), snapshots());
    paths.insert("/v1/snapshots/{version}/restore".into(), restore());
    paths.extend(accounts::paths());
    paths.extend(marketplace::paths());
    paths
        .insert("/v1/templates/render".into(), render(&generator.subschema_for::<ChatTemplate>().to_value()));
    paths.insert("/v1/schema".into(), schema());
    paths.insert("/v1/status".into(), status());
    let mut schemas = generator.take_definitions(true);
    schemas.append(&mut shown);
    schemas.append(&mut marketplace::schemas());
    if let Some(new_key) = schemas.get("Key").map(without_hash) {
        schemas.insert("NewKey".into(), new_key);
    }
    if let Some(seen) = schemas.get("PublicModel").map(as_tenants_see) {
        schemas.insert("SeenModel".into(), seen);
    }
    schemas.insert("Error".into(), error_object());
    schemas.insert("Token".into(), token_object());
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Weir", "version": env!("CARGO_PKG_VERSION"), "description": DESCRIPTION},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas,
        },
    })
}

fn spec(kind: ObjectKind, generator: &mut SchemaGenerator) -> Value {
    match kind {
        ObjectKind::Domains => generator.subschema_for::<Domain>(),
        ObjectKind::Consumers => generator.subschema_for::<Consumer>(),
        ObjectKind::Keys => generator.subschema_for::<Key>(),
        ObjectKind::Providers => generator.subschema_for::<Provider>(),
        ObjectKind::Models => generator.subschema_for::<PublicModel>(),
        ObjectKind::Quotas => generator.subschema_for::<Quota>(),
        ObjectKind::Templates => generator.subschema_for::<StoredTemplate>(),
        ObjectKind::Routes => generator.subschema_for::<Route>(),
    }
    .to_value()
}

fn title(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Domains => "Domain",
        ObjectKind::Consumers => "Consumer",
        ObjectKind::Keys => "Key",
        ObjectKind::Providers => "Provider",
        ObjectKind::Models => "Model",
        ObjectKind::Quotas => "Quota",
        ObjectKind::Templates => "StoredTemplate",
        ObjectKind::Routes => "Route",
    }
}

fn collection(kind: ObjectKind, spec: &Value) -> Value {
    let new = if kind == ObjectKind::Keys { reference("NewKey") } else { spec.clone() };
    let list = format!("{}List", title(kind));
    let mut query = pages();
    if kind.has_labels() {
        let labels = json!({"type": "array", "items": {"type": "string", "pattern": "="}});
        query.push(parameter("query", "label", labels));
    }
    json!({
        "get": operation(Operation::List(kind), json!({
            "parameters": query,
            "responses": responses(&[("200", "Some of them, by name", Some(&list))], &["400"]),
        })),
        "post": operation(Operation::Create(kind), json!({
            "requestBody": body(&new),
            "responses": responses(&[("201", "Made", Some(&shown(kind)))], &["400", "409", "413", "422"]),
        })),
    })
}

fn object(kind: ObjectKind, spec: &Value) -> Value {
    let shown = shown(kind);
    let conditions =
        json!([parameter("header", "If-Match", etag()), parameter("header", "If-None-Match", any())]);
    json!({
        "parameters": [name()],
        "get": operation(Operation::Get(kind), json!({
            "responses": responses(&[("200", "The object", Some(&shown))], &["404"]),
        })),
        "put": operation(Operation::Put(kind), json!({
            "parameters": conditions,
            "requestBody": body(spec),
            "responses": responses(
                &[("200", "Replaced", Some(&shown)), ("201", "Made", Some(&shown))],
                &["400", "409", "412", "413", "422"],
            ),
        })),
        "delete": operation(Operation::Delete(kind), json!({
            "parameters": conditions,
            "responses": responses(&[("204", "Removed", None)], &["400", "404", "409", "412"]),
        })),
    })
}

/// An operation with its name, the roles that may ask for it, and what others are answered.
fn operation(of: Operation, mut operation: Value) -> Value {
    let roles: Vec<_> = of.roles().iter().map(|role| role.as_str()).collect();
    let told = format!("Roles: {}.", roles.join(", "));
    if let Some(fields) = operation.as_object_mut() {
        let description = match fields.get("description").and_then(Value::as_str) {
            Some(text) => format!("{text} {told}"),
            None => told,
        };
        fields.insert("description".into(), description.into());
        fields.insert("operationId".into(), of.id().into());
        fields.insert("x-weir-roles".into(), roles.into());
        if let Some(responses) = fields.get_mut("responses").and_then(Value::as_object_mut) {
            responses.insert("403".into(), error_answer());
        }
    }
    operation
}

fn rotate() -> Value {
    let rotation = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {"overlap_secs": {"type": "integer", "minimum": 0, "maximum": u32::MAX, "default": 0}},
    });
    json!({"parameters": [name()], "post": operation(Operation::Rotate, json!({
        "parameters": [parameter("header", "If-Match", etag())],
        "requestBody": body(&rotation),
        "responses": responses(
            &[("200", "The key with its new secret", Some(&shown(ObjectKind::Keys)))],
            &["400", "404", "409", "412", "413", "422"],
        ),
    }))})
}

fn keys_of_model() -> Value {
    let keys = object_of(&["keys"], json!({"keys": {"type": "array", "items": {"type": "string"}}}));
    json!({"parameters": [name()], "get": operation(Operation::Authorised, json!({
        "description": "The ids of the keys that name the model.",
        "responses": answered("200", "The ids", &keys, &["404"]),
    }))})
}

fn key_of_model() -> Value {
    let mut key = name();
    if let Some(key) = key.as_object_mut() {
        key.insert("name".into(), "key".into());
        key.insert("description".into(), "The key's id".into());
    }
    let refused = ["400", "404", "409", "422"];
    json!({
        "parameters": [name(), key],
        "put": operation(Operation::Authorise, json!({
            "description": "Lets a key use the model; nothing else of the key changes.",
            "responses": responses(&[("204", "It may use it", None)], &refused),
        })),
        "delete": operation(Operation::Withdraw, json!({
            "description": "Takes the model's name from those that the key may use.",
            "responses": responses(&[("204", "It may not use it", None)], &refused),
        })),
    })
}

fn tokens(new: &Value) -> Value {
    let list = object_of(
        &["items"],
        json!({
            "items": {"type": "array", "items": reference("Token")},
            "next_page_token": {"type": "string"},
        }),
    );
    json!({
        "get": operation(Operation::ListTokens, json!({
            "parameters": pages(),
            "responses": answered("200", "Some of them, by name", &list, &["400"]),
        })),
        "post": operation(Operation::CreateToken, json!({
            "requestBody": body(new),
            "responses": responses(&[("201", "Made", Some("Token"))], &["400", "409", "413", "422"]),
        })),
    })
}

fn token() -> Value {
    json!({"parameters": [name()], "delete": operation(Operation::RevokeToken, json!({
        "responses": responses(&[("204", "It is of no use any more", None)], &["400", "404", "409"]),
    }))})
}

fn token_object() -> Value {
    let (text, time) = (json!({"type": "string"}), json!({"type": "string", "format": "date-time"}));
    object_of(
        &["name", "prefix", "role", "created_at"],
        json!({
            "name": text,
            "prefix": {"type": "string", "description": "How the secret begins"},
            "role": {"enum": RoleName::ALL},
            "provider": {"type": "string", "description": "The provider that it is bound to"},
            "domain": {"type": "string", "description": "The domain that it is bound to"},
            "created_at": time,
            "expires_at": time,
            "secret": {"type": "string", "description": "The token itself, only in the answer that makes it"},
        }),
    )
}

fn apply() -> Value {
    let list = |kind: ObjectKind| json!({"type": "array", "items": reference(title(kind))});
    let lists: Map<_, _> =
        ObjectKind::ALL.map(|kind| (kind.as_str().to_owned(), list(kind))).into_iter().collect();
    let document = json!({"type": "object", "additionalProperties": false, "properties": lists});
    let change = json!({"type": "object", "required": ["kind", "name", "action"], "additionalProperties": false,
    "properties": {
        "kind": {"enum": ObjectKind::ALL},
        "name": {"type": "string"},
        "action": {"enum": ["created", "changed", "unchanged", "deleted"]},
        "fields": {"type": "array", "items": {"type": "string"}, "description": "The fields that differ"},
    }});
    let answer = json!({"type": "object", "required": ["changes"], "additionalProperties": false,
        "properties": {"changes": {"type": "array", "items": change}}});
    let flag = |name| parameter("query", name, json!({"type": "boolean", "default": false}));
    json!({"post": operation(Operation::Apply, json!({
        "description": "Writes all objects of a document or none. With prune, removes those of the API that it does not \
            name; with dry_run, checks the change and does not make it.",
        "parameters": [flag("prune"), flag("dry_run")],
        "requestBody": body(&document),
        "responses": answered("200", "What has become of each object", &answer, &["400", "409", "413", "422"]),
    }))})
}

fn status() -> Value {
    let report = json!({"type": "object", "required": ["config", "version", "nodes"]});
    let answer = json!({"description": "What is served, and to whom", "content": content(&report)});
    json!({"get": {"operationId": "status", "security": [], "responses": {"200": answer}}})
}

fn snapshots() -> Value {
    let list =
        object_of(&["snapshots"], json!({"snapshots": {"type": "array", "items": {"type": "object"}}}));
    let answer = json!({"description": "What was served last, the newest first", "content": content(&list)});
    json!({"get": {"operationId": "list_snapshots", "security": [], "responses": {"200": answer}}})
}

fn restore() -> Value {
    let version = json!({"in": "path", "name": "version", "required": true,
        "schema": {"type": "string", "minLength": 1}});
    let config = json!({"type": "object"});
    json!({"parameters": [version], "post": operation(Operation::Restore, json!({
        "description": "Serves an earlier snapshot until the configuration changes.",
        "responses": answered("200", "What is served now", &config, &["400", "404"]),
    }))})
}

fn render(template: &Value) -> Value {
    let variables = json!({"type": "object"});
    let trial = object_of(&["template", "variables"], json!({"template": template, "variables": variables}));
    let made = json!({"type": "object"});
    json!({"post": operation(Operation::Render, json!({
        "description": "Says what a template makes of variables, or what is wrong, and asks no model.",
        "requestBody": {"required": true, "content": content(&trial)},
        "responses": answered("200", "The request that would be sent, or the error", &made, &["400", "413"]),
    }))})
}

fn schema() -> Value {
    let answer = json!({"description": "The JSON Schema of the configuration file",
        "content": content(&json!({"type": "object"}))});
    json!({"get": {"operationId": "schema", "security": [], "responses": {"200": answer}}})
}

fn shown(kind: ObjectKind) -> String {
    format!("Shown{}", title(kind))
}

fn shown_object(kind: ObjectKind, spec: &Value) -> Value {
    let time = json!({"type": "string", "format": "date-time"});
    let mut properties = json!({
        "kind": {"const": kind.as_str()},
        "name": {"type": "string"},
        "owner": {"enum": ["api", "file"], "description": "Where the object is changed"},
        "etag": {"type": "string"},
        "created_at": time,
        "updated_at": time,
        "registrar": {"type": "string", "description": "The provider that has registered it"},
        "spec": spec,
    });
    if let (ObjectKind::Models, Some(properties)) = (kind, properties.as_object_mut()) {
        let description = "The model; without its targets and timeouts where a tenant asks";
        let spec = json!({"anyOf": [spec, reference("SeenModel")], "description": description});
        properties.insert("spec".into(), spec);
    }
    if let (ObjectKind::Keys, Some(properties)) = (kind, properties.as_object_mut()) {
        let description = "The key itself, only in the answer that makes it";
        properties.insert("secret".into(), json!({"type": "string", "description": description}));
        let description = "When it was used last, where usage is recorded";
        let time = json!({"type": "string", "format": "date-time", "description": description});
        properties.insert("last_used_at".into(), time);
    }
    json!({"type": "object", "required": ["kind", "name", "owner", "etag", "spec"],
        "additionalProperties": false, "properties": properties})
}

fn list_object(kind: ObjectKind) -> Value {
    json!({"type": "object", "required": ["items"], "additionalProperties": false, "properties": {
        "items": {"type": "array", "items": reference(&shown(kind))},
        "next_page_token": {"type": "string"},
    }})
}

fn error_object() -> Value {
    let text = json!({"type": "string"});
    let place = json!({"type": ["string", "null"]});
    json!({"type": "object", "required": ["error"], "additionalProperties": false, "properties": {"error": {
        "type": "object",
        "required": ["message", "type", "code", "object", "field"],
        "additionalProperties": false,
        "properties": {"message": text, "type": text, "code": text, "object": place, "field": place},
    }}})
}

/// A key whose secret is made by the control plane.
fn without_hash(key: &Value) -> Value {
    let mut key = key.clone();
    if let Some(required) = key.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|field| field != "sha256");
    }
    key
}

fn responses(good: &[(&str, &str, Option<&str>)], bad: &[&str]) -> Value {
    let good = good.iter().map(|(status, description, schema)| {
        let content = schema.map(|name| content(&reference(name)));
        let answer = content.map_or_else(
            || json!({"description": description}),
            |content| json!({"description": description, "content": content}),
        );
        ((*status).to_owned(), answer)
    });
    let bad = bad.iter().chain(&["401", "501", "503"]).map(|status| ((*status).to_owned(), error_answer()));
    Value::Object(good.chain(bad).collect())
}

/// What is answered where the good answer has a schema of its own.
fn answered(status: &str, description: &str, schema: &Value, bad: &[&str]) -> Value {
    let mut responses = responses(&[], bad);
    if let Some(responses) = responses.as_object_mut() {
        responses.insert(status.into(), json!({"description": description, "content": content(schema)}));
    }
    responses
}

fn error_answer() -> Value {
    json!({"description": "An error", "content": content(&reference("Error"))})
}

fn object_of(required: &[&str], properties: Value) -> Value {
    json!({"type": "object", "required": required, "additionalProperties": false, "properties": properties})
}

/// The parameters of a list that comes in pages.
fn pages() -> Vec<Value> {
    let limit = json!({"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": PAGE});
    vec![parameter("query", "limit", limit), parameter("query", "page_token", json!({"type": "string"}))]
}

/// A model without what its users are not shown.
fn as_tenants_see(model: &Value) -> Value {
    let mut model = model.clone();
    if let Some(required) = model.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|field| field == "name");
    }
    if let Some(properties) = model.get_mut("properties").and_then(Value::as_object_mut) {
        properties.retain(|field, _| SEEN_OF_MODELS.contains(&field.as_str()));
    }
    model
}

fn name() -> Value {
    let schema = json!({"type": "string", "minLength": 1});
    json!({"in": "path", "name": "name", "required": true, "schema": schema,
        "description": "The object's name; a slash may stand as it is or as %2F"})
}

fn etag() -> Value {
    json!({"type": "string", "description": "*, or the ETag that the object must have"})
}

fn any() -> Value {
    json!({"const": "*", "description": "The object must not be there"})
}

fn parameter(place: &str, name: &str, schema: Value) -> Value {
    json!({"in": place, "name": name, "required": false, "schema": schema})
}

fn body(schema: &Value) -> Value {
    json!({"required": true, "content": content(schema)})
}

fn content(schema: &Value) -> Value {
    json!({"application/json": {"schema": schema}})
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#{COMPONENTS}/{name}")})
}

const COMPONENTS: &str = "/components/schemas";

const DESCRIPTION: &str = "The objects of a gateway. A request is one transaction: it is checked with everything \
    else, saved, and then served; or it is refused, and nothing changes.";
