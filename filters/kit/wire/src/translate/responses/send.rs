//! A request of chat completions, as one of responses.

use serde_json::{Map, Value, json};

use crate::openai::ApiError;
use crate::translate::chat::{carry, one_answer, parts, plain, refuse, text};
use crate::translate::unsupported;

/// The same request of responses.
pub(crate) fn of_chat(mut chat: Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    refuse(&chat, &["functions", "logprobs", "audio", "stop"])?;
    one_answer(&chat)?;
    let mut body = Map::new();
    carry(&mut chat, &mut body, &[("model", "model")]);
    let mut items = Vec::new();
    for message in parts(chat.remove("messages")) {
        add_items(message, &mut items)?;
    }
    body.insert("input".into(), items.into());
    let names = [
        ("max_tokens", "max_output_tokens"),
        ("max_completion_tokens", "max_output_tokens"),
        ("temperature", "temperature"),
        ("top_p", "top_p"),
        ("stream", "stream"),
        ("user", "user"),
        ("metadata", "metadata"),
        ("service_tier", "service_tier"),
        ("parallel_tool_calls", "parallel_tool_calls"),
        ("prompt_cache_key", "prompt_cache_key"),
        ("safety_identifier", "safety_identifier"),
    ];
    carry(&mut chat, &mut body, &names);
    // Nobody here could ask for it again.
    body.insert("store".into(), false.into());
    if let Some(effort) = chat.get("reasoning_effort").and_then(Value::as_str) {
        body.insert("reasoning".into(), json!({"effort": effort, "summary": "auto"}));
    }
    add_format(&mut chat, &mut body);
    add_tools(&mut chat, &mut body)?;
    Ok(body)
}

fn add_items(mut message: Value, items: &mut Vec<Value>) -> Result<(), ApiError> {
    let content = message.get_mut("content").map(Value::take);
    match text(&message, "role") {
        Some("user") => {
            let parts = parts(content).iter().map(part).collect::<Result<Vec<_>, _>>()?;
            items.push(json!({"type": "message", "role": "user", "content": parts}));
        }
        Some("tool") => items.push(json!({
            "type": "function_call_output", "call_id": message.get("tool_call_id"), "output": plain(content.as_ref()),
        })),
        Some("assistant") => {
            let said = plain(content.as_ref());
            if !said.is_empty() {
                let part = json!({"type": "output_text", "text": said});
                items.push(json!({"type": "message", "role": "assistant", "content": [part]}));
            }
            for call in message.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
                let function = call.get("function").ok_or_else(|| {
                    let message = "Only calls of functions are supported by this model's upstream.".into();
                    unsupported(message, Some("messages"))
                })?;
                items.push(json!({
                    "type": "function_call", "call_id": call.get("id"), "name": function.get("name"),
                    "arguments": function.get("arguments"),
                }));
            }
        }
        role => {
            let part = json!({"type": "input_text", "text": plain(content.as_ref())});
            items.push(json!({"type": "message", "role": role, "content": [part]}));
        }
    }
    Ok(())
}

fn part(part: &Value) -> Result<Value, ApiError> {
    match text(part, "type") {
        Some("text") => Ok(json!({"type": "input_text", "text": part.get("text")})),
        Some("image_url") => {
            let url = part.pointer("/image_url/url");
            let detail = part.pointer("/image_url/detail").cloned().unwrap_or_else(|| "auto".into());
            Ok(json!({"type": "input_image", "image_url": url, "detail": detail}))
        }
        Some("file") => {
            let mut file = part.get("file").cloned().unwrap_or_default();
            if let Some(members) = file.as_object_mut() {
                members.insert("type".into(), "input_file".into());
            }
            Ok(file)
        }
        kind => {
            let kind = kind.unwrap_or_default();
            let message = format!("Content of type `{kind}` is not supported by this model's upstream.");
            Err(unsupported(message, Some("messages")))
        }
    }
}

fn add_format(chat: &mut Map<String, Value>, body: &mut Map<String, Value>) {
    let mut said = Map::new();
    carry(chat, &mut said, &[("verbosity", "verbosity")]);
    if let Some(mut format) = chat.remove("response_format") {
        let written = match format.get_mut("json_schema").map(Value::take) {
            Some(Value::Object(mut schema)) => {
                schema.insert("type".into(), "json_schema".into());
                Value::Object(schema)
            }
            Some(_) | None => format,
        };
        said.insert("format".into(), written);
    }
    if !said.is_empty() {
        body.insert("text".into(), said.into());
    }
}

fn add_tools(chat: &mut Map<String, Value>, body: &mut Map<String, Value>) -> Result<(), ApiError> {
    let mut tools = Vec::new();
    for mut tool in parts(chat.remove("tools")) {
        match tool.get_mut("function").map(Value::take) {
            Some(Value::Object(mut function)) => {
                function.insert("type".into(), "function".into());
                // Here the default is another one.
                function.entry("strict").or_insert(false.into());
                tools.push(Value::Object(function));
            }
            Some(_) | None => {
                let kind = text(&tool, "type").unwrap_or_default();
                let message = format!("The tool type `{kind}` is not supported by this model's upstream.");
                return Err(unsupported(message, Some("tools")));
            }
        }
    }
    if !tools.is_empty() {
        body.insert("tools".into(), tools.into());
    }
    match chat.remove("tool_choice") {
        Some(choice) if choice.get("function").is_some() => {
            let choice = json!({"type": "function", "name": choice.pointer("/function/name")});
            body.insert("tool_choice".into(), choice);
        }
        Some(choice) if !choice.is_null() => drop(body.insert("tool_choice".into(), choice)),
        Some(_) | None => {}
    }
    Ok(())
}
