//! The MCP registry API in the document.

use serde_json::{Map, Value, json};

use super::{body, content, object_of, operation, parameter, reference};
use crate::{
    admin::operation::Operation,
    marketplace::{LARGEST_PAGE, Lifecycle, PAGE},
};

/// The paths of the registry API.
pub(super) fn paths() -> Map<String, Value> {
    let paths = [
        ("/v0.1/servers", servers()),
        ("/v0.1/publish", publish()),
        ("/v0.1/servers/{name}/versions", versions()),
        ("/v0.1/servers/{name}/versions/{version}", version()),
        ("/v0.1/servers/{name}/versions/{version}/status", status_of_version()),
        ("/v0.1/servers/{name}/status", status()),
    ];
    paths.into_iter().map(|(path, item)| (path.to_owned(), item)).collect()
}

/// What their requests and answers have.
pub(super) fn schemas() -> Map<String, Value> {
    let (text, time) = (json!({"type": "string"}), json!({"type": "string", "format": "date-time"}));
    let about = object_of(
        &["status", "statusChangedAt", "publishedAt", "updatedAt", "isLatest"],
        json!({
            "status": {"enum": Lifecycle::ALL},
            "statusMessage": text,
            "statusChangedAt": time,
            "publishedAt": time,
            "updatedAt": time,
            "isLatest": {"type": "boolean"},
        }),
    );
    let detail = json!({
        "type": "object",
        "description": "`ServerDetail` of the MCP registry API, with what else its publisher has written into it.",
        "required": ["name", "description", "version"],
        "properties": {
            "name": {"type": "string", "minLength": 3, "maxLength": 200,
                "pattern": "^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$"},
            "description": {"type": "string", "minLength": 1, "maxLength": 100},
            "version": {"type": "string", "minLength": 1, "maxLength": 255},
            "title": {"type": "string", "minLength": 1, "maxLength": 100},
            "remotes": {"type": "array", "items": {"type": "object", "required": ["type", "url"]}},
            "packages": {"type": "array", "items": {"type": "object"}},
            "_meta": {"type": "object"},
        },
    });
    let official = json!({"io.modelcontextprotocol.registry/official": about});
    let official = object_of(&["io.modelcontextprotocol.registry/official"], official);
    let server =
        object_of(&["server", "_meta"], json!({"server": reference("ServerDetail"), "_meta": official}));
    let list = json!({"type": "array", "items": reference("ServerResponse")});
    let metadata =
        object_of(&["count"], json!({"count": {"type": "integer"}, "nextCursor": {"type": "string"}}));
    let change = json!({
        "type": "object",
        "required": ["status"],
        "properties": {
            "status": {"enum": Lifecycle::ALL},
            "statusMessage": {"type": "string", "maxLength": 500},
        },
    });
    let updated = json!({"updatedCount": {"type": "integer"}, "servers": list.clone()});
    let schemas = [
        ("ServerDetail", detail),
        ("ServerResponse", server),
        ("ServerList", object_of(&["servers", "metadata"], json!({"servers": list, "metadata": metadata}))),
        ("StatusUpdateRequest", change),
        ("AllVersionsStatusResponse", object_of(&["updatedCount", "servers"], updated)),
        ("RegistryError", object_of(&["error"], json!({"error": text}))),
    ];
    schemas.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

fn servers() -> Value {
    let query = [
        parameter("query", "cursor", json!({"type": "string"})),
        parameter(
            "query",
            "limit",
            json!({"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": PAGE}),
        ),
        parameter("query", "search", json!({"type": "string", "description": "A part of the name"})),
        parameter("query", "updated_since", json!({"type": "string", "format": "date-time"})),
        parameter("query", "version", json!({"type": "string", "description": "`latest`, or one version"})),
        deleted(),
    ];
    json!({"get": operation(Operation::ListServers, json!({
        "description": "The MCP servers that the token's role is shown, as the MCP registry API has them.",
        "parameters": query,
        "responses": answers("ServerList", &["400"]),
    }))})
}

fn publish() -> Value {
    json!({"post": operation(Operation::PublishServer, json!({
        "description": "Publishes a version of a server; a tenant's is for the tenant alone.",
        "requestBody": body(&reference("ServerDetail")),
        "responses": answers("ServerResponse", &["400", "413"]),
    }))})
}

fn versions() -> Value {
    json!({"parameters": [name()], "get": operation(Operation::ServerVersions, json!({
        "description": "All versions of a server, the newest first.",
        "parameters": [deleted()],
        "responses": answers("ServerList", &["400", "404"]),
    }))})
}

fn version() -> Value {
    let purge = parameter(
        "query",
        "purge",
        json!({"type": "boolean", "default": false, "description": "Forget it, in place of marking it as deleted"}),
    );
    json!({
        "parameters": [name(), of_version()],
        "get": operation(Operation::ServerVersion, json!({
            "description": "One version of a server, or `latest`.",
            "parameters": [deleted()],
            "responses": answers("ServerResponse", &["400", "404"]),
        })),
        "put": operation(Operation::ReplaceServer, json!({
            "description": "Publishes another document for a version.",
            "requestBody": body(&reference("ServerDetail")),
            "responses": answers("ServerResponse", &["400", "404", "413"]),
        })),
        "delete": operation(Operation::DeleteServer, json!({
            "description": "Marks a version as deleted.",
            "parameters": [purge],
            "responses": answers("ServerResponse", &["400", "404"]),
        })),
    })
}

fn status_of_version() -> Value {
    json!({"parameters": [name(), of_version()], "patch": operation(Operation::SetStatusOfServerVersion, json!({
        "requestBody": body(&reference("StatusUpdateRequest")),
        "responses": answers("ServerResponse", &["400", "404", "413"]),
    }))})
}

fn status() -> Value {
    json!({"parameters": [name()], "patch": operation(Operation::SetStatusOfServer, json!({
        "description": "Says of all versions of a server whether they are to be used.",
        "requestBody": body(&reference("StatusUpdateRequest")),
        "responses": answers("AllVersionsStatusResponse", &["400", "404", "413"]),
    }))})
}

/// The good answer, and errors in the registry's own form.
fn answers(schema: &str, bad: &[&str]) -> Value {
    let good = json!({"description": "What is there now", "content": content(&reference(schema))});
    let error = json!({"description": "An error", "content": content(&reference("RegistryError"))});
    let bad = bad.iter().chain(&["401", "403", "409", "501", "503"]);
    let bad = bad.map(|status| ((*status).to_owned(), error.clone()));
    Value::Object([("200".to_owned(), good)].into_iter().chain(bad).collect())
}

fn name() -> Value {
    let schema = json!({"type": "string", "minLength": 1});
    json!({"in": "path", "name": "name", "required": true, "schema": schema,
        "description": "The server's name; its slash may stand as it is or as %2F"})
}

fn of_version() -> Value {
    json!({"in": "path", "name": "version", "required": true, "schema": {"type": "string", "minLength": 1}})
}

fn deleted() -> Value {
    parameter("query", "include_deleted", json!({"type": "boolean", "default": false}))
}
