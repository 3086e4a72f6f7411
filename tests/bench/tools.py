#!/usr/bin/env python3
"""Measures what a call of an MCP tool costs beside the same call of its REST API through bare Envoy, in one run: `make bench`.

Two Envoys, the same API behind both, one request after the other on loopback.
"""

import json
import statistics
import sys
import tempfile
from pathlib import Path

import httpx
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))

from harness.envoy import Envoy  # noqa: E402
from harness.gateway import Gateway, key  # noqa: E402
from harness.process import free_port  # noqa: E402
from harness.sim import Sim  # noqa: E402
from templates import load  # noqa: E402

KEY = "wk-bench-tools"
API, ROUNDS = "/v1/embeddings", 5
ASKED = {"model": "bench", "input": "hello"}
RULES = [{"name": "calls", "match": {"mcp_server": "bench"}, "per": ["consumer"], "limits": {"rpm": 10**9}}]


def bare(folder, upstream):
    """An Envoy that passes everything to the API."""
    port, admin = free_port(), free_port()
    address = lambda port: {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    type_of = lambda name: {"@type": f"type.googleapis.com/{name}"}
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "api"}}]
    manager = {
        **type_of("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "bare",
        "route_config": {"virtual_hosts": [{"name": "api", "domains": ["*"], "routes": routes}]},
        "http_filters": [{"name": "router", "typed_config": type_of("envoy.extensions.filters.http.router.v3.Router")}],
    }
    endpoint = {"endpoint": {"address": address(upstream)}}
    config = {
        "admin": {"address": address(admin)},
        "static_resources": {
            "listeners": [{"address": address(port), "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]}],
            "clusters": [{"name": "api", "load_assignment": {"cluster_name": "api", "endpoints": [{"lb_endpoints": [endpoint]}]}}],
        },
    }
    folder.mkdir()
    (folder / "envoy.yaml").write_text(yaml.safe_dump(config))
    return Envoy(folder / "envoy.yaml", folder, admin, port)


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        sim = Sim(folder, name="api")
        tool = {
            "name": "ask",
            "args": [{"name": name, "required": True} for name in ASKED],
            "request_template": {"url": sim.url + API, "body": {name: f"{{{{ .{name} }}}}" for name in ASKED}},
        }
        options = {"apiOrchestrator": {"server": {"name": "bench"}, "tools": [tool]}}
        config = {
            "keys": [key(KEY, "bench")],
            "quotas": RULES,
            "routes": [{"path": "/bench", "middlewares": [{"name": "v1_mcp_server", "options": options}]}],
        }
        gateway, direct = Gateway(folder / "gateway", config), bare(folder / "bare", sim.port)
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "ask", "arguments": ASKED}}
        listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        kinds = {
            "the API through bare Envoy": (direct.port, direct.process.pid, API, ASKED),
            "the tool through the whole chain": (gateway.port, gateway._envoy.process.pid, "/bench", call),
            "a list of tools": (gateway.port, gateway._envoy.process.pid, "/bench", listing),
        }
        try:
            with httpx.Client(headers=headers, timeout=30) as client:
                answer = client.post(f"http://127.0.0.1:{gateway.port}/bench", json=call).json()
                assert "result" in answer and not answer["result"].get("isError"), answer
                # Rounds are interleaved, so that what else the machine does falls on all alike.
                measure = lambda port, pid, path, body: load(client, pid, f"http://127.0.0.1:{port}{path}", json.dumps(body))
                rounds = [[measure(*kind) for kind in kinds.values()] for _ in range(ROUNDS)]
            print("| request | CPU of Envoy | ratio | time | ratio |\n|---|---|---|---|---|")
            middle = [[statistics.median(one[kind][what] for one in rounds) for what in (0, 1)] for kind in range(len(kinds))]
            for kind, (cpu, took) in zip(kinds, middle, strict=True):
                print(f"| {kind} | {cpu:.0f} µs | {cpu / middle[0][0]:.2f} | {took:.0f} µs | {took / middle[0][1]:.2f} |")
        finally:
            gateway.stop()
            direct.stop()
            sim.stop()


if __name__ == "__main__":
    main()
