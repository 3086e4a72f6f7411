"""MCP servers made of REST calls, and one behind the gateway: the official client, every revision by hand, APIs that
misbehave."""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import anyio
import httpx
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from harness.gateway import Gateway, key
from harness.process import Process, free_port, until

KEY, POOR_KEY = "wk-mcp-team-3f", "wk-mcp-poor-90"
SECRET = "lk-logging-77d2"


def article(api):
    """The logging service of the article, at another host."""
    url = f"{api.url}/logging/query?env={{{{ .env }}}}&appid={{{{ .appid }}}}&level={{{{ .level }}}}&keyword={{{{ .keyword }}}}"
    query = {"type": "string", "required": True, "position": "query"}
    return {
        "name": "query-logs",
        "description": "Retrieve logs for a given environment and app ID",
        "args": [
            {"name": "env", "description": "Deployment environment", "type": "string", "default_value": "uat", "position": "query"},
            {"name": "appid", **query},
            {"name": "level", "enum_values": ["DEBUG", "INFO", "WARN", "ERROR"], **query},
            {"name": "keyword", **query},
        ],
        "request_template": {"upstream": {"url": url}, "method": "GET"},
        "response_template": {"body": "{{ . }}"},
    }


def tool(name, api, path, args=(), **more):
    return {"name": name, "args": list(args), "request_template": {"url": api.url + path}, **more}


def config(api):
    number = {"name": "seconds", "type": "number", "required": True}
    tools = [
        article(api),
        tool("slow", api, "/slow?seconds={{ .seconds }}", [number], timeout="2s"),
        tool("big", api, "/big?bytes={{ .bytes }}", [{"name": "bytes", "type": "integer"}]),
        tool("reset", api, "/reset"),
        tool("latin", api, "/latin"),
        tool("image", api, "/image"),
        tool("status", api, "/status?code={{ .code }}", [{"name": "code", "type": "integer"}]),
        tool("closed", api, "/x", request_template={"url": "http://127.0.0.1:1/x"}),
        tool("limited", api, "/limited"),
        {
            "name": "report",
            "args": [{"name": "app", "required": True}],
            "steps": [
                {"name": "nodes", "request_template": {"url": f"{api.url}/apps/{{app}}/nodes"}},
                {"name": "owner", "request_template": {"url": f"{api.url}/owner?of={{{{ .steps.nodes.path }}}}"}},
            ],
            "response_template": {"body": "{{ .steps.owner.query | jsonify }}"},
        },
    ]
    server = {
        "server": {"name": "logging-mcp", "instructions": "Ask for logs."},
        "auth": {"type": "api_key", "header": "x-log-key", "secret": "logs"},
        "tools": tools,
        "resources": [
            {"uri": "logs://levels", "name": "levels", "mime_type": "application/json", "text": '["INFO"]'},
            {"uri_template": "logs://app/{appid}", "name": "app", "request_template": {"url": api.url + "/apps/{appid}"}},
        ],
        "prompts": [{"name": "triage", "arguments": [{"name": "appid", "required": True}], "messages": [{"role": "user", "text": "Look at {{ .appid }}"}]}],
    }
    options = {
        "@type": "type.googleapis.com/infra.gateway.middleware.llm.v1.contrib.MCPServerConfig",
        "apiOrchestrator": server,
        "origins": ["https://chat.example.com"],
        "grants": [{"tools": ["*"], "labels": {"tier": "gold"}}, {"tools": ["image"], "consumers": ["poor"]}],
    }
    return {
        "gateway": {"name": "mcp"},
        "secrets": {"logs": {"env": "LOG_KEY"}},
        "consumers": [{"name": "team", "labels": {"tier": "gold"}}, {"name": "poor"}],
        "keys": [key(KEY, "team-1", consumer="team"), key(POOR_KEY, "poor-1", consumer="poor")],
        "quotas": [{"name": "slow-calls", "match": {"mcp_server": "logging-mcp", "tool": "limited"}, "per": ["consumer"], "limits": {"rpm": 2}}],
        "routes": [
            {"path": "/logging-mcp/*", "protocol": "HTTP", "timeout": "300s", "middlewares": [{"name": "v1_mcp_server", "options": options}]},
        ],
    }


@pytest.fixture(scope="module")
def mcp(api, logs, gateways):
    gateways.append(Gateway(logs / "mcp", config(api), {"LOG_KEY": SECRET}))
    return gateways[-1]


@pytest.fixture(scope="module")
def http(mcp):
    with httpx.Client(base_url=f"http://127.0.0.1:{mcp.port}", headers={"authorization": f"Bearer {KEY}"}, timeout=15) as client:
        yield client


def rpc(http, method, params=None, headers=None, path="/logging-mcp"):
    message = {"jsonrpc": "2.0", "id": 1, "method": method, **({"params": params} if params is not None else {})}
    return http.post(path, json=message, headers=headers)


def call(http, name, **arguments):
    answer = rpc(http, "tools/call", {"name": name, "arguments": arguments})
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


def failure(result):
    assert result["isError"], result
    return result["content"][0]["text"]


@pytest.mark.parametrize("mode", ["legacy", "auto", "2026-07-28"])
def test_the_official_client_lists_and_calls(mcp, api, mode):
    async def run():
        url = f"http://127.0.0.1:{mcp.port}/logging-mcp"
        async with httpx_client() as http_client:
            async with Client(streamable_http_client(url, http_client=http_client), mode=mode) as client:
                tools = await client.list_tools()
                args = {"appid": "a&b", "level": "ERROR", "keyword": "你好 {{ .env }}"}
                called = await client.call_tool("query-logs", args)
                wrong = await client.call_tool("query-logs", {"appid": "x", "level": "TRACE"})
                prompt = await client.get_prompt("triage", {"appid": "video"})
                resource = await client.read_resource("logs://app/video")
                return tools, called, wrong, prompt, resource

    tools, called, wrong, prompt, resource = anyio.run(run)
    assert [tool.name for tool in tools.tools][:2] == ["query-logs", "slow"]
    assert json.loads(called.content[0].text)["query"] == [["env", "uat"], ["appid", "a&b"], ["level", "ERROR"], ["keyword", "你好 {{ .env }}"]]
    assert '"level" must be one of DEBUG, INFO, WARN, ERROR (got "TRACE"); "keyword" is required' in wrong.content[0].text
    assert prompt.messages[0].content.text == "Look at video"
    assert json.loads(resource.contents[0].text)["path"] == "/apps/video"


def httpx_client():
    import httpx2

    return httpx2.AsyncClient(headers={"authorization": f"Bearer {KEY}"}, timeout=15)


def test_only_the_upstreams_own_credential_reaches_it(http, api):
    api.requests.clear()
    rpc(http, "tools/call", {"name": "query-logs", "arguments": {"appid": "a", "level": "INFO", "keyword": "k"}}, {"cookie": "a=b", "x-log-key": "forged"})
    headers = api.requests[-1]["headers"]
    assert headers["x-log-key"] == SECRET
    assert not {"authorization", "cookie", "x-forwarded-for"} & set(headers), headers


def test_an_api_that_misbehaves_is_an_error_result_and_the_filter_lives(http, mcp):
    started = time.monotonic()
    assert failure(call(http, "slow", seconds=10)) == "timed out after 2 s"
    assert time.monotonic() - started < 6
    assert failure(call(http, "big", bytes=2 * 1024 * 1024)).startswith("the answer is larger than 1048576 bytes")
    assert "too large" in failure(call(http, "big", bytes=40 * 1024 * 1024))
    assert failure(call(http, "reset")).startswith("the API")
    assert failure(call(http, "latin")) == "the answer is not text in UTF-8"
    assert failure(call(http, "closed")) == "the API could not be reached"
    assert failure(call(http, "status", code=503)) == "HTTP 503: the reason"
    assert call(http, "image")["content"] == [{"type": "image", "data": "iVBORw==", "mimeType": "image/png"}]
    assert mcp.filter_failures() == {}


def test_calls_at_once_take_as_long_as_the_slowest(http):
    started = time.monotonic()
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda seconds: call(http, "slow", seconds=seconds), [1, 1, 0.1]))
    assert [result["content"][0]["text"] for result in results] == ['"slept"'] * 3
    assert time.monotonic() - started < 1.8


def test_a_step_uses_what_another_was_answered(http):
    result = call(http, "report", app="a/b")
    assert json.loads(result["content"][0]["text"]) == [["of", "/apps/a%2Fb/nodes"]]


def test_a_caller_without_a_key_or_a_grant_gets_nothing(http):
    with httpx.Client(base_url=http.base_url, timeout=15) as stranger:
        assert rpc(stranger, "tools/list").status_code == 401
        poor = {"authorization": f"Bearer {POOR_KEY}"}
        listed = rpc(stranger, "tools/list", headers=poor).json()["result"]["tools"]
        assert [tool["name"] for tool in listed] == ["image"]
        denied = rpc(stranger, "tools/call", {"name": "status", "arguments": {"code": 200}}, poor)
        assert denied.json()["error"] == {"code": -32602, "message": "Unknown tool: status"}


def test_a_quota_counts_tool_calls_and_nothing_else(http, mcp):
    for _ in range(5):
        assert rpc(http, "tools/list").status_code == 200
        assert rpc(http, "tools/call", {"name": "image"}).status_code == 200
    statuses = [rpc(http, "tools/call", {"name": "limited"}).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    told = '"mcp_outcome":"ok","mcp_server":"logging-mcp","mcp_tool":"limited"'
    until(lambda: told in mcp.access_log(), "the access log has the call", 20)


def test_a_body_that_is_too_large_is_refused(http):
    headers = {"content-type": "application/json"}
    assert http.post("/logging-mcp", content=b" " * 70_000, headers=headers).status_code == 413


# A server behind the gateway: the official one of Python.


@pytest.fixture(scope="module")
def behind(logs):
    """An MCP server with three tools, one of which tells of its progress while it runs."""
    port = free_port()
    script = logs / "behind.py"
    script.write_text(BEHIND)
    server = Process("behind", [sys.executable, str(script), str(port)], logs)
    until(lambda: _listens(port), "the server behind listens")
    yield f"http://127.0.0.1:{port}"
    server.stop()


BEHIND = """
import asyncio, sys
from mcp.server import MCPServer
from mcp.server.mcpserver import Context

server = MCPServer("behind")

@server.tool()
def add(a: int, b: int) -> int:
    return a + b

@server.tool()
def drop_all() -> str:
    return "gone"

@server.tool()
async def count(context: Context) -> str:
    for n in range(3):
        await context.report_progress(n, 3)
        await asyncio.sleep(0.3)
    return "counted"

server.run(transport="streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
"""


def _listens(port):
    try:
        return httpx.get(f"http://127.0.0.1:{port}/mcp", timeout=1).status_code > 0
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def proxied(behind, logs, gateways):
    proxy = {"name": "behind-mcp", "upstreams": [{"url": behind}], "deny_tools": ["drop_*"]}
    options = {"proxy": proxy, "grants": [{"tools": ["*"], "consumers": ["team"]}, {"tools": ["add"], "consumers": ["poor"]}]}
    config = {
        "consumers": [{"name": "team"}, {"name": "poor"}],
        "keys": [key(KEY, "team-1", consumer="team"), key(POOR_KEY, "poor-1", consumer="poor")],
        "routes": [{"path": "/behind", "middlewares": [{"name": "v1_mcp_server", "options": options}]}],
    }
    gateways.append(Gateway(logs / "proxied", config))
    return gateways[-1]


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_a_server_behind_the_gateway_is_used_as_if_it_were_in_front(proxied, mode):
    seen = []

    async def on_progress(progress, total, message):
        seen.append((progress, time.monotonic()))

    async def run():
        url = f"http://127.0.0.1:{proxied.port}/behind"
        async with httpx_client() as http_client:
            async with Client(streamable_http_client(url, http_client=http_client), mode=mode) as client:
                tools = await client.list_tools()
                added = await client.call_tool("add", {"a": 2, "b": 3})
                counted = await client.call_tool("count", {}, progress_callback=on_progress)
                return [tool.name for tool in tools.tools], added.content[0].text, counted.content[0].text

    assert anyio.run(run) == (["add", "count"], "5", "counted")
    assert [progress for progress, _ in seen] == [0, 1, 2]
    assert seen[-1][1] - seen[0][1] > 0.3, "progress arrives as it is made"


def test_what_a_caller_may_not_use_behind_the_gateway_is_not_there(proxied):
    with httpx.Client(base_url=f"http://127.0.0.1:{proxied.port}", timeout=15) as stranger:
        both = {"accept": "application/json, text/event-stream"}
        headers = both | {"authorization": f"Bearer {POOR_KEY}"}
        for name, bearer in [("count", POOR_KEY), ("drop_all", KEY)]:
            denied = rpc(stranger, "tools/call", {"name": name}, both | {"authorization": f"Bearer {bearer}"}, "/behind")
            assert denied.json()["error"]["message"] == "Unknown tool"
        initialize = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        begun = rpc(stranger, "initialize", initialize, headers, "/behind")
        session = {"mcp-session-id": begun.headers["mcp-session-id"], "mcp-protocol-version": "2025-06-18"}
        listed = rpc(stranger, "tools/list", {}, headers | session, "/behind").text
        assert '"add"' in listed and '"count"' not in listed and '"drop_all"' not in listed
        stolen = rpc(stranger, "tools/list", {}, both | session | {"authorization": f"Bearer {KEY}"}, "/behind")
        assert stolen.status_code == 404
