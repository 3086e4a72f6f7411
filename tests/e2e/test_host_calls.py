"""What a small request, and an event of a stream, cost in host calls, counted by modules that are built to count."""

import httpx
import pytest

from harness.chain import COUNTED, bootstrap
from harness.envoy import Envoy
from harness.process import free_port, modules_dir, until
from harness.sim import Sim

KEY = "wk-docs-all"
SMALL = {"model": "docs-small", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture(scope="module")
def envoy(logs):
    folder, port, admin_port = logs / "calls", free_port(), free_port()
    sim = Sim(folder, name="sim-calls")
    file = folder / "envoy.yaml"
    file.write_text(bootstrap(COUNTED, modules_dir() / "counted", sim.port, port, admin_port))
    envoy = Envoy(file, folder, admin_port, port)
    yield envoy
    envoy.stop()
    sim.stop()


def calls(envoy, body):
    """The host calls of a request, by filter."""
    before = len(envoy.process.out.read_text().splitlines())
    headers = {"authorization": f"Bearer {KEY}"}
    url = f"http://127.0.0.1:{envoy.port}/v1/chat/completions"
    assert httpx.post(url, json=body, headers=headers, timeout=30).status_code == 200
    lines = until(lambda: envoy.process.out.read_text().splitlines()[before:], "a line of the access log")
    return dict(zip(COUNTED, map(int, lines[0].split())))


def test_a_small_request_takes_few_host_calls(envoy):
    counted = calls(envoy, SMALL)
    expected = {"auth": 7, "router": 8, "quota": 20, "model-compat": 17}
    assert counted == expected, "more is slower; fewer is news for docs/operations.md"


def test_an_event_of_a_stream_takes_no_more_than_two_host_calls_of_model_compat_and_none_of_others(envoy):
    short, long = (calls(envoy, SMALL | {"stream": True, "max_tokens": tokens}) for tokens in (20, 220))
    more = {name: (long[name] - short[name]) / 200 for name in COUNTED}
    assert more["model-compat"] <= 2.2 and not any(more[name] for name in COUNTED[:3]), more
