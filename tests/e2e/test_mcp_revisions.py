"""What each revision of MCP requires of a server over HTTP, row by row, by hand and through the real Envoy."""

import json
from dataclasses import dataclass, field

import httpx
import pytest

from harness.gateway import Gateway, key

KEY = "wk-revisions-7c"
SESSIONS = ["2025-03-26", "2025-06-18", "2025-11-25"]
MODERN = "2026-07-28"
META = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
CLIENT = {"capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}


@pytest.fixture(scope="module")
def http(logs, gateways):
    tools = [
        {"name": "say", "title": "Say", "annotations": {"read_only_hint": True}, "args": [{"name": "text", "required": True}], "response_template": {"body": "{{ .text }}"}},
        {"name": "region", "args": [{"name": "region", "mcp_header": "Region"}], "response_template": {"body": "{{ .region }}"}},
        {"name": "list", "response_template": {"body": "[1]"}, "output_schema": {"type": "array"}},
    ]
    server = {
        "server": {"name": "rows", "title": "Rows"},
        "tools": tools,
        "resources": [{"uri": "rows://one", "name": "one", "text": "1"}],
        "prompts": [{"name": "ask", "messages": [{"role": "user", "text": "?"}]}],
    }
    options = {"apiOrchestrator": server, "origins": ["https://chat.example.com"]}
    routes = [{"path": "/rows/*", "middlewares": [{"name": "v1_mcp_server", "options": options}]}]
    gateway = Gateway(logs / "revisions", {"keys": [key(KEY, "rows")], "routes": routes})
    gateways.append(gateway)
    with httpx.Client(base_url=f"http://127.0.0.1:{gateway.port}", headers={"authorization": f"Bearer {KEY}"}, timeout=15) as client:
        yield client


@dataclass
class Row:
    """A request, for some revisions, and what must come of it."""

    says: str
    versions: list
    method: str = ""
    params: dict = field(default_factory=dict)
    # In place of a message of this method: any body.
    body: object = None
    http: str = "POST"
    path: str = "/rows"
    headers: dict = field(default_factory=dict)
    # Header fields of the protocol that are left out, or said otherwise.
    without: tuple = ()
    status: int = 200
    code: int = None
    result: object = None
    # What is asked of the answer beyond.
    also: object = lambda answer: True

    def send(self, http, version):
        headers = {} if version == "2024-11-05" else {"mcp-protocol-version": version}
        params = dict(self.params)
        if version == MODERN:
            headers["mcp-method"] = self.method
            if name := params.get("name") or params.get("uri"):
                headers["mcp-name"] = name
            params.setdefault("_meta", META)
        headers = {name: value for name, value in headers.items() if name not in self.without} | self.headers
        if self.http != "POST":
            return http.request(self.http, self.path, headers=headers)
        body = self.body if self.body is not None else {"jsonrpc": "2.0", "id": 7, "method": self.method, "params": params}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return http.post(self.path, content=content, headers={"content-type": "application/json", **headers})


def result(answer):
    return answer.json()["result"]


def tool(answer, name):
    return next(tool for tool in result(answer)["tools"] if tool["name"] == name)


def call(name, **arguments):
    return {"method": "tools/call", "params": {"name": name, "arguments": arguments}}


def batch(*messages):
    return [{"jsonrpc": "2.0", **message} for message in messages]


OLD = ["2024-11-05", *SESSIONS]
ALL = [*OLD, MODERN]
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}

ROWS = [
    # HTTP transport
    Row("a message is answered in JSON", ALL, **call("say", text="hi"), also=lambda a: a.headers["content-type"] == "application/json"),
    Row("the endpoint has three spellings", ALL, **call("say", text="hi"), path="/rows/mcp"),
    Row("and a slash", ALL, **call("say", text="hi"), path="/rows/"),
    Row("another path is none", ALL, **call("say", text="hi"), path="/rows/other", status=404),
    Row("DELETE ends no session", ALL, http="DELETE", status=405, also=lambda a: a.headers["allow"] == "POST"),
    Row("a body of another type is refused", ALL, "ping", body=b"{}", headers={"content-type": "text/plain"}, status=415),
    # Notifications and answers of a client
    Row("a notification is accepted without a body", OLD, body=batch({"method": "notifications/initialized"})[0], status=202, also=lambda a: a.content == b""),
    Row("so is a cancellation", OLD, body=batch({"method": "notifications/cancelled", "params": {"requestId": 7}})[0], status=202),
    Row("so is an answer", ALL, body=batch({"id": 1, "result": {}})[0], status=202, also=lambda a: a.content == b""),
    # Batches
    Row("a batch is answered as one", ["2025-03-26"], body=batch(PING, {"method": "notifications/x"}, PING | {"id": 2}), also=lambda a: [one["id"] for one in a.json()] == [1, 2]),
    Row("one of notifications is accepted", ["2025-03-26"], body=batch({"method": "notifications/x"}), status=202),
    Row("initialize is in none", ["2025-03-26"], body=batch({"id": 1, "method": "initialize"}), also=lambda a: a.json()[0]["error"]["code"] == -32600),
    Row("later there are no batches", ["2025-06-18", "2025-11-25", MODERN], "ping", body=batch(PING), status=400, code=-32600),
    # Sessions
    *(
        Row("a session begins without an id", [version], "initialize", {"protocolVersion": version, **CLIENT}, without=("mcp-protocol-version",),
            also=lambda a, version=version: result(a)["protocolVersion"] == version and "mcp-session-id" not in a.headers)
        for version in OLD
    ),
    Row("another id of a session changes nothing", ALL, **call("say", text="hi"), headers={"mcp-session-id": "x", "last-event-id": "9"}, also=lambda a: "mcp-session-id" not in a.headers),
    # Revisions
    Row("an unknown revision is answered with the newest that has sessions", ["2025-11-25"], "initialize", {"protocolVersion": "2030-01-01", **CLIENT}, also=lambda a: result(a)["protocolVersion"] == "2025-11-25"),
    Row("a request without revision is one of 2025-03-26", ["2025-03-26"], body=batch(PING), without=("mcp-protocol-version",)),
    Row("an unsupported revision is refused", SESSIONS, "ping", headers={"mcp-protocol-version": "1999-01-01"}, status=400),
    Row("2026 says which there are", [MODERN], "tools/list", {"_meta": META | {"io.modelcontextprotocol/protocolVersion": "2030-01-01"}}, headers={"mcp-protocol-version": "2030-01-01"},
        status=400, code=-32022, also=lambda a: a.json()["error"]["data"] == {"supported": [MODERN, "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"], "requested": "2030-01-01"}),
    Row("header and body name one revision", [MODERN], "tools/list", headers={"mcp-protocol-version": "2025-11-25"}, status=400, code=-32020),
    Row("the header is not left out", [MODERN], "tools/list", without=("mcp-protocol-version",), status=400, code=-32020),
    Row("nor are the client's capabilities", [MODERN], "tools/list", {"_meta": {"io.modelcontextprotocol/protocolVersion": MODERN}}, status=400, code=-32602),
    # Mirrored headers
    Row("the method is repeated", [MODERN], "tools/list", without=("mcp-method",), status=400, code=-32020),
    Row("and is the same", [MODERN], "tools/list", headers={"mcp-method": "prompts/list"}, status=400, code=-32020),
    Row("the name is repeated", [MODERN], **call("say", text="hi"), without=("mcp-name",), status=400, code=-32020),
    Row("and may be encoded", [MODERN], **call("say", text="hi"), headers={"mcp-name": "=?base64?c2F5?="}),
    Row("and is the same", [MODERN], **call("say", text="hi"), headers={"mcp-name": "region"}, status=400, code=-32020),
    Row("an argument is repeated", [MODERN], **call("region", region="你好"), headers={"mcp-param-region": "=?base64?5L2g5aW9?="}),
    Row("and is the same", [MODERN], **call("region", region="eu"), headers={"mcp-param-region": "us"}, status=400, code=-32020),
    Row("and is not left out", [MODERN], **call("region", region="eu"), status=400, code=-32020),
    Row("older clients repeat nothing", OLD, **call("region", region="eu")),
    # Origin
    Row("a page of elsewhere may not call", ALL, **call("say", text="hi"), headers={"origin": "https://evil.example"}, status=403),
    Row("one that is named may", ALL, **call("say", text="hi"), headers={"origin": "https://chat.example.com"}),
    # Lifecycle, ping, logging
    Row("there is server/discover", [MODERN], "server/discover", also=lambda a: result(a)["supportedVersions"][0] == MODERN and result(a)["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "rows"),
    Row("and was not before", OLD, "server/discover", code=-32601),
    Row("initialize is gone", [MODERN], "initialize", {"protocolVersion": MODERN, **CLIENT}, status=404, code=-32601),
    Row("ping is answered", OLD, "ping", result={}),
    Row("ping is gone", [MODERN], "ping", status=404, code=-32601),
    Row("logging is not offered", OLD, "logging/setLevel", {"level": "info"}, code=-32601),
    Row("nor later", [MODERN], "logging/setLevel", {"level": "info"}, status=404, code=-32601),
    Row("resources are not watched", OLD, "resources/subscribe", {"uri": "rows://one"}, code=-32601),
    # Results
    Row("tools have titles and hints", ALL, "tools/list", also=lambda a: tool(a, "say")["title"] == "Say" and tool(a, "say")["annotations"]["readOnlyHint"] is True),
    Row("a header field is asked for", [MODERN], "tools/list", also=lambda a: tool(a, "region")["inputSchema"]["properties"]["region"]["x-mcp-header"] == "Region"),
    Row("and not of older clients", OLD, "tools/list", also=lambda a: "x-mcp-header" not in a.text),
    Row("every result has its type", [MODERN], **call("say", text="hi"), also=lambda a: result(a)["resultType"] == "complete"),
    Row("and had none before", OLD, **call("say", text="hi"), also=lambda a: "resultType" not in a.text),
    *(
        Row(f"{method} says how long it may be kept", [MODERN], method, params, also=lambda a: result(a)["ttlMs"] >= 0 and result(a)["cacheScope"] == "private")
        for method, params in [("server/discover", {}), ("tools/list", {}), ("prompts/list", {}), ("resources/list", {}), ("resources/templates/list", {}), ("resources/read", {"uri": "rows://one"})]
    ),
    Row("structured content is anything", [MODERN], **call("list"), also=lambda a: result(a)["structuredContent"] == [1]),
    Row("and was an object before", OLD, **call("list"), also=lambda a: "structuredContent" not in result(a)),
    # Errors
    Row("wrong arguments are a result", ALL, **call("say", text=[]), also=lambda a: result(a)["isError"] and "text" in result(a)["content"][0]["text"]),
    Row("an unknown tool is an error", OLD, **call("nope"), code=-32602),
    Row("also in 2026", [MODERN], **call("nope"), status=400, code=-32602),
    Row("an unknown resource has a code", OLD, "resources/read", {"uri": "rows://no"}, code=-32002),
    Row("which is gone", [MODERN], "resources/read", {"uri": "rows://no"}, status=400, code=-32602),
    Row("an unknown method", OLD, "nope", code=-32601),
    Row("is 404 in 2026", [MODERN], "nope", status=404, code=-32601),
    Row("a bad cursor is refused", OLD, "tools/list", {"cursor": "x"}, code=-32602),
    Row("what is no JSON has no id", ALL, body=b"{", status=400, code=-32700, also=lambda a: a.json()["id"] is None),
    Row("an id is no fraction", ALL, body=b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', status=400, code=-32600),
    Row("an id is not null", ALL, body=b'{"jsonrpc":"2.0","id":null,"method":"ping"}', status=400, code=-32600),
    # Authorization
    Row("without a key nobody is served", ALL, **call("say", text="hi"), headers={"authorization": "Bearer no"}, status=401, also=lambda a: a.headers["www-authenticate"].startswith("Bearer")),
]


def test_every_row_holds_for_each_of_its_revisions(http):
    wrong = []
    for row in ROWS:
        for version in row.versions:
            answer = row.send(http, version)
            is_json = answer.headers.get("content-type", "").startswith("application/json") and row.http == "POST"
            body = answer.json() if is_json and answer.content else None
            code = body.get("error", {}).get("code") if isinstance(body, dict) else None
            code = None if row.code is None and row.status != 200 else code
            as_told = (answer.status_code, code) == (row.status, row.code) and row.also(answer)
            if not as_told or (row.result is not None and body["result"] != row.result):
                wrong.append(f"{row.says} ({version}): {answer.status_code} {answer.text[:300]}")
    assert wrong == []


def test_streams_are_those_of_their_revision(http):
    both = {"accept": "application/json, text/event-stream"}

    def events(answer):
        for line in answer.iter_lines():
            if line.startswith(("event:", "data:")):
                yield line.partition(":")[2].strip()

    # Sessions have a stream of what the server says unasked.
    for version in SESSIONS:
        with http.stream("GET", "/rows", headers={"accept": "text/event-stream", "mcp-protocol-version": version}) as answer:
            assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
    # 2024-11-05 has one that names where messages go.
    with http.stream("GET", "/rows/sse", headers={"accept": "text/event-stream"}) as answer:
        lines = events(answer)
        assert next(lines) == "endpoint" and next(lines).startswith("/rows/message?session_id=")
    # 2026-07-28 asks for one, and its first message says what it will tell.
    listen = Row("", [MODERN], "subscriptions/listen", {"notifications": {"toolsListChanged": True}})
    body = {"jsonrpc": "2.0", "id": "l", "method": listen.method, "params": {**listen.params, "_meta": META}}
    headers = both | {"mcp-protocol-version": MODERN, "mcp-method": listen.method}
    with http.stream("POST", "/rows", json=body, headers=headers) as answer:
        told = next(json.loads(line) for line in events(answer) if line.startswith("{"))
    assert (answer.status_code, told["method"]) == (200, "notifications/subscriptions/acknowledged")
    assert told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == "l"
    refused = http.get("/rows", headers={"accept": "text/event-stream", "mcp-protocol-version": MODERN})
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
