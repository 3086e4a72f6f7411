//! A request of chat completions, as one for Gemini.

use serde_json::{Map, Value, json};

use crate::openai::ApiError;
use crate::translate::chat::{arguments, carry, data_url, parts, plain, refuse, text};
use crate::translate::unsupported;

/// The same request of `generateContent`.
pub(crate) fn of_chat(mut chat: Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    refuse(&chat, &["functions", "logprobs", "audio", "web_search_options"])?;
    let mut system = Vec::new();
    let mut turns = Vec::new();
    // Gemini knows a call by its name.
    let mut names = Map::new();
    for message in parts(chat.remove("messages")) {
        match text(&message, "role") {
            Some("system" | "developer") => system.push(json!({"text": plain(message.get("content"))})),
            _ => add_turn(message, &mut turns, &mut names)?,
        }
    }
    let mut body = Map::new();
    if !system.is_empty() {
        body.insert("systemInstruction".into(), json!({"parts": system}));
    }
    body.insert("contents".into(), turns.into());
    add_tools(&mut chat, &mut body)?;
    let config = config(&mut chat);
    if !config.is_empty() {
        body.insert("generationConfig".into(), config.into());
    }
    Ok(body)
}

/// Adds a message, to the last turn if that is of the same side.
fn add_turn(
    mut message: Value,
    turns: &mut Vec<Value>,
    names: &mut Map<String, Value>,
) -> Result<(), ApiError> {
    let content = message.get_mut("content").map(Value::take);
    let (role, said) = match text(&message, "role") {
        Some("user") => ("user", user(parts(content))?),
        Some("assistant") => ("model", assistant(&message, content, names)?),
        Some("tool") => ("user", vec![result(&message, content, names)?]),
        role => {
            let role = role.unwrap_or_default();
            let message = format!("The role `{role}` is not supported by this model's upstream.");
            return Err(unsupported(message, Some("messages")));
        }
    };
    let last = turns.last_mut().filter(|turn| text(turn, "role") == Some(role));
    match last.and_then(|turn| turn.get_mut("parts")).and_then(Value::as_array_mut) {
        Some(parts) => parts.extend(said),
        None if said.is_empty() => {}
        None => turns.push(json!({"role": role, "parts": said})),
    }
    Ok(())
}

fn user(parts: Vec<Value>) -> Result<Vec<Value>, ApiError> {
    let part = |part: &Value| {
        let url = |pointer: &str| part.pointer(pointer).and_then(Value::as_str).and_then(data_url);
        let inline = |(media, data)| json!({"inlineData": {"mimeType": media, "data": data}});
        let known = match text(part, "type") {
            Some("text") => text(part, "text").map(|text| json!({"text": text})),
            Some("image_url") => url("/image_url/url").map(inline),
            Some("file") => url("/file/file_data").map(inline),
            Some("input_audio") => part.pointer("/input_audio/data").map(|data| {
                let format = part.pointer("/input_audio/format").and_then(Value::as_str).unwrap_or("wav");
                json!({"inlineData": {"mimeType": format!("audio/{format}"), "data": data}})
            }),
            _ => None,
        };
        known.ok_or_else(|| {
            let kind = text(part, "type").unwrap_or_default();
            let message = format!(
                "Content of type `{kind}` is not supported by this model's upstream, which takes images and files as data: URLs only."
            );
            unsupported(message, Some("messages"))
        })
    };
    parts.iter().map(part).collect()
}

fn assistant(
    message: &Value,
    content: Option<Value>,
    names: &mut Map<String, Value>,
) -> Result<Vec<Value>, ApiError> {
    let said = parts(content);
    let said = said.iter().filter_map(|part| text(part, "text").filter(|text| !text.is_empty()));
    let mut written: Vec<Value> = said.map(|text| json!({"text": text})).collect();
    for call in message.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
        let name = call.pointer("/function/name").cloned().ok_or_else(|| {
            unsupported(
                "Only calls of functions are supported by this model's upstream.".into(),
                Some("messages"),
            )
        })?;
        let arguments =
            arguments(call.pointer("/function/arguments").and_then(Value::as_str).unwrap_or_default())?;
        let mut part = json!({"functionCall": {"name": name, "args": arguments}});
        // Where Gemini's own chat completions have it.
        let signature = call.pointer("/extra_content/google/thought_signature");
        if let (Some(signature), Some(members)) = (signature, part.as_object_mut()) {
            members.insert("thoughtSignature".into(), signature.clone());
        }
        written.push(part);
        names.insert(text(call, "id").unwrap_or_default().to_owned(), name);
    }
    Ok(written)
}

fn result(message: &Value, content: Option<Value>, names: &Map<String, Value>) -> Result<Value, ApiError> {
    let name = names.get(text(message, "tool_call_id").unwrap_or_default()).ok_or_else(|| {
        unsupported("A tool's result belongs to no call before it.".into(), Some("messages"))
    })?;
    let result = plain(content.as_ref());
    let response = serde_json::from_str(&result).ok().filter(Value::is_object);
    let response = response.unwrap_or_else(|| json!({"result": result}));
    Ok(json!({"functionResponse": {"name": name, "response": response}}))
}

fn add_tools(chat: &mut Map<String, Value>, body: &mut Map<String, Value>) -> Result<(), ApiError> {
    let mut functions = Vec::new();
    for mut tool in parts(chat.remove("tools")) {
        let mut written = Map::new();
        let Some(function) = tool.get_mut("function").and_then(Value::as_object_mut) else {
            let kind = text(&tool, "type").unwrap_or_default();
            let message = format!("The tool type `{kind}` is not supported by this model's upstream.");
            return Err(unsupported(message, Some("tools")));
        };
        let fields =
            [("name", "name"), ("description", "description"), ("parameters", "parametersJsonSchema")];
        carry(function, &mut written, &fields);
        functions.push(Value::Object(written));
    }
    if functions.is_empty() {
        return Ok(());
    }
    body.insert("tools".into(), json!([{"functionDeclarations": functions}]));
    let choice = match chat.remove("tool_choice") {
        Some(Value::String(choice)) if choice == "required" => json!({"mode": "ANY"}),
        Some(Value::String(choice)) if choice == "none" => json!({"mode": "NONE"}),
        Some(choice) if choice.get("function").is_some() => {
            json!({"mode": "ANY", "allowedFunctionNames": [choice.pointer("/function/name")]})
        }
        Some(_) | None => return Ok(()),
    };
    body.insert("toolConfig".into(), json!({"functionCallingConfig": choice}));
    Ok(())
}

fn config(chat: &mut Map<String, Value>) -> Map<String, Value> {
    let mut config = Map::new();
    let names = [
        ("max_tokens", "maxOutputTokens"),
        ("max_completion_tokens", "maxOutputTokens"),
        ("temperature", "temperature"),
        ("top_p", "topP"),
        ("n", "candidateCount"),
        ("seed", "seed"),
        ("presence_penalty", "presencePenalty"),
        ("frequency_penalty", "frequencyPenalty"),
    ];
    carry(chat, &mut config, &names);
    match chat.remove("stop") {
        Some(Value::String(stop)) => drop(config.insert("stopSequences".into(), json!([stop]))),
        Some(stops @ Value::Array(_)) => drop(config.insert("stopSequences".into(), stops)),
        Some(_) | None => {}
    }
    let format = chat.remove("response_format").unwrap_or_default();
    if matches!(text(&format, "type"), Some("json_object" | "json_schema")) {
        config.insert("responseMimeType".into(), "application/json".into());
    }
    if let Some(schema) = format.pointer("/json_schema/schema") {
        config.insert("responseJsonSchema".into(), schema.clone());
    }
    let budget = match chat.get("reasoning_effort").and_then(Value::as_str) {
        Some("none") => json!({"thinkingBudget": 0}),
        Some("minimal") => json!({"thinkingBudget": 512, "includeThoughts": true}),
        Some("low") => json!({"thinkingBudget": 1024, "includeThoughts": true}),
        Some("medium") => json!({"thinkingBudget": 8192, "includeThoughts": true}),
        Some("high" | "xhigh") => json!({"thinkingBudget": 24576, "includeThoughts": true}),
        Some(_) | None => return config,
    };
    config.insert("thinkingConfig".into(), budget);
    config
}
