"""Several MCP servers behind one endpoint: the official client and servers, one of them down, one slow."""

import time

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from harness.gateway import Gateway, key
from harness.mcp_server import McpServer
from harness.process import free_port

KEY, POOR_KEY = "wk-several-team-7c", "wk-several-poor-1d"
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
def several(servers, logs, gateways):
    upstreams = [{"name": server.name, "url": server.url} for server in servers]
    proxy = {"name": "all", "upstreams": upstreams, "deny_tools": ["logs__sleep"]}
    down = {"name": "some", "upstreams": [upstreams[0], {"name": "down", "url": f"http://127.0.0.1:{free_port()}"}]}
    grants = [{"tools": ["*"], "consumers": ["team"]}, {"tools": ["*__who"], "consumers": ["poor"]}]
    server = lambda options: [{"name": "v1_mcp_server", "options": options}]  # noqa: E731
    config = {
        "consumers": [{"name": "team"}, {"name": "poor"}],
        "keys": [key(KEY, "team-1", consumer="team"), key(POOR_KEY, "poor-1", consumer="poor")],
        "quotas": [{"name": "adds", "match": {"mcp_server": "all", "tool": "wiki__add"}, "per": ["consumer"], "limits": {"rpm": 3}}],
        "routes": [
            {"path": "/all/*", "middlewares": server({"proxy": proxy, "grants": grants})},
            {"path": "/some", "middlewares": server({"proxy": down})},
        ],
    }
    gateways.append(Gateway(logs / "several-gateway", config))
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


MODES = ["auto", "2026-07-28"]


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
