"""Several MCP servers behind one endpoint: the official client and servers, one of them down, one slow."""

import time

import anyio
import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from harness.gateway import Gateway, key
from harness.mcp_server import McpServer
from harness.process import free_port

KEY, POOR_KEY = "wk-several-team-7c", "wk-several-poor-1d"
SECRET = "several-sessions-0123456789abcdef"
TOOLS = ["add", "who", "count", "sleep"]


@pytest.fixture(scope="module")
def servers(logs):
    """Two servers, and the address of one that is not there."""
    (logs / "several").mkdir()
    started = [McpServer(name, logs / "several") for name in ("logs", "wiki")]
    yield started
    for server in started:
        server.stop()


@pytest.fixture(scope="module")
def old(logs, servers):
    """A server that speaks only the transport of 2024-11-05."""
    server = McpServer("old", logs / "several", "sse")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def several(servers, old, logs, gateways):
    upstreams = [{"name": server.name, "url": server.url} for server in servers]
    proxy = {"name": "all", "upstreams": upstreams, "deny_tools": ["logs__sleep"]}
    old_upstream = {"name": "old", "url": old.url, "protocol": "sse"}
    down = {"name": "some", "upstreams": [upstreams[0], {"name": "down", "url": f"http://127.0.0.1:{free_port()}"}]}
    grants = [{"tools": ["*"], "consumers": ["team"]}, {"tools": ["*__who"], "consumers": ["poor"]}]
    server = lambda options: [{"name": "v1_mcp_server", "options": options}]  # noqa: E731
    config = {
        "gateway": {"mcp_sessions": {"secret": "sessions"}},
        "secrets": {"sessions": {"env": "SESSIONS"}},
        "consumers": [{"name": "team"}, {"name": "poor"}],
        "keys": [key(KEY, "team-1", consumer="team"), key(POOR_KEY, "poor-1", consumer="poor")],
        "quotas": [{"name": "adds", "match": {"mcp_server": "all", "tool": "wiki__add"}, "per": ["consumer"], "limits": {"rpm": 3}}],
        "routes": [
            {"path": "/all/*", "middlewares": server({"proxy": proxy, "grants": grants})},
            {"path": "/some", "middlewares": server({"proxy": down})},
            {"path": "/old", "middlewares": server({"proxy": {"name": "old", "upstreams": [old_upstream]}})},
            {"path": "/mixed", "middlewares": server({"proxy": {"name": "mixed", "upstreams": [upstreams[0], old_upstream]}})},
            {"path": "/one", "middlewares": server({"proxy": {"name": "one", "upstreams": [{"url": servers[0].url}]}})},
        ],
    }
    gateways.append(Gateway(logs / "several-gateway", config, {"SESSIONS": SECRET}))
    return gateways[-1]


def as_client(gateway, work, mode, path="/all", secret=KEY):
    """Runs `work` with a client of the official SDK."""

    async def run():
        headers = {"authorization": f"Bearer {secret}"}
        async with httpx2.AsyncClient(headers=headers, timeout=15) as http:
            transport = streamable_http_client(f"http://127.0.0.1:{gateway.port}{path}", http_client=http)
            async with Client(transport, mode=mode) as client:
                return await work(client)

    return anyio.run(run)


def prefixed(name, *tools):
    return [f"{name}__{tool}" for tool in tools]


def text(result):
    assert not result.is_error, result
    return result.content[0].text


MODES = ["legacy", "auto", "2026-07-28"]


@pytest.mark.parametrize("mode", MODES)
def test_two_servers_are_used_as_if_they_were_one(several, mode):
    seen = []

    async def on_progress(progress, total, message):
        seen.append((progress, time.monotonic()))

    async def work(client):
        tools = await client.list_tools()
        prompts, resources = await client.list_prompts(), await client.list_resources()
        templates = await client.list_resource_templates()
        who = [text(await client.call_tool(f"{name}__who", {})) for name in ("logs", "wiki")]
        counted = text(await client.call_tool("wiki__count", {}, progress_callback=on_progress))
        prompt = await client.get_prompt("logs__hello", {"of": "world"})
        read = [await client.read_resource(uri) for uri in ("wiki+notes://all", "logs+notes://of/today")]
        return tools, prompts, resources, templates, who, counted, prompt, read

    tools, prompts, resources, templates, who, counted, prompt, read = as_client(several, work, mode)
    assert [tool.name for tool in tools.tools] == prefixed("logs", "add", "who", "count") + prefixed("wiki", *TOOLS)
    assert [prompt.name for prompt in prompts.prompts] == ["logs__hello", "wiki__hello"]
    assert [str(resource.uri) for resource in resources.resources] == ["logs+notes://all", "wiki+notes://all"]
    assert [template.uri_template for template in templates.resource_templates][1] == "wiki+notes://of/{day}"
    assert (who, counted) == (["logs", "wiki"], "counted")
    assert prompt.messages[0].content.text == "Hello world from logs"
    assert [one.contents[0].text for one in read] == ["notes of wiki", "notes of logs of today"]
    assert [progress for progress, _ in seen] == [0, 1, 2]
    assert seen[-1][1] - seen[0][1] > 0.3, "progress arrives as it is made"


@pytest.mark.parametrize("mode", MODES)
def test_a_server_that_is_down_takes_only_its_own_tools_with_it(several, mode):
    async def work(client):
        return await client.list_tools(), await client.call_tool("logs__add", {"a": 1, "b": 2})

    tools, added = as_client(several, work, mode, "/some")
    assert [tool.name for tool in tools.tools] == prefixed("logs", *TOOLS)
    assert tools.meta["weir/unavailable"] == ["down"]
    assert text(added) == "3"


@pytest.mark.parametrize("mode", MODES)
def test_what_a_caller_may_not_use_of_any_server_is_not_there(several, mode):
    async def work(client):
        listed = [tool.name for tool in (await client.list_tools()).tools]
        refused = []
        for tool in ("logs__add", "logs__nope", "nope__who"):
            with pytest.raises(Exception, match="Unknown tool") as error:
                await client.call_tool(tool, {})
            refused.append(error)
        return listed, text(await client.call_tool("wiki__who", {}))

    assert as_client(several, work, mode, secret=POOR_KEY) == (["logs__who", "wiki__who"], "wiki")


def test_a_quota_counts_each_call_once_and_no_list(several):
    async def work(client):
        for _ in range(5):
            await client.list_tools()
        sums = [text(await client.call_tool("wiki__add", {"a": n, "b": 1})) for n in range(3)]
        with pytest.raises(Exception):
            await client.call_tool("wiki__add", {"a": 1, "b": 1})
        return sums

    assert as_client(several, work, "2026-07-28") == ["1", "2", "3"]


# Sessions of clients that begin with `initialize`.


class Raw:
    """A client that begins a session by hand."""

    def __init__(self, gateway, path, secret=KEY):
        headers = {"authorization": f"Bearer {secret}", "accept": "application/json, text/event-stream"}
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{gateway.port}", headers=headers, timeout=15)
        self._path, self.session = path, None

    def begin(self):
        params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        begun = self.ask("initialize", params)
        assert begun.status_code == 200, begun.text
        self.session = begun.headers["mcp-session-id"]
        return self

    def ask(self, method, params=None, session=None):
        session = session or self.session
        headers = {"mcp-session-id": session, "mcp-protocol-version": "2025-06-18"} if session else {}
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
        return self._http.post(self._path, json=message, headers=headers)

    def call(self, tool, session=None, **arguments):
        return self.ask("tools/call", {"name": tool, "arguments": arguments}, session)

    def end(self):
        return self._http.delete(self._path, headers={"mcp-session-id": self.session})


@pytest.mark.parametrize("path, tool", [("/all", "wiki__who"), ("/one", "who")])
def test_a_session_is_its_callers_alone_and_survives_envoy(several, path, tool):
    mine, other = Raw(several, path).begin(), Raw(several, path, POOR_KEY).begin()
    assert mine.session.startswith("k1.")
    assert mine.call(tool).status_code == 200
    assert "mcp-session-id" not in mine.call(tool).headers
    assert other.call(tool, session=mine.session).status_code == 404
    forged = mine.session[:-4] + ("AAAA" if mine.session[-4:] != "AAAA" else "BBBB")
    assert mine.call(tool, session=forged).status_code == 404
    assert Raw(several, "/some").call(tool, session=mine.session).status_code == 404
    assert SECRET not in several.config_dump()
    # Nothing of it is remembered anywhere.
    several.start_envoy()
    several.wait_until_ready()
    assert mine.call(tool).status_code == 200
    assert mine.end().status_code == 200


def test_a_server_that_has_lost_its_session_gets_another(several, servers):
    client = Raw(several, "/all").begin()
    servers[1].stop()
    listed = client.ask("tools/list").json()["result"]
    assert listed["_meta"]["weir/unavailable"] == ["wiki"]
    assert "wiki__who" not in client.call("logs__who").text
    servers[1].start()
    called = client.call("wiki__who")
    assert (called.status_code, '"text":"wiki"' in called.text) == (200, True), called.text
    listed = client.ask("tools/list").json()["result"]
    assert [tool["name"] for tool in listed["tools"]][-1] == "wiki__sleep" and "_meta" not in listed
    # The next one finds the session that has begun since, and flows.
    assert '"text":"wiki"' in client.call("wiki__who").text
    assert several.filter_failures() == {}


# A server that speaks HTTP with SSE only.


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_a_server_of_the_old_transport_is_used_like_any_other(several, mode):
    seen = []

    async def on_progress(progress, total, message):
        seen.append((progress, time.monotonic()))

    async def work(client):
        tools = [tool.name for tool in (await client.list_tools()).tools]
        counted = text(await client.call_tool("count", {}, progress_callback=on_progress))
        started, slept = time.monotonic(), []

        async def sleep(seconds):
            slept.append(text(await client.call_tool("sleep", {"seconds": seconds})))

        async with anyio.create_task_group() as group:
            for seconds in (1, 1.01, 0.1):
                group.start_soon(sleep, seconds)
        return tools, counted, text(await client.call_tool("add", {"a": 2, "b": 3})), time.monotonic() - started

    tools, counted, added, took = as_client(several, work, mode, "/old")
    assert (tools, counted, added) == (TOOLS, "counted", "5")
    assert took < 1.9, "calls at once take as long as the slowest"
    if mode == "legacy":
        assert [progress for progress, _ in seen] == [0, 1, 2] and seen[-1][1] - seen[0][1] > 0.3


def test_old_and_new_transports_behind_one_endpoint_and_a_stream_that_breaks(several, old):
    mine, other = Raw(several, "/mixed").begin(), Raw(several, "/mixed", POOR_KEY).begin()
    assert '"text":"old"' in mine.call("old__who").text and '"text":"logs"' in mine.call("logs__who").text
    assert other.call("old__who", session=mine.session).status_code == 404
    old.stop()
    listed = mine.ask("tools/list").json()["result"]
    assert listed["_meta"]["weir/unavailable"] == ["old"] and len(listed["tools"]) == len(TOOLS)
    old.start()
    assert '"text":"old"' in mine.call("old__who").text
    assert [tool["name"] for tool in mine.ask("tools/list").json()["result"]["tools"]][-1] == "old__sleep"
