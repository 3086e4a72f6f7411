mod calls;
mod converted;
mod eras;
mod methods;
mod scopes;
mod sessions;
mod several;
mod told;

use serde_json::{Value, json};
use weir_core::testing::Bench;
use weir_core::{Call, Effect, Filter, StreamId};

use super::*;

/// A server with a bit of everything, for everyone but `poor`, who may use `echo` only.
fn config() -> Value {
    let call = |path: &str| json!({"cluster": "logs", "authority": "api.example.com", "path": path});
    json!({"servers": [
        {
            "name": "logging-mcp", "path": "/logging-mcp/*", "origins": ["https://chat.example.com"],
            "request_bytes": 4096,
            "grants": [
                {"tools": ["*"], "consumers": ["team"]},
                {"tools": ["echo"]}
            ],
            "backend": {"orchestrator": {
                "server": {"name": "logging-mcp", "title": "Logs", "instructions": "Be kind."},
                "page_size": 4,
                "response_bytes": 1000,
                "tools": [
                    {
                        "name": "query-logs", "description": "Retrieve logs",
                        "args": [
                            {"name": "env", "default_value": "uat"},
                            {"name": "appid", "required": true},
                            {"name": "level", "enum_values": ["INFO", "ERROR"], "required": true}
                        ],
                        "request": call("/logging/query?env={{ .env }}&appid={{ .appid }}&level={{ .level }}")
                    },
                    {"name": "echo", "args": [{"name": "text"}], "response": "you said {{ .text }}"},
                    {
                        "name": "region", "args": [{"name": "region", "mcp_header": "Region"}],
                        "response": "{{ .region }}"
                    },
                    {
                        "name": "count", "request": call("/count"), "response": "{\"n\": {{ len(.items) }}}",
                        "output_schema": {"type": "object", "properties": {"n": {"type": "integer"}}},
                        "error": "said {{ .status }}: {{ .body.why }}", "timeout_ms": 2000
                    },
                    {
                        "name": "details", "args": [{"name": "app", "required": true}, {"name": "deep", "type": "bool"}],
                        "steps": [
                            {"name": "list", "request": call("/apps/{app}/nodes")},
                            {"name": "each", "each": "{{ .steps.list.ids }}", "request": call("/nodes/{{ .item }}")},
                            {"name": "owner", "request": call("/apps/{app}/owner"), "optional": true},
                            {"name": "deep", "when": "{{ .deep }}", "request": call("/deep/{{ .steps.owner.id }}")}
                        ],
                        "response": "{{ jsonify .steps }}"
                    }
                ],
                "resources": [
                    {"uri": "logs://levels", "name": "levels", "mime_type": "application/json", "text": "[1]"},
                    {
                        "uri_template": "logs://app/{appid}", "name": "app", "request": call("/apps/{appid}"),
                        "variables": [{"name": "appid", "enum_values": ["search", "sea", "video"]}]
                    }
                ],
                "prompts": [{
                    "name": "triage", "description": "d",
                    "arguments": [{"name": "appid", "required": true, "enum_values": ["video"]}, {"name": "note"}],
                    "messages": [{"role": "user", "text": "Look at {{ .appid }}{{ .note }}"}]
                }]
            }}
        },
        {
            "name": "other", "domain": "finance", "path": "/finance-mcp",
            "backend": {"orchestrator": {"server": {"name": "other"}}}
        }
    ]})
}

/// A request of `team` on the domain `video`.
struct Request {
    bench: Bench,
    stream: McpStream,
}

/// What a request has led to.
#[derive(Debug)]
struct Seen {
    flow: Flow,
    calls: Vec<Call>,
    outcome: Option<String>,
}

impl Request {
    fn new() -> Self {
        Self::of("team")
    }

    fn of(consumer: &str) -> Self {
        Self::with(consumer, config())
    }

    fn with(consumer: &str, config: Value) -> Self {
        let bench = Bench::default();
        bench.state.borrow_mut().insert(state::GRANT.into(), b"video\n*".to_vec());
        bench.state.borrow_mut().insert(state::CONSUMER.into(), consumer.as_bytes().to_vec());
        let filter = Rc::new(Mcp::new(serde_json::from_value(config).unwrap()).unwrap());
        Self { bench, stream: filter.stream(StreamId(1)) }
    }

    fn head(&mut self, method: &str, path: &str, more: &[(&str, &str)]) -> Seen {
        let fields = [&[(":method", method), (":path", path)], more].concat();
        let head = Head::new(&fields, method != "POST");
        Seen::of(self.bench.run(|cx| self.stream.on_request_head(cx, &head)))
    }

    fn body(&mut self, chunk: &str, end: bool) -> Seen {
        Seen::of(self.bench.run(|cx| self.stream.on_request_body(cx, chunk.as_bytes(), end)))
    }

    /// Posts a body.
    fn post(&mut self, body: &str, more: &[(&str, &str)]) -> Seen {
        let json = [&[("content-type", "application/json")], more].concat();
        let held = self.head("POST", "/logging-mcp", &json);
        if held.flow != Flow::Wait {
            return held;
        }
        self.body(body, true)
    }

    /// The answer of an API to a call.
    fn answers(&mut self, call: u32, status: u16, body: &str) -> Seen {
        self.called(call, status, "application/json", body.as_bytes())
    }

    fn called(&mut self, call: u32, status: u16, media: &str, body: &[u8]) -> Seen {
        let fields = [("content-type", media)];
        let head = Head::new(&fields, false);
        let answer = Answer { status, head: &head, body };
        Seen::of(self.bench.run(|cx| self.stream.on_call_done(cx, CallId(call), Ok(answer))))
    }

    fn fails(&mut self, call: u32, error: CallError) -> Seen {
        Seen::of(self.bench.run(|cx| self.stream.on_call_done(cx, CallId(call), Err(error))))
    }
}

impl Seen {
    fn of((flow, effects): (Flow, Vec<Effect>)) -> Self {
        let mut seen = Self { flow, calls: Vec::new(), outcome: None };
        for effect in effects {
            match effect {
                Effect::Call(call) => seen.calls.push(call),
                Effect::Publish(state::MCP_OUTCOME, kinds) => seen.outcome = Some(kinds),
                _ => {}
            }
        }
        seen
    }

    /// The status and the body.
    fn text(&self) -> (u16, String) {
        let Flow::Reply(reply) = &self.flow else { panic!("{self:?} is no reply") };
        (reply.status, String::from_utf8(reply.body.to_vec()).unwrap())
    }

    fn json(&self) -> (u16, Value) {
        let (status, text) = self.text();
        (status, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
    }

    fn result(&self) -> Value {
        let (status, mut json) = self.json();
        assert_eq!(status, 200, "{json}");
        json["result"].take()
    }

    /// The status and the code of the error.
    fn error(&self) -> (u16, i64) {
        let (status, json) = self.json();
        (status, json["error"]["code"].as_i64().unwrap_or_else(|| panic!("{json}")))
    }

    fn paths(&self) -> Vec<&str> {
        let path = |call: &'_ Call| call.headers.iter().position(|(name, _)| name == ":path");
        self.calls.iter().map(|call| call.headers[path(call).unwrap()].1.as_str()).collect()
    }
}

/// A legacy request.
fn request(method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string()
}

/// A request of 2026-07-28.
fn modern(method: &str, mut params: Value) -> String {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {}
    });
    request(method, &params)
}

const LATEST: (&str, &str) = ("mcp-protocol-version", "2026-07-28");
