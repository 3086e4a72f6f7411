"""A provider that fails is left alone for a while, and asked again."""

import json
import time

import pytest

from conftest import FAR_CREDENTIAL
from harness.process import until
from harness.sim import Sim, fresh
from test_failover import ask, small


@pytest.fixture(scope="module")
def steady(logs):
    sim = Sim(logs, "--api-key", FAR_CREDENTIAL, "--base-path", "/deep/llm", "--steady", name="cooling-steady")
    yield sim
    sim.stop()


@pytest.fixture(scope="module")
def cooling(start_gateway, steady):
    def change(config):
        config["gateway"]["cooling"] = {"failures": 3, "time": "2s", "longest": "3s"}
        config["providers"].append({"name": "steady", "upstream": f"{steady.url}/deep/llm", "credentials": ["far"], "http2": True})
        first, last = {"provider": "near", "model": "n"}, {"provider": "steady", "model": "s", "priority": 1}
        config["models"] += [
            {"name": "safe", "targets": [first, last]},
            {"name": "hopeless", "targets": [first, first | {"model": "other", "priority": 1}]},
        ]

    return start_gateway("cooling", change=change)


def asked(gateway, near, *headers, model="safe"):
    """How often the first provider was asked for one request, and its answer."""
    tag = fresh()
    answer = ask(gateway, tag, small(model), headers)
    return len(near.seen(tag)), answer


def test_consecutive_failures_cool_a_target_and_time_brings_it_back(cooling, near):
    tries = [asked(cooling, near, ("sim-status", "503")) for _ in range(6)]
    assert [answer.status for _, answer in tries] == [200] * 6
    assert [times for times, _ in tries] == [1, 1, 1, 0, 0, 0]
    assert tries[0][1].headers["x-weir-attempts"] == "2" and tries[5][1].headers["x-weir-attempts"] == "1"
    until(lambda: asked(cooling, near)[0] == 1, "the first provider is asked again")
    assert [asked(cooling, near)[0] for _ in range(3)] == [1] * 3


def test_an_answer_between_failures_ends_the_row(cooling, near):
    for _ in range(3):
        assert [asked(cooling, near, ("sim-status", "500"))[0] for _ in range(2)] == [1, 1]
        assert asked(cooling, near)[0] == 1


def test_a_target_says_itself_when_to_come_back(cooling, near):
    started = time.monotonic()
    assert asked(cooling, near, ("sim-status", "429"), ("sim-retry-after", "600"))[0] == 1
    assert asked(cooling, near)[0] == 0
    until(lambda: asked(cooling, near)[0] == 1, "the first provider is asked again")
    assert 2 < time.monotonic() - started < 8, "at most as long as the configuration lets it"


def test_when_all_are_cooling_they_are_asked_nevertheless(cooling, near):
    for _ in range(4):
        times, answer = asked(cooling, near, ("sim-status", "429"), ("sim-retry-after", "1"), model="hopeless")
        assert (times, answer.status) == (2, 429)
    assert asked(cooling, near, model="hopeless")[1].status == 200
