//! A request of chat completions, as one for Anthropic.

use serde_json::{Map, Value, json};

use super::EFFORTS;
use crate::openai::ApiError;
use crate::translate::chat::{arguments, carry, data_url, one_answer, parts, plain, refuse, text};
use crate::translate::unsupported;

/// The same request of messages.
pub(crate) fn of_chat(mut chat: Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    refuse(&chat, &["functions", "logprobs", "audio", "web_search_options"])?;
    one_answer(&chat)?;
    let mut body = Map::new();
    carry(&mut chat, &mut body, &[("model", "model")]);
    let most = chat.remove("max_completion_tokens").or_else(|| chat.remove("max_tokens"));
    let most = most.filter(|most| !most.is_null()).unwrap_or_else(|| MAX_TOKENS.into());
    body.insert("max_tokens".into(), most);
    let mut system = Vec::new();
    let mut turns = Vec::new();
    for message in parts(chat.remove("messages")) {
        match text(&message, "role") {
            Some("system" | "developer") => system.push(plain(message.get("content"))),
            _ => add_turn(message, &mut turns)?,
        }
    }
    add_format(&mut chat, &mut system, &mut body);
    if !system.is_empty() {
        body.insert("system".into(), system.join("\n\n").into());
    }
    body.insert("messages".into(), turns.into());
    carry(&mut chat, &mut body, &[("top_p", "top_p"), ("stream", "stream")]);
    if let Some(temperature) = chat.get("temperature").and_then(Value::as_f64) {
        body.insert("temperature".into(), temperature.min(1.0).into());
    }
    match chat.remove("stop") {
        Some(Value::String(stop)) => drop(body.insert("stop_sequences".into(), json!([stop]))),
        Some(stops @ Value::Array(_)) => drop(body.insert("stop_sequences".into(), stops)),
        Some(_) | None => {}
    }
    if let Some(user) = chat.get("user").and_then(Value::as_str) {
        body.insert("metadata".into(), json!({"user_id": user}));
    }
    add_tools(&mut chat, &mut body)?;
    add_thinking(&chat, &mut body);
    Ok(body)
}

/// Adds a message, to the last turn if that is of the same side.
fn add_turn(mut message: Value, turns: &mut Vec<Value>) -> Result<(), ApiError> {
    let content = message.get_mut("content").map(Value::take);
    let (role, blocks) = match text(&message, "role") {
        Some("user") => ("user", user(parts(content))?),
        Some("assistant") => ("assistant", assistant(&message, content)?),
        Some("tool") => {
            let id = text(&message, "tool_call_id").unwrap_or_default();
            let result = user(parts(content))?;
            ("user", vec![json!({"type": "tool_result", "tool_use_id": id, "content": result})])
        }
        role => {
            let message =
                format!("The role `{}` is not supported by this model's upstream.", role.unwrap_or(""));
            return Err(unsupported(message, Some("messages")));
        }
    };
    let last = turns.last_mut().filter(|turn| text(turn, "role") == Some(role));
    match last.and_then(|turn| turn.get_mut("content")).and_then(Value::as_array_mut) {
        Some(content) => content.extend(blocks),
        None if blocks.is_empty() => {}
        None => turns.push(json!({"role": role, "content": blocks})),
    }
    Ok(())
}

fn user(parts: Vec<Value>) -> Result<Vec<Value>, ApiError> {
    let mut blocks = Vec::with_capacity(parts.len());
    for part in &parts {
        let file = || part.pointer("/file/file_data").and_then(Value::as_str).and_then(data_url);
        match text(part, "type") {
            Some("text") => blocks.extend(text_block(text(part, "text"))),
            Some("image_url") => {
                let url = part.pointer("/image_url/url").and_then(Value::as_str).unwrap_or_default();
                blocks.push(json!({"type": "image", "source": source(url)}));
            }
            Some("file") if file().is_some() => {
                let source = file().map(|(media, data)| base64(media, data));
                blocks.push(json!({"type": "document", "source": source}));
            }
            kind => {
                let message = format!(
                    "Content of type `{}` is not supported by this model's upstream.",
                    kind.unwrap_or_default()
                );
                return Err(unsupported(message, Some("messages")));
            }
        }
    }
    Ok(blocks)
}

/// Anthropic refuses a block of empty text.
fn text_block(text: Option<&str>) -> Option<Value> {
    text.filter(|text| !text.is_empty()).map(|text| json!({"type": "text", "text": text}))
}

fn source(url: &str) -> Value {
    data_url(url).map_or_else(|| json!({"type": "url", "url": url}), |(media, data)| base64(media, data))
}

fn base64(media: &str, data: &str) -> Value {
    json!({"type": "base64", "media_type": media, "data": data})
}

fn assistant(message: &Value, content: Option<Value>) -> Result<Vec<Value>, ApiError> {
    let mut blocks = Vec::new();
    for detail in message.get("reasoning_details").and_then(Value::as_array).into_iter().flatten() {
        match (text(detail, "type"), text(detail, "signature")) {
            (Some("reasoning.text"), Some(signature)) => blocks.push(json!({
                "type": "thinking", "thinking": text(detail, "text").unwrap_or_default(), "signature": signature,
            })),
            (Some("reasoning.encrypted"), _) => {
                blocks.push(json!({"type": "redacted_thinking", "data": detail.get("data")}));
            }
            _ => {}
        }
    }
    blocks.extend(text_block(text(message, "refusal")));
    for part in parts(content) {
        blocks.extend(text_block(text(&part, "text").or_else(|| text(&part, "refusal"))));
    }
    for call in message.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
        let function = call.get("function").ok_or_else(|| {
            unsupported(
                "Only calls of functions are supported by this model's upstream.".into(),
                Some("messages"),
            )
        })?;
        let input = arguments(text(function, "arguments").unwrap_or_default())?;
        blocks.push(
            json!({"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": input}),
        );
    }
    Ok(blocks)
}

/// How the answer is laid out: as a schema says, or as any JSON, which Anthropic can only be asked for.
fn add_format(chat: &mut Map<String, Value>, system: &mut Vec<String>, body: &mut Map<String, Value>) {
    let Some(format) = chat.remove("response_format") else { return };
    match text(&format, "type") {
        Some("json_schema") => {
            let schema = format.pointer("/json_schema/schema").cloned().unwrap_or_else(|| json!({}));
            body.insert("output_config".into(), json!({"format": {"type": "json_schema", "schema": schema}}));
        }
        Some("json_object") => system.push("Answer with one JSON object and nothing else.".into()),
        _ => {}
    }
}

fn add_tools(chat: &mut Map<String, Value>, body: &mut Map<String, Value>) -> Result<(), ApiError> {
    let mut tools = Vec::new();
    for mut tool in parts(chat.remove("tools")) {
        let mut written = Map::new();
        match tool.get_mut("function").and_then(Value::as_object_mut) {
            Some(function) => carry(
                function,
                &mut written,
                &[("name", "name"), ("description", "description"), ("parameters", "input_schema")],
            ),
            None => {
                let kind = text(&tool, "type").unwrap_or_default();
                let message = format!("The tool type `{kind}` is not supported by this model's upstream.");
                return Err(unsupported(message, Some("tools")));
            }
        }
        written.entry("input_schema").or_insert_with(|| json!({"type": "object", "properties": {}}));
        tools.push(Value::Object(written));
    }
    if tools.is_empty() {
        return Ok(());
    }
    body.insert("tools".into(), tools.into());
    let alone = chat.get("parallel_tool_calls") == Some(&Value::Bool(false));
    let mut choice = match chat.remove("tool_choice") {
        None | Some(Value::Null) if !alone => return Ok(()),
        Some(Value::String(choice)) if choice == "required" => json!({"type": "any"}),
        Some(Value::String(choice)) if choice == "none" => json!({"type": "none"}),
        Some(choice) if choice.get("function").is_some() => {
            json!({"type": "tool", "name": choice.pointer("/function/name")})
        }
        Some(_) | None => json!({"type": "auto"}),
    };
    if let Some(members) = choice.as_object_mut().filter(|_| alone) {
        members.insert("disable_parallel_tool_use".into(), true.into());
    }
    body.insert("tool_choice".into(), choice);
    Ok(())
}

/// Thinking takes a budget below the most tokens there may be, and no other temperature. Within a round of tools it
/// takes what was thought before, signed; without that it stays off.
fn add_thinking(chat: &Map<String, Value>, body: &mut Map<String, Value>) {
    let effort = chat.get("reasoning_effort").and_then(Value::as_str);
    let Some((_, budget)) = EFFORTS.iter().find(|(name, _)| Some(*name) == effort) else { return };
    let most = body.get("max_tokens").and_then(Value::as_u64).unwrap_or(0);
    let budget = (*budget).min(most / 2);
    let turns = body.get("messages").and_then(Value::as_array);
    let last = turns.and_then(|turns| turns.iter().rfind(|turn| text(turn, "role") == Some("assistant")));
    let kinds = |turn: &Value| {
        let blocks = turn.get("content").and_then(Value::as_array);
        let has = |kind| blocks.into_iter().flatten().any(|block| text(block, "type") == Some(kind));
        has("tool_use") && !has("thinking") && !has("redacted_thinking")
    };
    let forced =
        body.get("tool_choice").is_some_and(|choice| matches!(text(choice, "type"), Some("any" | "tool")));
    if budget < LEAST_BUDGET || forced || last.is_some_and(kinds) {
        return;
    }
    body.remove("temperature");
    body.insert("thinking".into(), json!({"type": "enabled", "budget_tokens": budget}));
}

/// The most tokens of an answer where the client sets no limit, which Anthropic demands.
const MAX_TOKENS: u64 = 8192;
/// The smallest budget that Anthropic takes.
const LEAST_BUDGET: u64 = 1024;
