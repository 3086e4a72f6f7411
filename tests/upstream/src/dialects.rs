//! Answers in the interfaces of Anthropic, Gemini and OpenAI's responses, and calls of tools in all of them; without any IO.
//!
//! A tool is called by whoever says something while there are tools: the first of them, with what was said. What a tool
//! answers is repeated like anything else that is said.

#![expect(clippy::indexing_slicing, reason = "what a JSON value does not have is null")]

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::answer::{self, Answer};
use crate::api::Reply;
use crate::shapes::{Usage, event};

/// What a request comes to, whatever its interface.
#[derive(Debug)]
struct Turn {
    id: String,
    model: String,
    created: u64,
    stream: bool,
    include_usage: bool,
    usage: Usage,
    /// What is answered: a text, or a call of a tool.
    pieces: Vec<String>,
    tool: Option<String>,
    cut: bool,
}

impl Turn {
    /// Answers the last of `messages`, each a role and a content; `tool` is the first that there is.
    fn new(request: &Value, messages: &[(String, String)], tool: Option<String>, number: u64) -> Self {
        let (role, said) = messages.last().cloned().unwrap_or_default();
        let limits = ["max_tokens", "max_completion_tokens", "max_output_tokens"];
        let limit = limits.iter().find_map(|name| request[name].as_u64());
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit < CUT);
        let answer = Answer::to(&said, limit);
        let tool = tool.filter(|_| role == "user");
        let as_json = json!({"said": said}).to_string();
        let wants_json = request["response_format"]["type"].as_str().is_some_and(|kind| kind != "text")
            || request["text"]["format"]["type"].as_str().is_some_and(|kind| kind != "text")
            || request["output_config"]["format"].is_object();
        let pieces: Vec<String> = if tool.is_some() || wants_json {
            let (start, end) = as_json.split_at(as_json.len().min(8));
            vec![start.to_owned(), end.to_owned()]
        } else {
            answer.pieces().collect()
        };
        let prompt = messages.iter().map(|(_, text)| answer::tokens(text)).fold(0, usize::saturating_add);
        Self {
            id: format!("sim-{number}"),
            model: request["model"].as_str().unwrap_or_default().to_owned(),
            created: 0,
            stream: request["stream"] == true,
            include_usage: request["stream_options"]["include_usage"] == true,
            usage: Usage { prompt, completion: pieces.len() },
            cut: answer.finish_reason == "length" && tool.is_none(),
            pieces,
            tool,
        }
    }

    fn text(&self) -> String {
        self.pieces.concat()
    }

    fn arguments(&self) -> Value {
        serde_json::from_str(&self.text()).unwrap_or_default()
    }

    fn reply(&self, whole: Value, events: impl FnOnce() -> Vec<Bytes>) -> Reply {
        match self.stream {
            true => Reply::Stream { events: events(), usage: self.usage },
            false => Reply::Whole { status: StatusCode::OK, body: whole, usage: self.usage },
        }
    }
}

/// The model that a request names.
pub(crate) fn model_of(request: &Value) -> &str {
    request["model"].as_str().unwrap_or_default()
}

/// Whether a chat needs more than a text in answer.
pub(crate) fn is_special(chat: &Value) -> bool {
    !list(&chat["tools"]).is_empty() || chat["response_format"]["type"].is_string()
}

/// A chat with tools, or one that is answered in JSON.
pub(crate) fn chat(request: &Value, number: u64, created: u64) -> Reply {
    let messages = texts(list(&request["messages"]));
    let tool = request["tools"][0]["function"]["name"].as_str().map(str::to_owned);
    let turn = Turn { created, ..Turn::new(request, &messages, tool, number) };
    let id = format!("chatcmpl-{}", turn.id);
    let call = |arguments: &str| {
        json!({
            "index": 0, "id": format!("call_{}", turn.id), "type": "function",
            "function": {"name": turn.tool, "arguments": arguments},
        })
    };
    let reason = if turn.tool.is_some() { "tool_calls" } else { "stop" };
    let message = match &turn.tool {
        Some(_) => {
            json!({"role": "assistant", "content": null, "refusal": null, "tool_calls": [call(&turn.text())]})
        }
        None => json!({"role": "assistant", "content": turn.text(), "refusal": null}),
    };
    let Usage { prompt, completion } = turn.usage;
    let usage = json!({
        "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt.saturating_add(completion),
    });
    let envelope = |object: &str, choices: Value, usage: &Value| {
        json!({
            "id": id, "object": object, "created": turn.created, "model": turn.model, "choices": choices, "usage": usage,
        })
    };
    let whole = envelope(
        "chat.completion",
        json!([{"index": 0, "message": message, "logprobs": null, "finish_reason": reason}]),
        &usage,
    );
    turn.reply(whole, || {
        let chunk = |delta: Value, reason: Option<&str>| {
            let choice = json!({"index": 0, "delta": delta, "finish_reason": reason});
            envelope("chat.completion.chunk", json!([choice]), &Value::Null)
        };
        let mut chunks = vec![chunk(json!({"role": "assistant", "content": null}), None)];
        if turn.tool.is_some() {
            chunks.push(chunk(json!({"tool_calls": [call("")]}), None));
        }
        chunks.extend(turn.pieces.iter().map(|piece| match turn.tool {
            Some(_) => chunk(json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}), None),
            None => chunk(json!({"content": piece}), None),
        }));
        chunks.push(chunk(json!({}), Some(reason)));
        if turn.include_usage {
            chunks.push(envelope("chat.completion.chunk", json!([]), &usage));
        }
        chunks.iter().map(|chunk| event(&chunk.to_string())).chain([event("[DONE]")]).collect()
    })
}

/// Anthropic's messages.
pub(crate) fn messages(request: &Value, number: u64) -> Reply {
    let mut messages = vec![("system".to_owned(), text(&request["system"]))];
    messages.extend(texts(list(&request["messages"])));
    let tool = request["tools"][0]["name"].as_str().map(str::to_owned);
    let turn = Turn::new(request, &messages, tool, number);
    let block = match &turn.tool {
        Some(name) => {
            json!({"type": "tool_use", "id": format!("toolu_{}", turn.id), "name": name, "input": turn.arguments(),
                "caller": {"type": "direct"}})
        }
        None => json!({"type": "text", "text": turn.text(), "citations": null}),
    };
    let reason = match (&turn.tool, turn.cut) {
        (Some(_), _) => "tool_use",
        (None, true) => "max_tokens",
        (None, false) => "end_turn",
    };
    let message = |content: Value, reason: Value, output: usize| {
        json!({
            "id": format!("msg_{}", turn.id), "type": "message", "role": "assistant", "model": turn.model,
            "content": content, "stop_reason": reason, "stop_sequence": null, "stop_details": null, "container": null,
            "usage": {
                "input_tokens": turn.usage.prompt, "output_tokens": output, "output_tokens_details": null,
                "cache_creation": null, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
                "server_tool_use": null, "service_tier": "standard", "inference_geo": null,
            },
        })
    };
    turn.reply(message(json!([block]), reason.into(), turn.usage.completion), || {
        let mut start = block.clone();
        for (name, empty) in [("text", json!("")), ("input", json!({}))] {
            if start.get(name).is_some() {
                start[name] = empty;
            }
        }
        let delta = |piece: &String| match turn.tool {
            Some(_) => json!({"type": "input_json_delta", "partial_json": piece}),
            None => json!({"type": "text_delta", "text": piece}),
        };
        let deltas = turn
            .pieces
            .iter()
            .map(|piece| json!({"type": "content_block_delta", "index": 0, "delta": delta(piece)}));
        let end = json!({"stop_reason": reason, "stop_sequence": null});
        let events = [
            json!({"type": "message_start", "message": message(json!([]), Value::Null, 1)}),
            json!({"type": "content_block_start", "index": 0, "content_block": start}),
            json!({"type": "ping"}),
        ];
        let last = [
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "message_delta", "delta": end, "usage": {"output_tokens": turn.usage.completion}}),
            json!({"type": "message_stop"}),
        ];
        events.into_iter().chain(deltas).chain(last).map(|event| named(&event)).collect()
    })
}

/// How many tokens Anthropic would count.
pub(crate) fn count_tokens(request: &Value) -> Reply {
    let messages = texts(list(&request["messages"]));
    let count = messages.iter().map(|(_, text)| answer::tokens(text)).fold(0, usize::saturating_add);
    Reply::plain(StatusCode::OK, json!({"input_tokens": count}))
}

/// Gemini's `generateContent`, or `streamGenerateContent`.
pub(crate) fn gemini(model: &str, stream: bool, request: &Value, number: u64) -> Reply {
    let role = |content: &Value| match list(&content["parts"]).last() {
        Some(part) if part["functionResponse"].is_object() => "tool".to_owned(),
        _ => content["role"].as_str().unwrap_or_default().to_owned(),
    };
    let contents = list(&request["contents"]);
    let mut messages = vec![("system".to_owned(), text(&request["systemInstruction"]["parts"]))];
    messages.extend(contents.iter().map(|content| (role(content), text(&content["parts"]))));
    let tool = request["tools"][0]["functionDeclarations"][0]["name"].as_str().map(str::to_owned);
    let mut asked = json!({"model": model, "stream": stream});
    asked["max_tokens"] = request["generationConfig"]["maxOutputTokens"].clone();
    if request["generationConfig"]["responseMimeType"] == "application/json" {
        asked["response_format"] = json!({"type": "json_object"});
    }
    let turn = Turn::new(&asked, &messages, tool, number);
    let usage = json!({
        "promptTokenCount": turn.usage.prompt, "candidatesTokenCount": turn.usage.completion,
        "totalTokenCount": turn.usage.prompt.saturating_add(turn.usage.completion),
    });
    let answer = |part: Value, reason: Value, usage: &Value| {
        let mut candidate = json!({"content": {"role": "model", "parts": [part]}, "index": 0});
        if reason.is_string() {
            candidate["finishReason"] = reason;
        }
        let mut answer =
            json!({"candidates": [candidate], "modelVersion": turn.model, "responseId": turn.id});
        if usage.is_object() {
            answer["usageMetadata"] = usage.clone();
        }
        answer
    };
    let reason: Value = if turn.cut { "MAX_TOKENS".into() } else { "STOP".into() };
    let part = match &turn.tool {
        Some(name) => json!({"functionCall": {"name": name, "args": turn.arguments()}}),
        None => json!({"text": turn.text()}),
    };
    turn.reply(answer(part.clone(), reason.clone(), &usage), || {
        let pieces: Vec<Value> = match turn.tool {
            Some(_) => vec![part],
            None => turn.pieces.iter().map(|piece| json!({"text": piece})).collect(),
        };
        let parts = pieces.into_iter().map(|part| answer(part, Value::Null, &Value::Null));
        let last = answer(json!({"text": ""}), reason, &usage);
        parts.chain([last]).map(|answer| event(&answer.to_string())).collect()
    })
}

/// OpenAI's responses.
pub(crate) fn responses(request: &Value, number: u64) -> Reply {
    let mut messages = vec![("system".to_owned(), text(&request["instructions"]))];
    match &request["input"] {
        Value::String(said) => messages.push(("user".into(), said.clone())),
        items => messages.extend(list(items).iter().map(|item| match item["type"].as_str() {
            Some("function_call_output") => ("tool".to_owned(), text(&item["output"])),
            _ => (item["role"].as_str().unwrap_or_default().to_owned(), text(&item["content"])),
        })),
    }
    let tool = request["tools"][0]["name"].as_str().map(str::to_owned);
    let turn = Turn::new(request, &messages, tool, number);
    let item = |done: bool| match &turn.tool {
        Some(name) => json!({
            "id": format!("fc_{}", turn.id), "type": "function_call", "call_id": format!("call_{}", turn.id), "name": name,
            "arguments": if done { turn.text() } else { String::new() },
            "status": if done { "completed" } else { "in_progress" },
        }),
        None => {
            let part = json!({"type": "output_text", "text": turn.text(), "annotations": []});
            json!({
                "id": format!("msg_{}", turn.id), "type": "message", "role": "assistant",
                "status": if done { "completed" } else { "in_progress" },
                "content": if done { json!([part]) } else { json!([]) },
            })
        }
    };
    let Usage { prompt, completion } = turn.usage;
    let usage = json!({
        "input_tokens": prompt, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": prompt.saturating_add(completion),
    });
    let response = |status: &str, output: Value, usage: &Value| {
        json!({
            "id": format!("resp_{}", turn.id), "object": "response", "created_at": turn.created, "status": status,
            "model": turn.model, "output": output, "parallel_tool_calls": true, "tool_choice": "auto", "tools": [],
            "error": null, "incomplete_details": if turn.cut { json!({"reason": "max_output_tokens"}) } else { Value::Null },
            "usage": usage, "completed_at": if status == "completed" { json!(turn.created) } else { Value::Null },
            "previous_response_id": null, "instructions": null, "truncation": "disabled", "temperature": 1.0,
            "text": {"format": {"type": "text"}}, "top_p": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0,
            "top_logprobs": 0, "reasoning": null, "max_output_tokens": null, "max_tool_calls": null, "store": true,
            "background": false, "service_tier": "default", "metadata": {}, "safety_identifier": null,
            "prompt_cache_key": null,
        })
    };
    let status = if turn.cut { "incomplete" } else { "completed" };
    turn.reply(response(status, json!([item(true)]), &usage), || {
        let begun = response("in_progress", json!([]), &Value::Null);
        let mut events = vec![
            json!({"type": "response.created", "response": begun}),
            json!({"type": "response.output_item.added", "output_index": 0, "item": item(false)}),
        ];
        let id = item(false)["id"].clone();
        let part = json!({"type": "output_text", "text": "", "annotations": []});
        if turn.tool.is_none() {
            events.push(json!({
                "type": "response.content_part.added", "item_id": id, "output_index": 0, "content_index": 0, "part": part,
            }));
        }
        events.extend(turn.pieces.iter().map(|piece| match turn.tool {
            Some(_) => json!({
                "type": "response.function_call_arguments.delta", "item_id": id, "output_index": 0, "delta": piece,
            }),
            None => json!({
                "type": "response.output_text.delta", "item_id": id, "output_index": 0, "content_index": 0,
                "delta": piece, "logprobs": [],
            }),
        }));
        let ended = response(status, json!([item(true)]), &usage);
        events.extend([
            json!({"type": "response.output_item.done", "output_index": 0, "item": item(true)}),
            json!({"type": format!("response.{status}"), "response": ended}),
        ]);
        for (number, event) in events.iter_mut().enumerate() {
            event["sequence_number"] = number.into();
        }
        events.iter().map(named).collect()
    })
}

/// Each message's role and text; the role of a tool's result is `tool`.
fn texts(messages: &[Value]) -> Vec<(String, String)> {
    let role = |message: &Value| match list(&message["content"]).last() {
        Some(block) if block["type"] == "tool_result" => "tool".to_owned(),
        _ => message["role"].as_str().unwrap_or_default().to_owned(),
    };
    messages.iter().map(|message| (role(message), text(&message["content"]))).collect()
}

/// The text of a content, also where it is what a tool has answered.
fn text(content: &Value) -> String {
    let texts = list(content).iter().map(|part| match (&part["content"], &part["functionResponse"]) {
        (Value::Null, Value::Null) => answer::text_of(part),
        (Value::Null, result) => answer::text_of(&result["response"]["result"]),
        (inner, _) => answer::text_of(inner),
    });
    match content {
        Value::Array(_) => texts.collect::<Vec<_>>().join(" ").trim().to_owned(),
        one => answer::text_of(one),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// An event that is named by its type.
fn named(body: &Value) -> Bytes {
    let kind = body["type"].as_str().unwrap_or_default();
    Bytes::from(format!("event: {kind}\ndata: {body}\n\n"))
}

/// A limit from which on an answer is not filled up to it.
const CUT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn body(reply: Reply) -> Value {
        match reply {
            Reply::Whole { body, .. } => body,
            Reply::Stream { events, .. } => panic!("a stream: {events:?}"),
        }
    }

    fn stream(reply: Reply) -> String {
        match reply {
            Reply::Stream { events, .. } => {
                events.iter().map(|event| String::from_utf8_lossy(event).into_owned()).collect()
            }
            Reply::Whole { body, .. } => panic!("whole: {body}"),
        }
    }

    #[test]
    fn a_tool_is_called_with_what_was_said_and_its_answer_repeated() {
        let tools = json!([{"name": "look", "input_schema": {}}]);
        let asked = json!({"model": "m", "tools": tools, "messages": [{"role": "user", "content": "hi"}]});
        let called = body(messages(&asked, 1));
        assert_eq!(called["content"][0]["input"], json!({"said": "hi"}));
        let result =
            json!({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "rain"}]});
        let asked =
            json!({"model": "m", "tools": tools, "messages": [{"role": "user", "content": [result]}]});
        assert_eq!(body(messages(&asked, 1))["content"][0]["text"], "You said: rain");
    }

    #[test]
    fn every_interface_streams_the_same_words() {
        let said = json!([{"role": "user", "content": "hi"}]);
        let contents = json!([{"role": "user", "parts": [{"text": "hi"}]}]);
        for told in [
            stream(messages(&json!({"messages": said, "stream": true}), 1)),
            stream(responses(&json!({"input": said, "stream": true}), 1)),
            stream(gemini("m", true, &json!({"contents": contents}), 1)),
        ] {
            assert!(
                told.contains("\"You\"") && told.contains("\" said:\"") && told.contains("\" hi\""),
                "{told}"
            );
        }
    }

    #[test]
    fn a_chat_may_be_answered_in_json() {
        let asked = json!({"messages": [{"role": "user", "content": "hi"}], "response_format": {"type": "json_object"}});
        assert!(is_special(&asked));
        assert_eq!(body(chat(&asked, 1, 0))["choices"][0]["message"]["content"], r#"{"said":"hi"}"#);
    }
}
