//! Messages of the revisions with sessions as messages of 2026-07-28, and the other way round.
//!
//! What one era has and the other has not is an error that says so, never a message that means something else. Source:
//! MCP 2026-07-28, "Changelog" and "Versioning".

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use weir_wire::jsonrpc::RpcError;

use super::object::Object;
use crate::era::{CAPABILITIES, SERVER_INFO, VERSION};
use crate::version::Version;

/// Whether a method is in both eras and means the same.
pub(super) fn is_common(method: &str) -> bool {
    matches!(
        method,
        "tools/list"
            | "tools/call"
            | "prompts/list"
            | "prompts/get"
            | "resources/list"
            | "resources/templates/list"
            | "resources/read"
            | "completion/complete"
    )
}

/// Parameters of 2026-07-28 for a server of before: what every request repeats, its session has said once.
pub(super) fn params_to_legacy(params: &str) -> String {
    let mut params = Object::parse(params).unwrap_or_default();
    let meta = params.get("_meta").map(str::to_owned);
    if let Some(mut meta) = meta.as_deref().and_then(Object::parse) {
        meta.take(|name| name.starts_with(PROTOCOL));
        let meta = if meta.is_empty() { None } else { Some(meta.to_string()) };
        match meta {
            Some(meta) => params.put("_meta", meta),
            None => params.take(|name| name == "_meta"),
        }
    }
    params.to_string()
}

/// Parameters of before for a server of 2026-07-28. The client's capabilities are not told: what they lead to would not
/// reach it.
pub(super) fn params_to_modern(params: &str) -> String {
    let mut params = Object::parse(params).unwrap_or_default();
    let meta = params.get("_meta").map(str::to_owned);
    let mut meta = meta.as_deref().and_then(Object::parse).unwrap_or_default();
    meta.put(VERSION, Value::from(Version::V2026_07_28.as_str()).to_string());
    meta.put(CLIENT_INFO, client_info().to_string());
    meta.put(CAPABILITIES, "{}");
    let meta = meta.to_string();
    params.put("_meta", meta);
    params.to_string()
}

/// A result of before for a client of 2026-07-28.
pub(super) fn result_to_modern(method: &str, result: &str) -> Result<String, RpcError> {
    let mut result = Object::parse(result).ok_or_else(unreadable)?;
    result.put("resultType", r#""complete""#);
    if is_cacheable(method) {
        // The server has not said how long it may be kept.
        result.put("ttlMs", "0");
        result.put("cacheScope", r#""private""#);
    }
    if method == "tools/list" && result.get("tools").is_some_and(|tools| tools.contains(PARAM_HEADER)) {
        let tools = each_tool(&result, |tool| {
            if let Some(mut schema) = tool.value("inputSchema") {
                repeat_nothing(&mut schema);
                tool.put("inputSchema", schema.to_string());
            }
            true
        })?;
        result.put("tools", tools);
    }
    Ok(result.to_string())
}

/// A schema whose arguments no header field repeats: the server would not compare them.
fn repeat_nothing(schema: &mut Value) {
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for property in properties.into_iter().flat_map(Map::values_mut) {
        if let Value::Object(property) = property {
            property.shift_remove(PARAM_HEADER);
        }
    }
}

/// A result of 2026-07-28 for a client of before.
pub(super) fn result_to_legacy(method: &str, result: &str) -> Result<String, RpcError> {
    let mut result = Object::parse(result).ok_or_else(unreadable)?;
    match result.text("resultType").as_deref() {
        None | Some("complete") => {}
        Some("input_required") => return Err(not_possible(NEEDS_INPUT)),
        Some(_) => {
            return Err(not_possible("the server's answer is of a kind that this revision does not know"));
        }
    }
    result.take(|name| matches!(name, "resultType" | "ttlMs" | "cacheScope"));
    // Structured content is an object there, and so are the schemas that promise it.
    if method == "tools/call" && result.get("structuredContent").is_some_and(|json| !json.starts_with('{')) {
        result.take(|name| name == "structuredContent");
    }
    if method == "tools/list" {
        let tools = each_tool(&result, |tool| {
            let schema = tool.value("outputSchema");
            if schema.is_some_and(|schema| schema.get("type") != Some(&Value::from("object"))) {
                tool.take(|name| name == "outputSchema");
            }
            true
        })?;
        result.put("tools", tools);
    }
    Ok(result.to_string())
}

/// A list of tools without those that a caller may not use.
pub(super) fn only_tools(result: &str, may_use: impl Fn(&str) -> bool) -> Result<String, RpcError> {
    let mut result = Object::parse(result).ok_or_else(unreadable)?;
    let tools = each_tool(&result, |tool| tool.text("name").is_some_and(|name| may_use(&name)))?;
    result.put("tools", tools);
    Ok(result.to_string())
}

/// An error of before for a client of 2026-07-28.
pub(super) fn error_to_modern(error: RpcError) -> RpcError {
    match error.code {
        RpcError::RESOURCE_NOT_FOUND => RpcError { code: RpcError::INVALID_PARAMS, ..error },
        _ => error,
    }
}

/// An error of 2026-07-28 for a client of before.
pub(super) fn error_to_legacy(method: &str, error: RpcError) -> RpcError {
    let is_about_uri = error.data.as_ref().is_some_and(|data| data.get("uri").is_some());
    match error.code {
        RpcError::INVALID_PARAMS if method == "resources/read" && is_about_uri => {
            RpcError { code: RpcError::RESOURCE_NOT_FOUND, ..error }
        }
        RpcError::MISSING_CAPABILITY => not_possible(NEEDS_INPUT),
        // What the header fields and the revision are is between this filter and the server.
        RpcError::HEADER_MISMATCH | RpcError::UNSUPPORTED_VERSION => {
            not_possible("the server did not take the request as it was written for it")
        }
        _ => error,
    }
}

/// What `server/discover` of a server of 2026-07-28 says, as the beginning of a session in a revision of before.
pub(super) fn begun(discovered: &str, version: Version, name: &str) -> Result<String, RpcError> {
    let discovered = Object::parse(discovered).ok_or_else(unreadable)?;
    let meta = discovered.value("_meta").unwrap_or_default();
    let info = meta.get(SERVER_INFO).cloned().unwrap_or_else(|| json!({"name": name, "version": "1.0.0"}));
    let mut result = Object::default();
    result.put("protocolVersion", Value::from(version.as_str()).to_string());
    result.put("capabilities", capabilities(&discovered));
    result.put("serverInfo", info.to_string());
    if let Some(instructions) = discovered.get("instructions") {
        result.put("instructions", instructions.to_owned());
    }
    Ok(result.to_string())
}

/// The beginning of a session as what `server/discover` says. `version` is the session's, which the server speaks too.
pub(super) fn discovered(begun: &str, version: Version) -> Result<String, RpcError> {
    let begun = Object::parse(begun).ok_or_else(unreadable)?;
    let mut result = Object::default();
    result.put("supportedVersions", json!([Version::V2026_07_28.as_str(), version.as_str()]).to_string());
    result.put("capabilities", capabilities(&begun));
    if let Some(instructions) = begun.get("instructions") {
        result.put("instructions", instructions.to_owned());
    }
    result.put("resultType", r#""complete""#);
    result.put("ttlMs", DISCOVERED_TTL_MS.to_string());
    result.put("cacheScope", r#""private""#);
    if let Some(info) = begun.value("serverInfo") {
        result.put("_meta", json!({SERVER_INFO: info}).to_string());
    }
    Ok(result.to_string())
}

/// What a server can do in both eras. Of changes nobody tells: they come on streams that only one era has.
fn capabilities(said: &Object<'_>) -> String {
    let said = said.value("capabilities").unwrap_or_default();
    let both = [
        ("tools", json!({"listChanged": false})),
        ("resources", json!({"subscribe": false, "listChanged": false})),
        ("prompts", json!({"listChanged": false})),
        ("completions", json!({})),
    ];
    let has = |(name, _): &(&str, Value)| said.get(name).is_some();
    let both = both.into_iter().filter(has).map(|(name, how)| (name.to_owned(), how));
    Value::Object(both.collect::<Map<_, _>>()).to_string()
}

/// The tools of a list that `wanted` lets through, with what it changes.
fn each_tool(result: &Object<'_>, wanted: impl Fn(&mut Object<'_>) -> bool) -> Result<String, RpcError> {
    let tools: Vec<&RawValue> =
        serde_json::from_str(result.get("tools").unwrap_or("[]")).map_err(|_| unreadable())?;
    let tool = |tool: &RawValue| {
        let mut tool = Object::parse(tool.get())?;
        wanted(&mut tool).then(|| tool.to_string())
    };
    let tools: Vec<_> = tools.into_iter().filter_map(tool).collect();
    Ok(format!("[{}]", tools.join(",")))
}

/// The header fields that a tool of a list wants to repeat its arguments, `Region: region` for `x-mcp-header`. `None`:
/// it is not in the list.
pub(super) fn mirrored(list: &str, tool: &str) -> Option<Vec<(String, String)>> {
    #[derive(Deserialize)]
    struct List {
        tools: Vec<Tool>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Tool {
        name: String,
        #[serde(default)]
        input_schema: Value,
    }
    let list: List = serde_json::from_str(list).ok()?;
    let tool = list.tools.into_iter().find(|known| known.name == tool)?;
    let properties = tool.input_schema.get("properties").and_then(Value::as_object);
    let header = |(name, schema): (&String, &Value)| {
        let header = schema.get(PARAM_HEADER).and_then(Value::as_str)?;
        let is_token = !header.is_empty()
            && header.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        is_token.then(|| (header.to_ascii_lowercase(), name.clone()))
    };
    Some(properties.into_iter().flatten().filter_map(header).collect())
}

/// What this filter says of itself where it is the client.
pub(super) fn client_info() -> Value {
    json!({"name": "weir", "version": env!("CARGO_PKG_VERSION")})
}

/// Whether a result of 2026-07-28 says how long it may be kept.
fn is_cacheable(method: &str) -> bool {
    matches!(
        method,
        "tools/list" | "prompts/list" | "resources/list" | "resources/templates/list" | "resources/read"
    )
}

/// Something that cannot be said in the client's revision.
pub(super) fn not_possible(why: impl Into<Cow<'static, str>>) -> RpcError {
    RpcError::new(RpcError::INTERNAL, why)
}

fn unreadable() -> RpcError {
    not_possible("the server's answer cannot be read, or is too large")
}

/// What a server may not ask through this filter.
pub(super) const NEEDS_INPUT: &str = "the server needs something of the client, which cannot be asked for between its revision and the client's";
const PROTOCOL: &str = "io.modelcontextprotocol/";
const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
const PARAM_HEADER: &str = "x-mcp-header";
const DISCOVERED_TTL_MS: u32 = 60_000;

#[cfg(test)]
mod tests;
