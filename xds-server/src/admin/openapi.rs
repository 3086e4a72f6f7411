//! The OpenAPI document, made from the types that requests are read into.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use super::request::{LARGEST_PAGE, PAGE};
use crate::{
    file::{Consumer, Domain, Key, Provider, PublicModel, Quota},
    object::ObjectKind,
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
    paths.insert("/v1/apply".into(), apply());
    paths.insert("/v1/schema".into(), schema());
    paths.insert("/v1/status".into(), status());
    let mut schemas = generator.take_definitions(true);
    schemas.append(&mut shown);
    if let Some(new_key) = schemas.get("Key").map(without_hash) {
        schemas.insert("NewKey".into(), new_key);
    }
    schemas.insert("Error".into(), error_object());
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
    }
}

fn collection(kind: ObjectKind, spec: &Value) -> Value {
    let new = if kind == ObjectKind::Keys { reference("NewKey") } else { spec.clone() };
    let list = format!("{}List", title(kind));
    let mut query = vec![
        parameter(
            "query",
            "limit",
            json!({"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": PAGE}),
        ),
        parameter("query", "page_token", json!({"type": "string"})),
    ];
    if kind.has_labels() {
        let labels = json!({"type": "array", "items": {"type": "string", "pattern": "="}});
        query.push(parameter("query", "label", labels));
    }
    json!({
        "get": {
            "operationId": format!("list_{}", kind.as_str()),
            "parameters": query,
            "responses": responses(&[("200", "Some of them, by name", Some(&list))], &["400"]),
        },
        "post": {
            "operationId": format!("create_{}", kind.as_str()),
            "requestBody": body(&new),
            "responses": responses(&[("201", "Made", Some(&shown(kind)))], &["400", "409", "413", "422"]),
        },
    })
}

fn object(kind: ObjectKind, spec: &Value) -> Value {
    let (shown, named) = (shown(kind), kind.as_str());
    let conditions =
        json!([parameter("header", "If-Match", etag()), parameter("header", "If-None-Match", any())]);
    json!({
        "parameters": [name()],
        "get": {
            "operationId": format!("get_{named}"),
            "responses": responses(&[("200", "The object", Some(&shown))], &["404"]),
        },
        "put": {
            "operationId": format!("put_{named}"),
            "parameters": conditions,
            "requestBody": body(spec),
            "responses": responses(
                &[("200", "Replaced", Some(&shown)), ("201", "Made", Some(&shown))],
                &["400", "409", "412", "413", "422"],
            ),
        },
        "delete": {
            "operationId": format!("delete_{named}"),
            "parameters": conditions,
            "responses": responses(&[("204", "Removed", None)], &["400", "404", "409", "412"]),
        },
    })
}

fn rotate() -> Value {
    let rotation = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {"overlap_secs": {"type": "integer", "minimum": 0, "maximum": u32::MAX, "default": 0}},
    });
    json!({"parameters": [name()], "post": {
        "operationId": "rotate_keys",
        "parameters": [parameter("header", "If-Match", etag())],
        "requestBody": body(&rotation),
        "responses": responses(
            &[("200", "The key with its new secret", Some(&shown(ObjectKind::Keys)))],
            &["400", "404", "409", "412", "413", "422"],
        ),
    }})
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
    let mut responses = responses(&[], &["400", "409", "413", "422"]);
    if let Some(responses) = responses.as_object_mut() {
        let answer = json!({"description": "What has become of each object", "content": content(&answer)});
        responses.insert("200".into(), answer);
    }
    json!({"post": {
        "operationId": "apply",
        "description": "Writes all objects of a document or none. With prune, removes those of the API that it does not \
            name; with dry_run, checks the change and does not make it.",
        "parameters": [flag("prune"), flag("dry_run")],
        "requestBody": body(&document),
        "responses": responses,
    }})
}

fn status() -> Value {
    let report = json!({"type": "object", "required": ["config", "version", "nodes"]});
    let answer = json!({"description": "What is served, and to whom", "content": content(&report)});
    json!({"get": {"operationId": "status", "security": [], "responses": {"200": answer}}})
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
        "spec": spec,
    });
    if let (ObjectKind::Keys, Some(properties)) = (kind, properties.as_object_mut()) {
        let description = "The key itself, only in the answer that makes it";
        properties.insert("secret".into(), json!({"type": "string", "description": description}));
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
    let error = json!({"description": "An error", "content": content(&reference("Error"))});
    let bad = bad.iter().chain(&["401", "501", "503"]).map(|status| ((*status).to_owned(), error.clone()));
    Value::Object(good.chain(bad).collect())
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
