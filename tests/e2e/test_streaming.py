"""Streams: each event when it is said, and both ends learn when the other one goes."""

import http.client

import httpx
import openai
import pytest

from conftest import KEY
from harness.sim import fresh

HELLO = [{"role": "user", "content": "hello"}]
SIMS = pytest.mark.parametrize("model, sim_name", [("chat", "near"), ("far-chat", "far")])


def stream(client, model, **headers):
    headers = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    return client.chat.completions.create(model=model, messages=HELLO, stream=True, extra_headers=headers)


@SIMS
def test_an_event_reaches_the_client_before_the_next_is_said(client, request, model, sim_name):
    sim, tag, hold = request.getfixturevalue(sim_name), fresh(), fresh("hold")
    events = stream(client, model, sim_tag=tag, sim_hold=hold)
    assert next(events).choices[0].delta.role == "assistant"
    assert sim.one(tag).events.count("chunk_sent") == 1
    sim.release(hold)
    assert "".join(event.choices[0].delta.content or "" for event in events) == "You said: hello"


@SIMS
def test_a_client_that_leaves_ends_the_work_upstream(client, request, model, sim_name):
    sim, tag, hold = request.getfixturevalue(sim_name), fresh(), fresh("hold")
    events = stream(client, model, sim_tag=tag, sim_hold=hold)
    next(events)
    events.close()
    (seen,) = sim.wait_for(tag, "client_gone")
    assert "response_complete" not in seen.events


@SIMS
def test_a_client_that_leaves_before_the_answer_ends_the_work_too(gateway, request, model, sim_name):
    sim, tag, hold = request.getfixturevalue(sim_name), fresh(), fresh("hold")
    headers = {"authorization": f"Bearer {KEY}", "sim-tag": tag, "sim-hold": hold}
    with pytest.raises(httpx.ReadTimeout):
        body = {"model": model, "messages": HELLO}
        httpx.post(
            f"{gateway.base_url}/chat/completions",
            json=body,
            headers=headers,
            timeout=httpx.Timeout(10, read=0.3),
        )
    (seen,) = sim.wait_for(tag, "client_gone")
    assert "response_started" not in seen.events


@SIMS
def test_a_stream_that_the_upstream_cuts_does_not_look_complete(client, model, sim_name):
    events = stream(client, model, sim_reset_after_chunks=2)
    said = []
    with pytest.raises((httpx.HTTPError, openai.APIConnectionError, http.client.HTTPException)):
        for event in events:
            said.append(event)
    # A reset may overtake the chunks before it.
    assert len(said) <= 2


@SIMS
def test_an_upstream_that_cuts_before_the_first_byte_of_its_answer_is_an_error(client, model, sim_name):
    with pytest.raises((openai.APIStatusError, openai.APIConnectionError)):
        client.chat.completions.create(
            model=model, messages=HELLO, extra_headers={"sim-reset-after-chunks": "0"}
        )


def test_an_error_inside_a_stream_reaches_the_client(client):
    with pytest.raises(openai.APIError, match="fails, as asked"):
        list(stream(client, "chat", sim_error_in_200=1))


def test_a_compressed_stream_is_not_held_back(client, near):
    """Nobody has asked for the compression, so nobody reads the stream: its usage event comes too."""
    hold = fresh("hold")
    events = stream(client, "chat", sim_gzip=1, sim_hold=hold)
    assert next(events).choices[0].delta.role == "assistant"
    near.release(hold)
    assert "".join(event.choices[0].delta.content or "" for event in events if event.choices) == "You said: hello"


def test_many_streams_at_once_do_not_mix(gateway, near):
    tag, hold = fresh(), fresh("hold")
    headers = {"authorization": f"Bearer {KEY}", "sim-tag": tag, "sim-hold": hold}
    with httpx.Client(timeout=20, limits=httpx.Limits(max_connections=None)) as http:
        open_streams = []
        for number in range(50):
            body = {
                "model": "chat",
                "stream": True,
                "messages": [{"role": "user", "content": f"number-{number}"}],
            }
            request = http.build_request(
                "POST", f"{gateway.base_url}/chat/completions", json=body, headers=headers
            )
            open_streams.append(http.send(request, stream=True))
        near.wait_for(tag, "chunk_sent", count=50)
        near.release(hold)
        texts = [answer.read().decode() for answer in open_streams]
    for number, text in enumerate(texts):
        assert text.count("number-") == 1 and f' number-{number}"' in text
        assert text.endswith("data: [DONE]\n\n")
