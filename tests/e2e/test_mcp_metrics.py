"""What metrics and the access log tell of calls of tools, compared with the calls that were made."""

import json
import re

import httpx
import pytest

from harness.gateway import Gateway, key
from harness.process import free_port, until

KEY = "wk-metrics-3b"
CALLED = re.compile(r'^envoy_weir_mcp_calls_total\{domain="default",mcp_server="([^"]*)",mcp_tool="([^"]*)",outcome="([^"]*)"\} (\d+)$', re.M)


def route(name, **options):
    return {"path": f"/{name}", "middlewares": [{"name": "v1_mcp_server", "options": options}]}


@pytest.fixture(scope="module")
def counted(api, logs, gateways):
    code = {"name": "code", "type": "integer", "required": True}
    tools = [
        {"name": "status", "args": [code], "request_template": {"url": api.url + "/status?code={{ .code }}"}},
        {"name": "slow", "request_template": {"url": api.url + "/slow?seconds=5"}, "timeout": "200ms"},
        {"name": "away", "request_template": {"url": f"http://127.0.0.1:{free_port()}/"}},
        {"name": "secret", "response_template": {"body": "x"}},
    ]
    made = {"apiOrchestrator": {"server": {"name": "made"}, "tools": tools}}
    made["grants"] = [{"tools": ["status", "slow", "away"]}, {"tools": ["secret"], "consumers": ["other"]}]
    behind = {"proxy": {"name": "behind", "upstreams": [{"url": api.url, "path": "/x"}], "allow_tools": ["add", "get_*"]}}
    config = {"consumers": [{"name": "other"}], "keys": [key(KEY, "team")], "routes": [route("made", **made), route("behind", **behind)]}
    gateways.append(Gateway(logs / "counted", config))
    return gateways[-1]


def test_calls_are_counted_by_server_tool_and_outcome(counted):
    with httpx.Client(base_url=f"http://127.0.0.1:{counted.port}", headers={"authorization": f"Bearer {KEY}"}, timeout=15) as http:

        def call(server, tool, **arguments):
            params = {"name": tool, "arguments": arguments}
            return http.post(f"/{server}", json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).status_code

        for tool, arguments in [
            ("status", {"code": 200}),
            ("status", {"code": 200}),
            ("status", {"code": 404}),
            ("status", {"code": 503}),
            ("status", {"code": "none"}),
            ("slow", {}),
            ("away", {}),
            ("secret", {}),
            ("made-up-by-a-client", {}),
        ]:
            assert call("made", tool, **arguments) == 200
        for tool in ("add", "get_1", "get_2"):
            assert call("behind", tool) == 200
        assert http.post("/made", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).status_code == 200
    expected = {
        ("made", "status", "ok"): 2,
        ("made", "status", "upstream_4xx"): 1,
        ("made", "status", "upstream_5xx"): 1,
        ("made", "status", "invalid_args"): 1,
        ("made", "slow", "timeout"): 1,
        ("made", "away", "unreachable"): 1,
        ("made", "secret", "denied"): 1,
        ("made", "_unknown", "unknown_tool"): 1,
        ("behind", "add", "ok"): 1,
        ("behind", "_unknown", "ok"): 2,
    }

    def scraped():
        return {match[:3]: int(match[3]) for match in CALLED.findall(counted.prometheus())}

    until(lambda: scraped() == expected, f"the calls are counted: {scraped()}")
    labels = 'domain="default",mcp_server="made",mcp_tool="slow",outcome="timeout"'
    until(lambda: f"envoy_weir_mcp_call_ms_count{{{labels}}} 1" in counted.prometheus(), "the histogram has a sample", 20)
    assert "made-up" not in counted.prometheus()
    records = until(lambda: (lines := [json.loads(line) for line in counted.access_log().splitlines()]) and len(lines) == 13 and lines, "each request has a record")
    failed = next(record for record in records if record["mcp_outcome"] == "upstream_5xx")
    assert (failed["mcp_server"], failed["mcp_tool"], failed["mcp_upstream_code"], failed["code"]) == ("made", "status", "503", 200)
    assert failed["bytes_sent"] > 0 and failed["duration_ms"] >= 0
