"""The streams of MCP that no filter can hold: the transport of 2024-11-05, and word of changes."""

import json
import os
import time

import anyio
import httpx
import pytest
import yaml
from mcp import ClientSession
from mcp.client.sse import sse_client

from harness.gateway import Gateway, key, weir

KEY, OTHER_KEY = "wk-hub-team-4e", "wk-hub-other-5a"
LISTEN = {
    "jsonrpc": "2.0",
    "id": "l-1",
    "method": "subscriptions/listen",
    "params": {
        "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}},
        "notifications": {"toolsListChanged": True},
    },
}
MODERN = {"mcp-protocol-version": "2026-07-28", "mcp-method": "subscriptions/listen"}


def tools(api, *names):
    number = {"name": "seconds", "type": "number", "required": True}
    return [{"name": name, "args": [number], "request_template": {"url": api.url + "/slow?seconds={{ .seconds }}"}} for name in names]


def routes(api, *names):
    options = {
        "@type": "type.googleapis.com/infra.gateway.middleware.llm.v1.contrib.MCPServerConfig",
        "apiOrchestrator": {"server": {"name": "slow-mcp"}, "tools": tools(api, *names)},
    }
    return [{"path": "/slow-mcp/*", "middlewares": [{"name": "v1_mcp_server", "options": options}]}]


@pytest.fixture(scope="module")
def hub(api, logs, gateways):
    config = {
        "keys": [key(KEY, "team"), key(OTHER_KEY, "other")],
        "quotas": [{"name": "calls", "per": ["key"], "limits": {"rpm": 1000}}],
        "routes": routes(api, "sleep"),
    }
    gateways.append(Gateway(logs / "hub", config))
    return gateways[-1]


def headers(secret=KEY):
    return {"authorization": f"Bearer {secret}"}


def client(hub, secret=KEY):
    return httpx.Client(base_url=f"http://127.0.0.1:{hub.port}", headers=headers(secret), timeout=20)


def events(response):
    """The data of a stream's events, with their names."""
    name = None
    for line in response.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, line.removeprefix("data: ")


def test_the_official_client_of_the_old_transport_calls_several_tools_at_once(hub, api):
    async def run():
        took = {}
        async with sse_client(f"http://127.0.0.1:{hub.port}/slow-mcp/sse", headers=headers()) as streams:
            async with ClientSession(*streams) as session:
                await session.initialize()
                listed = await session.list_tools()
                started = time.monotonic()

                async def call(seconds):
                    result = await session.call_tool("sleep", {"seconds": seconds})
                    took[seconds] = (time.monotonic() - started, result.content[0].text)

                async with anyio.create_task_group() as group:
                    for seconds in (1, 1.01, 0.1):
                        group.start_soon(call, seconds)
        return listed, took

    listed, took = anyio.run(run)
    assert [tool.name for tool in listed.tools] == ["sleep"]
    assert {text for _, text in took.values()} == {'"slept"'}
    # The slowest takes a second; one after the other they would take two.
    assert max(seconds for seconds, _ in took.values()) < 1.9 and took[0.1][0] < 0.9
    assert all("authorization" not in seen["headers"] for seen in api.requests)


def test_a_session_belongs_to_the_key_that_opened_it(hub, api):
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    with client(hub) as mine, client(hub, OTHER_KEY) as other, client(hub, "wk-nobody") as nobody:
        with mine.stream("GET", "/slow-mcp/sse") as stream:
            assert stream.headers["content-type"] == "text/event-stream"
            told = events(stream)
            name, at = next(told)
            assert name == "endpoint" and at.startswith("/slow-mcp/message?session_id=")
            assert other.post(at, json=ping).status_code == 404
            assert nobody.post(at, json=ping).status_code == 401
            forged = {"x-weir-key-id": "team", "x-weir-domain": "default"}
            assert other.post(at, json=ping, headers=forged).status_code == 404
            assert mine.post(at, json=ping).status_code == 202
            assert json.loads(next(told)[1]) == {"jsonrpc": "2.0", "id": 1, "result": {}}
        assert mine.post("/slow-mcp/message?session_id=unknown", json=ping).status_code == 404
        assert mine.post("/slow-mcp/sse", json=ping).status_code == 405
        assert mine.get("/slow-mcp/sse", headers={"origin": "https://evil.example"}).status_code == 403
        assert mine.get("/mcp-hub/slow-mcp/sse").status_code == 404


def test_whoever_listens_is_told_of_other_tools(hub, api):
    with client(hub) as http:
        with http.stream("GET", "/slow-mcp") as stream, http.stream("POST", "/slow-mcp", json=LISTEN, headers=MODERN) as listening:
            assert (stream.status_code, listening.status_code) == (200, 200)
            asked = events(listening)
            acknowledged = json.loads(next(asked)[1])
            assert acknowledged["method"] == "notifications/subscriptions/acknowledged"
            assert acknowledged["params"]["notifications"] == {"toolsListChanged": True}
            hub.edit_config(lambda config: config.update(routes=routes(api, "sleep", "rest")))
            changed = json.loads(next(asked)[1])
            assert changed["method"] == "notifications/tools/list_changed"
            assert changed["params"]["_meta"] == {"io.modelcontextprotocol/subscriptionId": "l-1"}
            assert json.loads(next(events(stream))[1])["method"] == "notifications/tools/list_changed"
        begin = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        answer = http.post("/slow-mcp", json={"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": begin}).json()
        assert answer["result"]["capabilities"]["tools"] == {"listChanged": True}


def test_a_tool_is_tried_on_the_command_line(hub, tmp_path):
    def attempt(*arguments):
        return weir("mcp", "try", f"http://127.0.0.1:{hub.port}/slow-mcp", *arguments, env=os.environ | {"WEIR_API_KEY": KEY}, check=False)

    listed, called, wrong = attempt(), attempt("sleep", '{"seconds": 0}'), attempt("sleep", '{"seconds": "long"}')
    assert listed.stdout.splitlines()[0].startswith("sleep") and listed.returncode == 0
    assert (called.stdout, called.returncode) == ('"slept"\n', 0)
    assert "seconds" in wrong.stdout and wrong.returncode == 3
    document = tmp_path / "openapi.json"
    operation = {"operationId": "sleep", "parameters": [{"name": "seconds", "in": "query", "schema": {"type": "number"}}]}
    document.write_text(json.dumps({"openapi": "3.1.0", "servers": [{"url": "http://api.example.com"}], "paths": {"/slow": {"get": operation}}}))
    imported = yaml.safe_load(weir("mcp", "import", document).stdout)
    hub.edit_config(lambda config: config["routes"][0]["middlewares"][0]["options"]["apiOrchestrator"].update(imported))
    assert attempt().stdout.splitlines() == ["sleep  "]
