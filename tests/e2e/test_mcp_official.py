"""MCP by the official tools, at a server made of REST calls and at servers behind the gateway: the conformance suite,
beside the same servers without the gateway; the SDK of TypeScript; the Inspector."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import yaml

from harness import conformance, node
from harness.conformance import LEGACY, MODERN
from harness.gateway import Gateway, key
from harness.process import Process, free_port, until

KEY = "wk-conformance-2b"
NOT_SERVED = yaml.safe_load(Path(__file__).with_name("mcp_not_served.yaml").read_text())
HARNESS = Path(__file__).with_name("harness")
SCHEMA = json.loads((HARNESS / "conformance_schema.json").read_text())


def made_of_rest(api):
    """What the suite asks of a server, as far as REST calls can say it."""
    region = {"name": "region", "mcp_header": "Region", "default_value": "none"}
    tools = [
        {"name": "test_simple_text", "response_template": {"body": "This is a simple text response for testing."}},
        {"name": "test_image_content", "request_template": {"url": f"{api.url}/image"}},
        {"name": "test_audio_content", "request_template": {"url": f"{api.url}/audio"}},
        {"name": "test_error_handling", "request_template": {"url": f"{api.url}/status?code=500"}},
        {"name": "test_x_mcp_header", "args": [region], "response_template": {"body": "{{ .region }}"}},
        {"name": "json_schema_2020_12_tool", "input_schema": SCHEMA, "response_template": {"body": "called"}},
    ]
    for tool in tools:
        tool["description"] = "One of the suite's"
    resources = [
        {"uri": "test://static-text", "name": "text", "mime_type": "text/plain", "text": "the static text resource"},
        {"uri": "test://static-binary", "name": "binary", "request_template": {"url": f"{api.url}/image"}},
        {"uri_template": "test://template/{id}/data", "name": "template", "request_template": {"url": f"{api.url}/data/{{id}}"}},
    ]
    arguments = [{"name": "arg1", "required": True, "enum_values": ["test"]}, {"name": "arg2", "required": True}]
    prompts = [
        {"name": "test_simple_prompt", "messages": [{"role": "user", "text": "A simple prompt."}]},
        {"name": "test_prompt_with_arguments", "arguments": arguments, "messages": [{"role": "user", "text": "{{ .arg1 }} {{ .arg2 }}"}]},
    ]
    for prompt in prompts:
        prompt["description"] = "One of the suite's"
    return {"server": {"name": "made-of-rest"}, "tools": tools, "resources": resources, "prompts": prompts}


@pytest.fixture(scope="module")
def servers(logs):
    """MCP servers: one with all that the suite asks, in Python, also with one era only, and the reference server of
    TypeScript."""
    ports = {name: free_port() for name in ["everything", "legacy", "modern", "reference"]}
    started = {
        name: Process(name, [sys.executable, HARNESS / "everything.py", str(ports[name]), *eras], logs)
        for name, eras in {"everything": [], "legacy": ["legacy"], "modern": ["modern"]}.items()
    }
    script = "node_modules/@modelcontextprotocol/server-everything/dist/index.js"
    environment = {"PORT": str(ports["reference"])}
    started["reference"] = node.start("reference", script, "streamableHttp", logs=logs, env=environment)
    for name, process in started.items():
        process.wait_until(lambda: httpx.get(f"http://127.0.0.1:{ports[name]}/mcp", timeout=1).status_code > 0, "listens", 60)
    yield {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    for process in started.values():
        process.stop()


@pytest.fixture(scope="module")
def gateway(servers, api, logs, gateways):
    def route(name, **options):
        # The suite sends its own origin, that of the endpoint.
        options["origins"] = ["http://127.0.0.1:" + str(port)]
        return {"path": f"/{name}/*", "middlewares": [{"name": "v1_mcp_server", "options": options}]}

    def proxied(name):
        revision = {"legacy": {"revision": "2025-11-25"}, "modern": {"revision": "2026-07-28"}}.get(name, {})
        return route(name, proxy={"name": name, "upstreams": [{"url": servers[name], **revision}]})

    port = free_port()
    config = {
        "keys": [key(KEY, "suite")],
        "routes": [
            route("rest", apiOrchestrator=made_of_rest(api)),
            *(proxied(name) for name in servers),
        ],
    }
    gateways.append(Gateway(logs / "conformance", config, port=port))
    return gateways[-1]


def suites(logs, **runs):
    """The results of several runs at once, by their names."""
    with ThreadPoolExecutor(len(runs)) as pool:
        futures = {name: pool.submit(conformance.results, url, logs / f"suite-{name}", *rest) for name, (url, *rest) in runs.items()}
        return {name: future.result() for name, future in futures.items()}


def test_a_server_made_of_rest_calls_fails_nothing_but_what_is_said(gateway, logs):
    url = f"http://127.0.0.1:{gateway.port}/rest"
    found = suites(logs, legacy=(url, LEGACY, KEY), modern=(url, MODERN, KEY))
    nothing = {"does not pass": set(), "passes now": set()}
    assert conformance.surprises(found["legacy"], NOT_SERVED["legacy"]) == nothing
    assert conformance.surprises(found["modern"], NOT_SERVED["modern"]) == nothing
    assert gateway.filter_failures() == {}


@pytest.mark.parametrize("name, revision", [("everything", LEGACY), ("everything", MODERN), ("reference", LEGACY)])
def test_a_server_behind_the_gateway_passes_what_it_passes_without(gateway, servers, logs, name, revision):
    label = f"{name}-{'modern' if revision is MODERN else 'legacy'}"
    through = (f"http://127.0.0.1:{gateway.port}/{name}", revision, KEY)
    found = suites(logs / label, through=through, direct=(f"{servers[name]}/mcp", revision))
    if name == "reference":
        # It does not look where a page comes from; the gateway does.
        assert ("localhost-host-rebinding-rejected", "FAILURE") in found["direct"].pop("dns-rebinding-protection")
        assert {status for _, status in found["through"].pop("dns-rebinding-protection")} == {"SUCCESS"}
    else:
        required = {status for scenario, checks in found["through"].items() for _, status in checks if not scenario.startswith("tasks-")}
        assert required <= {"SUCCESS", "WARNING"}
    assert found["through"] == found["direct"]
    assert gateway.filter_failures() == {}


@pytest.mark.parametrize("name, revision, entries", [("legacy", MODERN, "to-sessions"), ("modern", LEGACY, "from-sessions")])
def test_a_server_of_the_other_era_fails_nothing_but_what_is_said(gateway, logs, name, revision, entries):
    found = conformance.results(f"http://127.0.0.1:{gateway.port}/{name}", logs / f"suite-{entries}", revision, KEY)
    assert conformance.surprises(found, NOT_SERVED[entries]) == {"does not pass": set(), "passes now": set()}
    assert gateway.filter_failures() == {}


def test_the_sdk_of_typescript_uses_both_and_is_told_of_changes(gateway, logs):
    base = f"http://127.0.0.1:{gateway.port}"
    servers = {
        "rest": {"url": f"{base}/rest"},
        "rest-sse": {"url": f"{base}/rest/sse", "sse": True},
        "proxy": {"url": f"{base}/everything", "trigger": "test_trigger_tool_change"},
    }
    client = node.start("sdk", "mcp-client.mjs", json.dumps(servers), logs=logs, env={"WEIR_KEY": KEY})
    client.wait_until(lambda: '"waiting"' in client.text(), "has used every server", 60)
    gateway.edit_config(lambda config: options_of(config, "rest")["apiOrchestrator"]["tools"].pop())
    assert client.ends_with(30) == 0, client.tail()
    *seen, _, changed = [json.loads(line) for line in client.out.read_text().splitlines()]
    alike = {
        "tools": ["test_simple_text"],
        "simple": [{"type": "text", "text": "This is a simple text response for testing."}],
        "wrong": True,
        "resources": ["test://static-text", "test://static-binary"],
        "templates": ["test://template/{id}/data"],
        "read": True,
        "completed": ["test"],
    }
    errors = {"unknown_tool": -32602, "unknown_resource": -32002, "missing_argument": -32602}
    rest = alike | errors | {"server": "made-of-rest", "prompt": "one two"}
    # What is unknown behind the gateway, the server there says in its own way.
    errors = {"unknown_tool": "isError", "unknown_resource": -32602, "missing_argument": 0}
    proxy = alike | errors | {"server": "everything", "prompt": "Prompt with arguments: arg1='one', arg2='two'"}
    assert {one["name"]: one["seen"] for one in seen} == {"rest": rest, "rest-sse": rest, "proxy": proxy}
    assert changed == list(servers)


@pytest.mark.parametrize("name", ["rest", "everything"])
def test_the_inspector_lists_and_calls(gateway, logs, name):
    def inspect(*arguments):
        endpoint = ["--cli", f"http://127.0.0.1:{gateway.port}/{name}", "--transport", "http"]
        script = "node_modules/.bin/mcp-inspector"
        credential = ["--header", f"authorization: Bearer {KEY}"]
        done = node.run(script, *endpoint, *credential, "--method", *arguments, env={"HOME": str(logs)})
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    assert "test_simple_text" in [tool["name"] for tool in inspect("tools/list")["tools"]]
    called = inspect("tools/call", "--tool-name", "test_simple_text")
    assert called["content"] == [{"type": "text", "text": "This is a simple text response for testing."}]


def options_of(config, name):
    return next(route for route in config["routes"] if route["path"] == f"/{name}/*")["middlewares"][0]["options"]
