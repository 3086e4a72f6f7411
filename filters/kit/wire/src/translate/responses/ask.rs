//! A client's request, as one of chat completions.

use serde_json::{Map, Value, json};

use crate::openai::ApiError;
use crate::translate::chat::{carry, parts, plain, refuse, text};
use crate::translate::unsupported;

/// What an answer repeats of its request.
pub(crate) fn echo(body: &Map<String, Value>) -> Map<String, Value> {
    let absent = |name: &str| match name {
        "parallel_tool_calls" => true.into(),
        "temperature" | "top_p" => 1.0.into(),
        "presence_penalty" | "frequency_penalty" => 0.0.into(),
        "top_logprobs" => 0.into(),
        "background" => false.into(),
        "service_tier" => "default".into(),
        "tool_choice" => "auto".into(),
        "tools" => json!([]),
        "metadata" => json!({}),
        "reasoning" => json!({"effort": null, "summary": null}),
        "text" => json!({"format": {"type": "text"}}),
        "truncation" => "disabled".into(),
        _ => Value::Null,
    };
    let said = |name: &str| body.get(name).filter(|value| !value.is_null()).cloned();
    let mut echo: Map<String, Value> =
        ECHOED.iter().map(|name| ((*name).to_owned(), said(name).unwrap_or_else(|| absent(name)))).collect();
    // A tool says all of what it may say.
    for tool in echo.get_mut("tools").and_then(Value::as_array_mut).into_iter().flatten() {
        for name in ["description", "parameters", "strict"] {
            if let Some(members) = tool.as_object_mut() {
                members.entry(name).or_insert(Value::Null);
            }
        }
    }
    echo
}

/// The same request of chat completions.
pub(crate) fn to_chat(mut body: Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    refuse(&body, &["previous_response_id", "conversation", "background", "prompt"])?;
    let mut chat = Map::new();
    carry(&mut body, &mut chat, &[("model", "model")]);
    let mut messages = Vec::new();
    if let Some(instructions) = body.get("instructions").and_then(Value::as_str) {
        messages.push(json!({"role": "system", "content": instructions}));
    }
    match body.remove("input") {
        Some(Value::String(input)) => messages.push(json!({"role": "user", "content": input})),
        Some(Value::Array(items)) => {
            for item in items {
                add_item(item, &mut messages)?;
            }
        }
        Some(_) | None => {}
    }
    chat.insert("messages".into(), messages.into());
    let names = [
        ("max_output_tokens", "max_tokens"),
        ("temperature", "temperature"),
        ("top_p", "top_p"),
        ("stream", "stream"),
        ("user", "user"),
    ];
    carry(&mut body, &mut chat, &names);
    if chat.get("stream") == Some(&Value::Bool(true)) {
        chat.insert("stream_options".into(), json!({"include_usage": true}));
    }
    if let Some(effort) = body.get("reasoning").and_then(|reasoning| text(reasoning, "effort")) {
        chat.insert("reasoning_effort".into(), effort.into());
    }
    add_format(&mut body, &mut chat);
    add_tools(&mut body, &mut chat)?;
    Ok(chat)
}

fn add_item(mut item: Value, messages: &mut Vec<Value>) -> Result<(), ApiError> {
    match text(&item, "type").unwrap_or("message") {
        "message" => {
            let content = item.get_mut("content").map(Value::take);
            let role = text(&item, "role").unwrap_or("user");
            let content = match content {
                Some(Value::Array(parts)) if role == "user" => {
                    Value::Array(parts.iter().map(user_part).collect::<Result<_, _>>()?)
                }
                content => said(content)?.into(),
            };
            messages.push(json!({"role": role, "content": content}));
        }
        "function_call" => {
            let function = json!({"name": item.get("name"), "arguments": item.get("arguments")});
            let call = json!({"id": item.get("call_id"), "type": "function", "function": function});
            let last = messages.last_mut().filter(|last| text(last, "role") == Some("assistant"));
            match last.and_then(Value::as_object_mut) {
                Some(message) => match message.get_mut("tool_calls").and_then(Value::as_array_mut) {
                    Some(calls) => calls.push(call),
                    None => drop(message.insert("tool_calls".into(), json!([call]))),
                },
                None => messages.push(json!({"role": "assistant", "content": null, "tool_calls": [call]})),
            }
        }
        "function_call_output" => {
            let output = item.get_mut("output").map(Value::take);
            let id = item.get("call_id").cloned();
            messages.push(json!({"role": "tool", "tool_call_id": id, "content": said(output)?}));
        }
        // What a model has thought is for that model.
        "reasoning" => {}
        kind => {
            let message = format!("An item of type `{kind}` is not supported by this model's upstream.");
            return Err(unsupported(message, Some("input")));
        }
    }
    Ok(())
}

/// A content that can be text only.
fn said(content: Option<Value>) -> Result<String, ApiError> {
    let text_only = |part: &Value| part.get("text").or_else(|| part.get("refusal")).is_some();
    match content {
        Some(Value::Array(parts)) => match parts.iter().find(|part| !text_only(part)) {
            Some(part) => Err(unknown_part(part)),
            None => {
                let texts =
                    parts.iter().filter_map(|part| text(part, "text").or_else(|| text(part, "refusal")));
                Ok(texts.collect::<Vec<_>>().join("\n"))
            }
        },
        content => Ok(plain(content.as_ref())),
    }
}

fn user_part(part: &Value) -> Result<Value, ApiError> {
    match (text(part, "type"), part.get("image_url"), part.get("file_data")) {
        (Some("input_text" | "output_text" | "text"), ..) => {
            Ok(json!({"type": "text", "text": part.get("text")}))
        }
        (Some("input_image"), Some(url @ Value::String(_)), _) => {
            let mut image = json!({"url": url});
            if let (Some(detail), Some(members)) = (part.get("detail"), image.as_object_mut()) {
                members.insert("detail".into(), detail.clone());
            }
            Ok(json!({"type": "image_url", "image_url": image}))
        }
        (Some("input_file"), _, Some(data)) => {
            Ok(json!({"type": "file", "file": {"filename": part.get("filename"), "file_data": data}}))
        }
        (Some("input_audio"), ..) => {
            Ok(json!({"type": "input_audio", "input_audio": part.get("input_audio")}))
        }
        _ => Err(unknown_part(part)),
    }
}

fn unknown_part(part: &Value) -> ApiError {
    let kind = text(part, "type").unwrap_or_default();
    let message =
        format!("Content of type `{kind}`, or its source, is not supported by this model's upstream.");
    unsupported(message, Some("input"))
}

fn add_format(body: &mut Map<String, Value>, chat: &mut Map<String, Value>) {
    let Some(Value::Object(mut said)) = body.remove("text") else { return };
    carry(&mut said, chat, &[("verbosity", "verbosity")]);
    let Some(Value::Object(mut format)) = said.remove("format") else { return };
    match format.remove("type").as_ref().and_then(Value::as_str) {
        Some("json_schema") => {
            let format = json!({"type": "json_schema", "json_schema": format});
            chat.insert("response_format".into(), format);
        }
        Some("json_object") => drop(chat.insert("response_format".into(), json!({"type": "json_object"}))),
        _ => {}
    }
}

fn add_tools(body: &mut Map<String, Value>, chat: &mut Map<String, Value>) -> Result<(), ApiError> {
    let mut tools = Vec::new();
    for tool in parts(body.remove("tools")) {
        let kind = text(&tool, "type").unwrap_or_default().to_owned();
        match tool {
            Value::Object(mut function) if kind == "function" => {
                function.remove("type");
                function.retain(|_, value| !value.is_null());
                tools.push(json!({"type": "function", "function": function}));
            }
            _ => {
                let message = format!("The tool type `{kind}` is not supported by this model's upstream.");
                return Err(unsupported(message, Some("tools")));
            }
        }
    }
    if tools.is_empty() {
        return Ok(());
    }
    chat.insert("tools".into(), tools.into());
    carry(body, chat, &[("parallel_tool_calls", "parallel_tool_calls")]);
    match body.remove("tool_choice") {
        Some(choice @ Value::String(_)) => drop(chat.insert("tool_choice".into(), choice)),
        Some(choice) if text(&choice, "type") == Some("function") => {
            let choice = json!({"type": "function", "function": {"name": choice.get("name")}});
            chat.insert("tool_choice".into(), choice);
        }
        None | Some(Value::Null) => {}
        Some(_) => {
            let message = "This choice of tools is not supported by this model's upstream.".into();
            return Err(unsupported(message, Some("tool_choice")));
        }
    }
    Ok(())
}

/// Members of a response that say what was asked for.
const ECHOED: [&str; 20] = [
    "background",
    "frequency_penalty",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "presence_penalty",
    "previous_response_id",
    "prompt_cache_key",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
];
