"""The example of MCP servers does what its page says, and tools follow their OpenAPI document."""

import re
import subprocess
import sys

import httpx
import pytest
import yaml

from harness.gateway import Gateway, key, weir
from harness.process import ROOT, Process, built, free_port, until
from harness.rest import RestApi

EXAMPLE = ROOT / "examples/mcp"


def told(page):
    """The commands of a page, each with the answer below it."""
    for block in re.findall(r"```console\n(.*?)```", page, re.DOTALL):
        for command in re.split(r"^\$ ", block.replace("\\\n", ""), flags=re.MULTILINE)[1:]:
            line, _, answer = command.partition("\n")
            if answer:
                yield line, answer


@pytest.fixture(scope="module")
def example(logs, gateways):
    """The example at ports that are free; its shop, its partner and its gateway."""
    ports = {"8090": free_port(), "8091": free_port()}
    api = Process("api", [sys.executable, EXAMPLE / "api.py", *ports.values()], logs)
    for port in ports.values():
        until(lambda port=port: is_open(port), f"port {port} is open")

    def moved(text):
        for written, port in ports.items():
            text = text.replace(f"127.0.0.1:{written}", f"127.0.0.1:{port}")
        return text

    config = yaml.safe_load(moved((EXAMPLE / "weir.yaml").read_text()))
    for route in config["routes"]:
        openapi = route["middlewares"][0]["options"].get("apiOrchestrator", {}).get("openapi")
        if openapi:
            openapi["document"] = str(logs / "stock-api.yaml")
    (logs / "stock-api.yaml").write_text(moved((EXAMPLE / "stock-api.yaml").read_text()))
    gateways.append(Gateway(logs / "mcp-example", config, store=True))
    yield gateways[-1]
    api.stop()


def is_open(port):
    try:
        httpx.get(f"http://127.0.0.1:{port}/", timeout=1)
    except httpx.TransportError:
        return False
    return True


def test_the_page_of_the_example_says_what_happens(example, logs):
    commands = list(told((EXAMPLE / "README.md").read_text()))
    assert len(commands) > 7
    for command, answer in commands:
        command = command.replace("127.0.0.1:10000", f"127.0.0.1:{example.port}")
        command = command.replace("weir mcp", f"{built('WEIR_BIN', 'weir')} mcp")
        command = command.replace("python3", f"SHOP_URL=http://127.0.0.1:{example.port}/shop {sys.executable}")
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30, cwd=ROOT)
        assert done.stdout == answer, command + done.stderr


def test_the_example_has_nothing_that_lint_calls_wrong():
    found = weir("mcp", "lint", "--config", EXAMPLE / "weir.yaml")
    assert "0 errors, 0 warnings" in found.stdout


def test_the_marketplace_tells_of_the_example(example):
    headers = {"authorization": f"Bearer {example.admin_token}"}
    with httpx.Client(base_url=example.api_url, headers=headers) as api:
        listed = api.get("/v0.1/servers", params={"limit": 2}).json()
        assert [entry["server"]["name"] for entry in listed["servers"]] == ["com.example.mcp/partner", "com.example.mcp/shop"]
        more = api.get("/v0.1/servers", params={"cursor": listed["metadata"]["nextCursor"]})
        assert [entry["server"]["name"] for entry in more.json()["servers"]] == ["com.example.mcp/stock"]
        assert more.headers["access-control-allow-origin"] == "*"
        shop = api.get("/v0.1/servers/com.example.mcp%2Fshop/versions/latest").json()["server"]
        assert (shop["title"], shop["version"]) == ("Shop", "1.2.0")
        urls = {remote["type"]: remote["url"] for remote in shop["remotes"]}
        base = "https://mcp.example.com/shop"
        assert urls == {"streamable-http": base, "sse": f"{base}/sse"}
        document = {"name": "org.other/maps", "version": "1.0.0", "description": "Maps."}
        assert api.post("/v0.1/publish", json=document).json()["server"] == document
        example.restart_control_plane()
        assert api.get("/v0.1/servers/org.other%2Fmaps/versions/latest").json()["server"] == document
        assert api.get("/v0.1/servers", params={"search": "none"}).json() == {"servers": [], "metadata": {"count": 0}}
    assert httpx.get(example.api_url + "/v0.1/servers").status_code == 401


def test_callers_are_told_what_their_key_may_use_and_nobody_else_is(example):
    def ask(path, secret="test", method="GET", **more):
        headers = {"authorization": f"Bearer {secret}"} | more
        return httpx.request(method, f"http://127.0.0.1:{example.port}{path}", headers=headers)

    shop = "/v0.1/servers/com.example.mcp%2Fshop/versions/latest"
    tools = [ask(shop, key).json()["server"]["_meta"]["com.example.mcp/gateway"]["tools"] for key in ("test", "stock")]
    assert tools == [["order-status", "find-orders"], ["order-status", "find-orders", "delete-order"]]
    # Who says who calls is the gateway.
    forged = ask(shop, **{"x-weir-key-id": "warehouse-1"}).json()["server"]
    assert forged["_meta"]["com.example.mcp/gateway"]["tools"] == tools[0]
    assert ask(shop, "nobody").status_code == 401
    assert ask("/v0.1/servers/com.example.mcp/none/versions").json() == {"error": "Server not found"}
    assert ask("/v0.1/servers?limit=0").json() == {"error": "limit: is a number from 1 to 100"}
    assert ask("/v0.1/publish", method="POST").status_code in {404, 405}
    # What else the control plane has at that port is out of reach, however the path is written.
    for path in ("..%2F..%2Fv1%2Fkey-lookup%2F" + "0" * 64, "..%2f..%2fledger", "..%5C..%5Cv1"):
        answer = ask(f"/v0.1/{path}")
        assert answer.status_code in {400, 404} and "error" in answer.json(), (path, answer.text)

    def without_grant(config):
        options = config["routes"][0]["middlewares"][0]["options"]
        options["grants"] = [{"tools": ["*"], "labels": {"team": "stock"}}]

    example.edit_config(without_grant)
    assert ask(shop).status_code == 404 and ask(shop, "stock").status_code == 200


def test_tools_follow_their_document(logs, gateways):
    api = RestApi()
    (logs / "pets").mkdir()
    operation = {"operationId": "listPets", "parameters": [{"name": "kind", "in": "query", "schema": {"type": "string"}}]}
    document = {"openapi": "3.1.0", "servers": [{"url": api.url + "/v2"}], "paths": {"/pets": {"get": operation}}}
    file = logs / "pets/api.yaml"
    file.write_text(yaml.safe_dump(document))
    openapi = {"document": str(file), "prefix": "shop_"}
    options = {"apiOrchestrator": {"server": {"name": "pets"}, "openapi": openapi}}
    routes = [{"path": "/pets", "middlewares": [{"name": "v1_mcp_server", "options": options}]}]
    gateway = Gateway(logs / "pets/gateway", {"keys": [key("wk-pets", "pets")], "routes": routes})
    gateways.append(gateway)

    def ask(method, params):
        answer = httpx.post(
            f"http://127.0.0.1:{gateway.port}/pets",
            headers={"authorization": "Bearer wk-pets"},
            json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params},
        )
        return answer.json()["result"]

    def names():
        return [tool["name"] for tool in ask("tools/list", {})["tools"]]

    assert names() == ["shop_listPets"]
    ask("tools/call", {"name": "shop_listPets", "arguments": {"kind": "a&b"}})
    assert api.requests[-1]["path"] == "/v2/pets?kind=a%26b"
    document["paths"]["/pets"]["get"]["operationId"] = "allPets"
    file.write_text(yaml.safe_dump(document))
    until(lambda: names() == ["shop_allPets"], "the tools follow the document")
    file.write_text("openapi: 3.1.0\npaths: [\n")
    until(lambda: gateway.status()["config"]["state"] == "refused", "the document is refused")
    assert str(file) in gateway.status()["config"]["error"]
    assert names() == ["shop_allPets"]
    api.stop()
