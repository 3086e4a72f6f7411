"""Quotas where one control plane has several gateways."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from harness.gateway import Gateway, key, model
from harness.process import free_port, until
from harness.sim import Sim

KEYS = ["team-1", "team-2"]


def secret(name):
    return f"wk-gateways-{name}-f02a9d"


@pytest.fixture(scope="module")
def fleet(logs, gateways):
    """Two gateways of one tenant, one for each of two models, and an Envoy of each."""
    sim, port = Sim(logs / "gateway-quotas-sim", name="gateway-quotas"), free_port()
    config = {
        "gateways": [
            {"name": "inner", "models": ["small"]},
            {"name": "edge", "models": ["large"], "listen": {"address": "127.0.0.1", "port": port}},
        ],
        "consumers": [{"name": "team", "limits": {"rpm": 20}}],
        "keys": [key(secret(name), name, consumer="team") for name in KEYS],
        "providers": [{"name": "near", "upstream": f"{sim.url}/v1"}],
        "models": [model("small", "near"), model("large", "near")],
    }
    gateway = Gateway(logs / "gateway-quotas", config, store=True)
    gateways.append(gateway)
    edge = gateway.beside("edge", port)
    edge.wait_until_ready()
    yield [(gateway, gateway.port, "small"), (edge, port, "large")]
    edge.stop()
    sim.stop()


def test_a_consumers_limit_is_one_over_all_gateways(fleet):
    def ask(number):
        _, port, model = fleet[number % 2]
        headers = {"authorization": f"Bearer {secret(KEYS[number % 3 % 2])}"}
        body = {"model": model, "messages": [{"role": "user", "content": "hello gateway"}]}
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        return httpx.post(url, headers=headers, json=body, timeout=20).status_code

    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(ask, range(60)))
    assert set(statuses) == {200, 429}, statuses
    assert 18 <= statuses.count(200) <= 20
    gateway = fleet[0][0]
    both = [sum(envoy.stats("weir.quota.admitted_total").values()) for envoy, *_ in fleet]
    assert min(both) > 0 and sum(both) == statuses.count(200)

    def counters():
        url = f"{gateway.api_url}/v1/quotas/limits%2Fconsumer/state"
        answer = httpx.get(url, headers={"authorization": f"Bearer {gateway.admin_token}"})
        return [(one["per"], one["limits"]["rpm"]["used"]) for one in answer.raise_for_status().json()["counters"]]

    until(lambda: counters() == [({"consumer": "team"}, sum(both))], "the ledger has one count", 20)
