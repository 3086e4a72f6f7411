"""An Envoy that is taken out of service while it answers."""

import pytest

from conftest import KEY, openai_client
from harness import raw
from harness.gateway import weir
from harness.process import free_port, until
from harness.sim import fresh

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture
def gateway(start_gateway, gateways):
    """A gateway that ends with the test."""
    gateway = start_gateway(fresh("draining"))
    yield gateway
    gateways.remove(gateway)
    gateway.stop()


def held_stream(gateway, hold):
    """A stream that goes on until `hold` is released."""
    client = openai_client(gateway, KEY)
    events = client.chat.completions.create(
        model="chat", messages=HELLO, stream=True, extra_headers={"sim-hold": hold}
    )
    next(events)
    return events


def test_an_open_stream_ends_as_it_began_and_the_drain_after_it(gateway, near):
    hold = fresh("hold")
    events = held_stream(gateway, hold)
    drain = gateway.drain("--deadline", "1m", "--poll", "50ms")
    until(lambda: "active requests: 1" in drain.text(), "the drain sees the stream")
    assert not gateway.is_ready()
    answer = raw.request(gateway.port, "GET", "/v1/models", [("authorization", f"Bearer {KEY}")])
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert "drained" not in drain.text()
    near.release(hold)
    assert "".join(event.choices[0].delta.content or "" for event in events) == "You said: hello"
    assert drain.ends_with() == 0
    assert drain.text().splitlines()[-2:] == ["active requests: 0", "drained: nothing was cut"]


def test_what_outlasts_the_deadline_is_counted_and_left_to_whoever_ends_envoy(gateway, near):
    hold = fresh("hold")
    events = held_stream(gateway, hold)
    drain = gateway.drain("--deadline", "200ms", "--poll", "50ms")
    assert drain.ends_with() == 2
    assert "the deadline has passed: 1 active left" in drain.text()
    near.release(hold)
    assert "".join(event.choices[0].delta.content or "" for event in events) == "You said: hello"


def test_envoy_ends_if_asked(gateway):
    drain = gateway.drain("--at-least", "100ms", "--poll", "20ms", "--quit")
    assert (drain.ends_with(), gateway.envoy_ends()) == (0, 0)


def test_an_envoy_that_cannot_be_asked_is_named():
    port = free_port()
    done = weir("drain", "--admin", f"127.0.0.1:{port}", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"weir: Envoy's admin interface at 127.0.0.1:{port}: /healthcheck/fail: cannot connect")
