//! What was used and what quotas have come to, in the document.

use serde_json::{Map, Value, json};
use weir_schema::quota::{Dimension, Limit};

use super::{answered, body, object_of, operation, parameter};
use crate::{
    admin::{
        operation::Operation,
        usage::{MOST_ROWS, ROWS},
    },
    records::database::COLUMNS,
};

/// The paths of usage, of the audit and of the state of quotas.
pub(super) fn paths() -> Map<String, Value> {
    let paths = [
        ("/v1/usage", usage()),
        ("/v1/audit", audit()),
        ("/v1/quotas/{name}/state", state()),
        ("/v1/quotas/{name}/adjust", adjust()),
        ("/v1/quotas/{name}/reset", reset()),
    ];
    paths.into_iter().map(|(path, item)| (path.to_owned(), item)).collect()
}

fn usage() -> Value {
    let (text, number) = (json!({"type": "string"}), json!({"type": "number"}));
    let time = json!({"type": "string", "format": "date-time"});
    let mut query = vec![
        parameter("query", "from", time.clone()),
        parameter("query", "to", time.clone()),
        parameter("query", "bucket", json!({"enum": ["minute", "hour", "day"], "default": "hour"})),
        parameter("query", "by", json!({"type": "string", "pattern": pattern()})),
        limit(),
    ];
    query.extend(COLUMNS.map(|column| parameter("query", column, text.clone())));
    let mut row = json!({"time": time, "cost": number, "mean_duration_ms": number,
        "mean_first_token_ms": {"type": ["number", "null"]}});
    if let Some(row) = row.as_object_mut() {
        let sums = [
            "requests",
            "errors",
            "input_tokens",
            "output_tokens",
            "cached_input_tokens",
            "reasoning_tokens",
        ];
        row.extend(sums.map(|sum| (sum.to_owned(), json!({"type": "integer"}))));
        row.extend(COLUMNS.map(|column| (column.to_owned(), text.clone())));
    }
    let rows = json!({"type": "array", "items": object_of(&["time", "requests", "errors", "cost"], row)});
    let answer = object_of(&["usage", "truncated"], json!({"usage": rows, "truncated": {"type": "boolean"}}));
    json!({"get": operation(Operation::Usage, json!({
        "description": "What was used, by time and by what `by` tells apart; the last day unless from says otherwise.",
        "parameters": query,
        "responses": answered("200", "Sums, the oldest first", &answer, &["400"]),
    }))})
}

fn pattern() -> String {
    let any = COLUMNS.join("|");
    format!("^({any})(,({any}))*$")
}

fn audit() -> Value {
    let text = json!({"type": "string"});
    let entry = object_of(
        &["at", "actor", "action", "object", "detail"],
        json!({"at": {"type": "string", "format": "date-time"}, "actor": text, "action": text, "object": text,
            "detail": {}}),
    );
    let answer = object_of(&["entries"], json!({"entries": {"type": "array", "items": entry}}));
    json!({"get": operation(Operation::Audit, json!({
        "parameters": [limit()],
        "responses": answered("200", "What was done to quotas by hand, the newest first", &answer, &["400"]),
    }))})
}

fn state() -> Value {
    let counters = json!({"type": "array", "items": counter()});
    let answer = object_of(&["name", "counters"], json!({"name": {"type": "string"}, "counters": counters}));
    json!({"parameters": [name()], "get": operation(Operation::QuotaState, json!({
        "description": "What a quota has come to. A slash in its name is written as %2F.",
        "responses": answered("200", "Its counters, 1000 at most", &answer, &["404"]),
    }))})
}

fn adjust() -> Value {
    let change = json!({"type": "object", "required": ["limit", "by"], "additionalProperties": false,
        "properties": {"per": per(), "limit": {"enum": budgets()},
            "by": {"type": "number", "description": "Tokens or money that count as used, or with a minus do not"}}});
    json!({"parameters": [name()], "post": operation(Operation::AdjustQuota, json!({
        "requestBody": body(&change),
        "responses": answered("200", "What it has come to", &counter(), &["400", "404", "413"]),
    }))})
}

fn reset() -> Value {
    let change = json!({"type": "object", "additionalProperties": false,
        "properties": {"per": per(), "limit": {"enum": budgets()}}});
    json!({"parameters": [name()], "post": operation(Operation::ResetQuota, json!({
        "description": "Begins a budget anew, or all budgets of a counter.",
        "requestBody": body(&change),
        "responses": answered("200", "What it has come to", &counter(), &["400", "404", "413"]),
    }))})
}

fn counter() -> Value {
    let number = json!({"type": "number"});
    let limit = object_of(
        &["limit", "used", "remaining", "granted", "ends_at"],
        json!({"limit": number, "used": number, "remaining": number, "granted": number,
            "ends_at": {"type": ["string", "null"], "format": "date-time"}}),
    );
    let limits = Limit::ALL.map(|of| (of.as_str().to_owned(), limit.clone()));
    let limits = object_of(&[], Value::Object(limits.into_iter().collect()));
    object_of(&["per", "limits"], json!({"per": per(), "limits": limits}))
}

fn name() -> Value {
    let schema = json!({"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,127}$"});
    json!({"in": "path", "name": "name", "required": true, "schema": schema,
        "description": "The quota's name; limits%2Fkey and the like for the limits on objects"})
}

fn per() -> Value {
    let all = [
        Dimension::Domain,
        Dimension::Consumer,
        Dimension::Key,
        Dimension::Model,
        Dimension::Provider,
        Dimension::McpServer,
        Dimension::Tool,
    ];
    let names = all.map(|of| (of.as_str().to_owned(), json!({"type": "string"})));
    object_of(&[], Value::Object(names.into_iter().collect()))
}

fn budgets() -> Vec<Limit> {
    Limit::ALL.into_iter().filter(|limit| limit.is_budget()).collect()
}

fn limit() -> Value {
    parameter(
        "query",
        "limit",
        json!({"type": "integer", "minimum": 1, "maximum": MOST_ROWS, "default": ROWS}),
    )
}
