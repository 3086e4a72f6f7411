"""What Envoy itself does about a provider: nodes that it leaves alone, and limits on what is under way."""

import json
import threading

import pytest

from conftest import FAR_CREDENTIAL
from harness.process import free_port, until
from harness.sim import Sim, fresh
from test_failover import ask, small


@pytest.fixture(scope="module")
def steady(logs):
    sim = Sim(logs, "--api-key", FAR_CREDENTIAL, "--base-path", "/deep/llm", "--steady", name="breakers-steady")
    yield sim
    sim.stop()


@pytest.fixture(scope="module")
def breakers(start_gateway, near, steady):
    def change(config):
        gone = f"http://127.0.0.1:{free_port()}"
        ejection = {"consecutive_5xx": 2, "base_ejection_time": "1h"}
        near_too = {"upstream": f"{near.url}/v1", "credentials": ["near"]}
        config["providers"] += [
            {"name": "steady", "upstream": f"{steady.url}/deep/llm", "credentials": ["far"], "http2": True},
            {"name": "pair", "upstream": [f"{gone}/deep/llm", f"{steady.url}/deep/llm"], "credentials": ["far"], "outlier_detection": ejection},
            {"name": "gone", "upstream": f"{gone}/v1"},
            {"name": "nowhere", "upstream": "http://nowhere.invalid/v1"},
            {"name": "narrow", "circuit_breakers": {"max_requests": 1}, **near_too},
        ]
        last = {"provider": "steady", "priority": 1}
        config["models"] += [
            {"name": "pair", "targets": [{"provider": "pair"}]},
            {"name": "crowd", "targets": [{"provider": "gone"}, {"provider": "near", "priority": 1}]},
            {"name": "narrow", "targets": [{"provider": "narrow"}, last]},
            {"name": "nowhere", "targets": [{"provider": "nowhere"}, last]},
        ]

    return start_gateway("breakers", change=change)


def provider_of(answer):
    return answer.status, answer.headers.get("x-weir-provider")


def test_a_node_that_fails_is_not_asked_any_more(breakers):
    ejected = lambda: breakers.stats("cluster.pair.outlier_detection.ejections_active") == {"cluster.pair.outlier_detection.ejections_active": 1}
    statuses = until(lambda: (status := ask(breakers, fresh(), small("pair")).status) == 503 and ejected() and [status], "the node is ejected")
    statuses += [ask(breakers, fresh(), small("pair")).status for _ in range(20)]
    assert statuses == [503] + [200] * 20


def test_a_crowd_whose_provider_fails_is_stood_in_for_as_one_request_is(breakers, near):
    """Envoy alone would let three requests at once be tried elsewhere."""
    tag, hold, answers = fresh(), fresh("hold"), []
    threads = [threading.Thread(target=lambda: answers.append(ask(breakers, tag, small("crowd"), [("sim-hold", hold)]))) for _ in range(20)]
    for thread in threads:
        thread.start()
    near.wait_for(tag, "body_complete", count=20)
    near.release(hold)
    for thread in threads:
        thread.join()
    assert [provider_of(answer) for answer in answers] == [(200, "near")] * 20


def test_a_provider_that_is_full_is_left_alone_until_there_is_room(breakers, near):
    tag, hold, answers = fresh(), fresh("hold"), []
    held = threading.Thread(target=lambda: answers.append(ask(breakers, tag, small("narrow"), [("sim-hold", hold)])))
    held.start()
    near.wait_for(tag, "body_complete")
    full = ask(breakers, fresh(), small("narrow"))
    assert (full.status, full.error()["code"]) == (503, "upstream_unavailable")
    assert provider_of(ask(breakers, fresh(), small("narrow"))) == (200, "steady")
    near.release(hold)
    held.join()
    assert provider_of(answers[0]) == (200, "narrow")
    until(lambda: provider_of(ask(breakers, fresh(), small("narrow"))) == (200, "narrow"), "the provider is asked again")


def test_a_provider_without_a_node_is_left_alone(breakers):
    first = ask(breakers, fresh(), small("nowhere"))
    assert (first.status, first.error()["code"]) == (503, "upstream_unavailable")
    assert [provider_of(ask(breakers, fresh(), small("nowhere"))) for _ in range(3)] == [(200, "steady")] * 3
    lines = until(lambda: [line for line in breakers.access_log().splitlines() if '"model":"nowhere"' in line], "a line is written")
    assert json.loads(lines[0])["details"] == "no_healthy_upstream"
