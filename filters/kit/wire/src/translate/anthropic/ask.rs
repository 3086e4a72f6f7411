//! A client's request, as one of chat completions.

use serde_json::{Map, Value, json};

use super::EFFORTS;
use crate::openai::ApiError;
use crate::translate::chat::{carry, parts, plain, refuse, text};
use crate::translate::unsupported;

/// The same request of chat completions.
pub(crate) fn to_chat(mut body: Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    refuse(&body, &["mcp_servers", "container"])?;
    let mut chat = Map::new();
    carry(&mut body, &mut chat, &[("model", "model")]);
    let mut messages = Vec::new();
    let system = plain(body.get("system"));
    if !system.is_empty() {
        messages.push(json!({"role": "system", "content": system}));
    }
    for message in parts(body.remove("messages")) {
        add_message(message, &mut messages)?;
    }
    chat.insert("messages".into(), messages.into());
    carry(
        &mut body,
        &mut chat,
        &[
            ("max_tokens", "max_tokens"),
            ("temperature", "temperature"),
            ("top_p", "top_p"),
            ("stop_sequences", "stop"),
            ("stream", "stream"),
        ],
    );
    if chat.get("stream") == Some(&Value::Bool(true)) {
        chat.insert("stream_options".into(), json!({"include_usage": true}));
    }
    if let Some(user) = body.get("metadata").and_then(|metadata| text(metadata, "user_id")) {
        chat.insert("user".into(), user.into());
    }
    add_tools(&mut body, &mut chat)?;
    if let Some(effort) = effort(&body) {
        chat.insert("reasoning_effort".into(), effort.into());
    }
    if let Some(schema) = body.get("output_config").and_then(|config| config.pointer("/format/schema")) {
        let format = json!({"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": true}});
        chat.insert("response_format".into(), format);
    }
    Ok(chat)
}

fn add_message(mut message: Value, messages: &mut Vec<Value>) -> Result<(), ApiError> {
    let content = message.get_mut("content").map(Value::take);
    match text(&message, "role") {
        Some("user") => match content {
            Some(Value::String(text)) => messages.push(json!({"role": "user", "content": text})),
            content => add_user(parts(content), messages)?,
        },
        Some("assistant") => messages.push(assistant(parts(content))?),
        Some("system") => messages.push(json!({"role": "system", "content": plain(content.as_ref())})),
        _ => return Err(unsupported("A message has an unknown role.".into(), Some("messages"))),
    }
    Ok(())
}

/// The results of tools are messages of their own, and come before what the user says.
fn add_user(blocks: Vec<Value>, messages: &mut Vec<Value>) -> Result<(), ApiError> {
    let mut said = Vec::new();
    for mut block in blocks {
        if text(&block, "type") == Some("tool_result") {
            let content = parts(block.get_mut("content").map(Value::take));
            let result = plain(Some(&Value::Array(content.clone())));
            let id = text(&block, "tool_use_id").unwrap_or_default();
            messages.push(json!({"role": "tool", "tool_call_id": id, "content": result}));
            // A tool says nothing but text; an image it has made is shown by the user.
            let shown = content.into_iter().filter(|part| text(part, "type") != Some("text"));
            said.extend(shown.map(|part| user_part(&part)).collect::<Result<Vec<_>, _>>()?);
        } else {
            said.push(user_part(&block)?);
        }
    }
    if !said.is_empty() {
        messages.push(json!({"role": "user", "content": said}));
    }
    Ok(())
}

fn user_part(block: &Value) -> Result<Value, ApiError> {
    let kind = text(block, "type").unwrap_or_default();
    let source = block.get("source").unwrap_or(&Value::Null);
    let field = |name: &str| text(source, name).unwrap_or_default();
    Ok(match (kind, field("type")) {
        ("text", _) => json!({"type": "text", "text": text(block, "text").unwrap_or_default()}),
        ("image", "base64") => {
            let url = format!("data:{};base64,{}", field("media_type"), field("data"));
            json!({"type": "image_url", "image_url": {"url": url}})
        }
        ("image", "url") => json!({"type": "image_url", "image_url": {"url": field("url")}}),
        ("document", "base64") => {
            let data = format!("data:{};base64,{}", field("media_type"), field("data"));
            let name = text(block, "title").unwrap_or("document.pdf");
            json!({"type": "file", "file": {"filename": name, "file_data": data}})
        }
        ("document", "text") => json!({"type": "text", "text": field("data")}),
        _ => return Err(unknown_block(kind)),
    })
}

fn assistant(blocks: Vec<Value>) -> Result<Value, ApiError> {
    let mut said = String::new();
    let mut calls = Vec::new();
    for block in &blocks {
        match text(block, "type") {
            Some("text") => said.push_str(text(block, "text").unwrap_or_default()),
            Some("tool_use") => {
                let name = text(block, "name").unwrap_or_default();
                let arguments = block.get("input").cloned().unwrap_or_else(|| json!({})).to_string();
                let function = json!({"name": name, "arguments": arguments});
                let id = text(block, "id").unwrap_or_default();
                calls.push(json!({"id": id, "type": "function", "function": function}));
            }
            // What it has thought is signed for the model that did.
            Some("thinking" | "redacted_thinking") => {}
            kind => return Err(unknown_block(kind.unwrap_or_default())),
        }
    }
    let content = if said.is_empty() && !calls.is_empty() { Value::Null } else { said.into() };
    let mut message = json!({"role": "assistant", "content": content});
    if let (false, Some(members)) = (calls.is_empty(), message.as_object_mut()) {
        members.insert("tool_calls".into(), calls.into());
    }
    Ok(message)
}

fn unknown_block(kind: &str) -> ApiError {
    let message = format!("Content of type `{kind}` is not supported by this model's upstream.");
    unsupported(message, Some("messages"))
}

fn add_tools(body: &mut Map<String, Value>, chat: &mut Map<String, Value>) -> Result<(), ApiError> {
    let mut tools = Vec::new();
    for mut tool in parts(body.remove("tools")) {
        let kind = text(&tool, "type").unwrap_or("custom");
        if kind != "custom" {
            let message = format!("The tool type `{kind}` is not supported by this model's upstream.");
            return Err(unsupported(message, Some("tools")));
        }
        let mut function = Map::new();
        if let Some(members) = tool.as_object_mut() {
            let names = [
                ("name", "name"),
                ("description", "description"),
                ("input_schema", "parameters"),
                ("strict", "strict"),
            ];
            carry(members, &mut function, &names);
        }
        tools.push(json!({"type": "function", "function": function}));
    }
    if tools.is_empty() {
        return Ok(());
    }
    chat.insert("tools".into(), tools.into());
    let Some(choice) = body.remove("tool_choice") else { return Ok(()) };
    let chosen = match text(&choice, "type") {
        Some("any") => "required".into(),
        Some("none") => "none".into(),
        Some("tool") => json!({"type": "function", "function": {"name": choice.get("name")}}),
        _ => "auto".into(),
    };
    chat.insert("tool_choice".into(), chosen);
    if choice.get("disable_parallel_tool_use") == Some(&Value::Bool(true)) {
        chat.insert("parallel_tool_calls".into(), false.into());
    }
    Ok(())
}

fn effort(body: &Map<String, Value>) -> Option<&str> {
    let said = body.get("output_config").and_then(|config| text(config, "effort"));
    let budget = body.get("thinking").and_then(|thinking| thinking.get("budget_tokens")?.as_u64());
    let by_budget = budget.map(|budget| {
        let enough = EFFORTS.iter().find(|(_, tokens)| budget <= *tokens);
        enough.map_or("high", |(effort, _)| *effort)
    });
    said.map(|effort| if effort == "max" { "high" } else { effort }).or(by_budget)
}
