"""The example without a control plane: tokens are charged to a service that speaks the protocol of envoyproxy/ratelimit."""

import json
import re
import sys

import httpx
import openai
import pytest
from openai import OpenAI

from harness.envoy import Envoy
from harness.process import ROOT, Process, free_port, until, with_modules
from harness.sim import Sim

FOLDER = ROOT / "examples/ratelimit-service"
MOST = 100
HELLO = [{"role": "user", "content": "hello gateway"}]
# What the simulator says of HELLO.
PROMPT, ANSWER = 2, 4
USED = PROMPT + ANSWER


class Service(Process):
    """The example's service, with its limits."""

    def __init__(self, folder, port):
        command = [sys.executable, FOLDER / "service.py", str(port), FOLDER / "limits.json"]
        super().__init__("ratelimit", command, folder)
        self.wait_until(lambda: "ready" in self.text(), "listens", 30)

    def added(self):
        """What each question has added, and what that came to."""
        return [tuple(map(int, pair)) for pair in re.findall(r"\+(\d+): (\d+) of", self.text())]


@pytest.fixture(scope="module")
def example(logs):
    folder, port, admin_port, service_port = logs / "ratelimit", free_port(), free_port(), free_port()
    sim, service = Sim(folder, name="small"), Service(folder, service_port)
    text = with_modules((FOLDER / "envoy.yaml").read_text())
    for old, new in {9901: admin_port, 10000: port, 8080: sim.port, 8081: service_port}.items():
        text = text.replace(f"port_value: {old}", f"port_value: {new}")
    bootstrap = folder / "envoy.yaml"
    bootstrap.write_text(text)
    envoy = Envoy(bootstrap, folder, admin_port, port)
    client = OpenAI(api_key="wk-docs-all", base_url=f"http://127.0.0.1:{port}/v1", max_retries=0, timeout=15)
    yield client, service
    failures = envoy.filter_failures()
    for process in (envoy, service, sim):
        process.stop()
    assert failures == {}


def test_the_service_is_asked_before_and_told_what_was_used_after(example):
    client, service = example
    answer = client.chat.completions.create(model="docs-small", messages=HELLO)
    assert answer.usage.total_tokens == USED
    until(lambda: len(service.added()) == 3, "the tokens are charged")
    assert service.added() == [(0, 0), (PROMPT, PROMPT), (ANSWER, USED)]
    assert "{'consumer': 'docs', 'model': 'docs-small'}" in service.text()


def test_an_aborted_stream_is_charged_to_the_service_by_what_was_delivered(example):
    client, service = example
    before = len(service.added())
    slow = {"sim-token-delay-ms": "20"}
    with client.chat.completions.create(
        model="docs-small", messages=HELLO, stream=True, max_tokens=5000, extra_headers=slow
    ) as stream:
        for _ in range(10):
            next(stream)
    until(lambda: len(service.added()) == before + 3, "the stream is charged")
    assert 9 <= service.added()[-1][0] < 80


def test_a_day_that_is_used_up_refuses_in_openais_words(example):
    client, service = example
    with pytest.raises(openai.RateLimitError) as refused:
        for _ in range(MOST):
            client.chat.completions.create(model="docs-small", messages=HELLO)
    assert refused.value.code == "insufficient_quota"
    until(lambda: service.added()[-1] == (0, service.added()[-2][1]), "the refused request is charged nothing")
    assert MOST < service.added()[-1][1] <= MOST + USED


def test_without_the_service_nothing_passes(example):
    client, service = example
    service.stop()
    with pytest.raises(openai.InternalServerError) as refused:
        client.chat.completions.create(model="docs-small", messages=HELLO)
    assert (refused.value.status_code, refused.value.code) == (503, "quota_unavailable")
