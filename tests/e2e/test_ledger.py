"""Quotas that several Envoys share over the ledger, and that outlive each of them."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from harness.envoy import Envoy
from harness.gateway import Gateway, key, model, weir
from harness.process import free_port, until
from harness.sim import Sim

KEYS = ["rate", "budget", "crash", "lost"]
# What the simulator says of the question: two words of prompt, four of answer.
USED = 6
BUDGET = 50 * USED


def secret(name):
    return f"wk-ledger-{name}-40c1aa"


def quota(name, limits, **more):
    return {"name": f"l-{name}", "match": {"key": name}, "limits": limits, **more}


@pytest.fixture(scope="module")
def fleet(logs, gateways):
    """Two Envoys at one port under one control plane; the system deals connections out to both."""
    sim = Sim(logs / "fleet-sim", name="fleet")
    config = {
        "keys": [key(secret(name), name) for name in KEYS],
        "providers": [{"name": "near", "upstream": f"{sim.url}/v1"}],
        "models": [model("chat", "near")],
        "quotas": [
            quota("rate", {"rpm": 40}),
            quota("budget", {"tokens_per_month": BUDGET}),
            quota("crash", {"tokens_per_month": BUDGET}),
            quota("lost", {"rpm": 20}, on_ledger_loss="deny"),
        ],
    }
    gateway = Gateway(logs / "fleet", config, store=True)
    gateways.append(gateway)
    admin = free_port()
    (logs / "fleet-2").mkdir()
    bootstrap = logs / "fleet-2/envoy.yaml"
    bootstrap.write_text(weir("bootstrap", "--xds", gateway.xds, "--admin-port", admin).stdout)
    second = Envoy(bootstrap, logs / "fleet-2", admin, gateway.port)
    yield gateway, second
    second.stop()
    sim.stop()


def ask(gateway, name):
    """Asks once over a connection of its own; returns the status."""
    headers = {"authorization": f"Bearer {secret(name)}"}
    body = {"model": "chat", "messages": [{"role": "user", "content": "hello gateway"}], "max_tokens": 4}
    return httpx.post(f"{gateway.base_url}/chat/completions", headers=headers, json=body, timeout=20).status_code


def ask_often(gateway, name, times, at_once=8):
    with ThreadPoolExecutor(at_once) as pool:
        statuses = list(pool.map(lambda _: ask(gateway, name), range(times)))
    assert set(statuses) <= {200, 429}, statuses
    return statuses.count(200)


def calls(envoy, counter="ledger_calls"):
    return sum(envoy.stats(f"weir.quota.{counter}_total").values())


def test_two_envoys_admit_no_more_than_one_limit(fleet):
    gateway, second = fleet
    admitted = ask_often(gateway, "rate", 120)
    print(f"limit 40, admitted {admitted}")
    assert 38 <= admitted <= 40
    both = [sum(envoy.stats("weir.quota.admitted_total").values()) for envoy in (gateway, second)]
    assert min(both) > 0, both


def test_a_budget_outlives_every_part(fleet):
    gateway, second = fleet
    admitted = ask_often(gateway, "crash", 10)
    assert admitted == 10
    gateway.kill_control_plane()
    gateway.restart_control_plane()
    gateway.wait_until_in_sync()
    admitted += ask_often(gateway, "crash", 10)
    # Its counts are gone with it; what it may have spent of its slice stays charged.
    os.kill(gateway._envoy.process.pid, signal.SIGKILL)
    gateway.start_envoy()
    gateway.wait_until_ready()
    admitted += ask_often(gateway, "crash", 100, at_once=2)
    print(f"budget {BUDGET} tokens, admitted {admitted * USED}")
    assert admitted * USED <= BUDGET


def test_a_gateway_that_has_lost_its_ledger_keeps_to_the_rule(fleet):
    gateway, second = fleet
    assert ask(gateway, "lost") == 200
    gateway.kill_control_plane()
    until(lambda: ask(gateway, "lost") == 503, "the slice has expired", 30)
    gateway.restart_control_plane()
    until(lambda: ask(gateway, "lost") == 200, "the ledger is back", 30)
