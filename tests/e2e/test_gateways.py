"""Several gateways on one control plane: each Envoy serves the one that its cluster is named after."""

from urllib.parse import unquote

import httpx
import pytest

from conftest import SECRETS
from harness.gateway import Gateway, connected, key, model
from harness.process import free_port, until

EDGE_KEY, INNER_KEY = "wk-edge-3f00", "wk-inner-91c2"
HOSTS = {"edge": "ai.video.test", "inner": "ai.finance.test"}


@pytest.fixture(scope="module")
def gateway(logs, near, far, gateways):
    """The control plane, with the Envoy of `edge`; `inner` listens at the port `gateway.inner_port`."""
    inner_port = free_port()
    config = {
        "gateways": [
            {"name": "edge", "domains": ["video"]},
            {"name": "inner", "domains": ["finance"], "listen": {"address": "127.0.0.1", "port": inner_port}},
        ],
        "secrets": {"near": {"env": "NEAR_KEY"}, "far": {"env": "FAR_KEY"}},
        "domains": [{"name": "video", "hosts": [HOSTS["edge"]]}, {"name": "finance", "hosts": [HOSTS["inner"]]}],
        "consumers": [{"name": "comments", "domain": "video"}, {"name": "ledger", "domain": "finance"}],
        "keys": [key(EDGE_KEY, "comments-1", consumer="comments"), key(INNER_KEY, "ledger-1", consumer="ledger")],
        "providers": [
            {"name": "near", "upstream": f"{near.url}/v1", "credentials": ["near"]},
            {"name": "far", "upstream": f"{far.url}/openai/deep/v1", "credentials": ["far"], "http2": True},
        ],
        "models": [
            model("everywhere", "near"),
            model("of-video", "near") | {"domain": "video"},
            model("of-finance", "far") | {"domain": "finance"},
        ],
    }
    gateways.append(Gateway(logs / "gateways", config, SECRETS))
    gateways[-1].inner_port = inner_port
    return gateways[-1]


@pytest.fixture(scope="module")
def inner(gateway):
    """The Envoy of `inner`."""
    envoy = gateway.beside("inner", gateway.inner_port)
    envoy.wait_until_ready()
    yield envoy
    envoy.stop()


def models(port, name, secret):
    """The status of a list of models, and their names."""
    headers = {"host": HOSTS[name], "authorization": f"Bearer {secret}"}
    answer = httpx.get(f"http://127.0.0.1:{port}/v1/models", headers=headers)
    return answer.status_code, sorted(entry["id"] for entry in answer.json().get("data", []))


def node(gateway, cluster):
    """What the control plane says of the only node of a cluster."""
    (node,) = [node for node in gateway.status()["nodes"] if node["cluster"] == cluster]
    return node


def test_each_envoy_has_its_gateways_tenants_models_and_credentials(gateway, inner):
    assert models(gateway.port, "edge", EDGE_KEY) == (200, ["everywhere", "of-video"])
    assert models(inner.port, "inner", INNER_KEY) == (200, ["everywhere", "of-finance"])
    # The other's tenant is nobody here.
    assert models(gateway.port, "inner", INNER_KEY)[0] == 421
    assert models(inner.port, "edge", EDGE_KEY)[0] == 421
    chat = {"model": "of-finance", "messages": [{"role": "user", "content": "hello"}]}
    headers = {"host": HOSTS["inner"], "authorization": f"Bearer {INNER_KEY}"}
    answer = httpx.post(f"http://127.0.0.1:{inner.port}/v1/chat/completions", json=chat, headers=headers)
    assert answer.status_code == 200, answer.text
    assert "far" in inner.config_dump() and "far" not in gateway.config_dump()
    status = gateway.status()
    assert {node["cluster"]: node["gateway"] for node in connected(status)} == {"edge": "edge", "inner": "inner"}
    gateway.wait_until_in_sync()


def test_a_change_touches_the_gateways_that_it_is_about(gateway, inner):
    before = gateway.status()["gateways"]
    gateway.edit_config(lambda config: config["models"].append(model("new", "far") | {"domain": "finance"}))
    after = gateway.status()["gateways"]
    assert after["edge"] == before["edge"] and after["inner"] != before["inner"]
    until(lambda: "new" in models(inner.port, "inner", INNER_KEY)[1], "the new model is there")
    assert models(gateway.port, "edge", EDGE_KEY) == (200, ["everywhere", "of-video"])


def test_an_envoy_of_no_gateway_gets_nothing_until_there_is_one(gateway, inner):
    port = free_port()
    envoy = gateway.beside("outer", port)
    try:
        until(lambda: "refused" in node(gateway, "outer"), "it is refused")
        reason = 'no gateway is named "outer"; the node\'s cluster (envoy --service-cluster) has to be one of edge, inner'
        assert node(gateway, "outer")["refused"] == reason
        assert "gateway" not in node(gateway, "outer") and not envoy.is_ready()
        until(lambda: "no gateway is named" in unquote(envoy.logs()), "its own log says so too")
        outer = {"name": "outer", "domains": ["video"], "listen": {"address": "127.0.0.1", "port": port}}
        gateway.edit_config(lambda config: config["gateways"].append(outer), wait=False)
        envoy.wait_until_ready()
        assert models(port, "edge", EDGE_KEY) == (200, ["everywhere", "of-video"])
        assert node(gateway, "outer")["gateway"] == "outer" and "refused" not in node(gateway, "outer")
        # One whose gateway is taken away serves on what it has.
        gateway.edit_config(lambda config: config["gateways"].pop(), wait=False)
        until(lambda: "refused" in node(gateway, "outer"), "it is refused")
        assert models(port, "edge", EDGE_KEY) == (200, ["everywhere", "of-video"])
    finally:
        envoy.stop()
    assert gateway.weir_log().count("the node gets nothing") == 2
