"""How a model is found in a body that is still arriving, and what the upstream gets of that body."""

import json
import random

import pytest

from conftest import KEY, REQUEST_BODY_LIMIT
from harness import raw
from harness.sim import fresh

KIB, MIB = 1024, 1024 * 1024
HEADERS = [("host", "gateway.test"), ("authorization", f"Bearer {KEY}"), ("content-type", "application/json")]


def filled(size, model_first=True, model="chat"):
    """A request body of about this size."""
    model = f'"model": "{model}"'
    messages = '"messages": [{"role": "user", "content": "%s"}]' % ("x" * size)
    return ("{%s, %s}" % ((model, messages) if model_first else (messages, model))).encode()


def renamed(body, old=b"chat", new=b"chat-1.9b-instruct"):
    """The body with nothing but the model's literal changed."""
    return body.replace(b'"model": "' + old + b'"', b'"model": "' + new + b'"')


def begin(connection, tag, body, chunked):
    framing = ("transfer-encoding", "chunked") if chunked else ("content-length", len(body))
    connection.head("POST", "/v1/chat/completions", [*HEADERS, framing, ("sim-tag", tag)])


@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
@pytest.mark.parametrize("model, sim_name", [("chat", "near"), ("far-chat", "far")])
def test_the_upstream_is_called_while_the_client_is_still_sending(gateway, request, model, sim_name, chunked):
    sim, tag, body = request.getfixturevalue(sim_name), fresh(), filled(2 * MIB, model=model)
    with raw.Connection(gateway.port) as connection:
        begin(connection, tag, body, chunked)
        send = connection.chunk if chunked else connection.send
        send(body[: 64 * KIB])
        (seen,) = sim.wait_for(tag, "body_chunk")
        assert seen.events[0] == "headers" and "body_complete" not in seen.events
        for start in range(64 * KIB, len(body), 64 * KIB):
            send(body[start : start + 64 * KIB])
        if chunked:
            connection.chunk(b"")
        assert connection.answer().status == 200
    upstream_name = {"chat": b"chat-1.9b-instruct", "far-chat": b"f"}[model]
    # The length was said before it was known that there is no stream to ask for its usage.
    room = b"" if chunked else b" " * len(',"stream_options":{"include_usage":true}')
    assert sim.one(tag).body == renamed(body, model.encode(), upstream_name)[:-1] + room + b"}"


@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
def test_a_model_at_the_end_is_waited_for(gateway, near, chunked):
    tag, body = fresh(), filled(900 * KIB, model_first=False)
    with raw.Connection(gateway.port) as connection:
        begin(connection, tag, body, chunked)
        if chunked:
            connection.chunk(body)
            connection.chunk(b"")
        else:
            connection.send(body)
        assert connection.answer().status == 200
    assert near.one(tag).body == renamed(body)


def test_a_model_behind_more_than_can_be_held_is_refused(gateway, near):
    tag, body = fresh(), filled(2 * MIB, model_first=False)
    with raw.Connection(gateway.port) as connection:
        begin(connection, tag, body, chunked=True)
        connection.chunk(body[: 1200 * KIB])
        answer = connection.answer()
    assert (answer.status, answer.error()["code"]) == (413, "request_too_large")
    assert "put `model` before long values" in answer.error()["message"]
    assert near.seen(tag) == []


def test_a_form_whose_file_comes_first_is_told_to_put_it_last(gateway, near):
    tag, end = fresh(), b"\r\n--x--\r\n"
    file = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + b"a" * 3 * MIB
    model = b'\r\n--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nchat'
    headers = [*HEADERS[1:2], ("content-type", "multipart/form-data; boundary=x"), ("sim-tag", tag)]
    ask = lambda body: raw.request(gateway.port, path="/v1/audio/transcriptions", headers=headers, body=body)
    refused = ask(file + model + end)
    assert (refused.status, near.seen(tag)) == (413, [])
    assert "before the files of a form" in refused.error()["message"]
    assert ask(model[2:] + b"\r\n" + file + end).status == 200


@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
def test_a_body_above_the_limit_never_reaches_the_upstream_whole(gateway, near, chunked):
    tag, body = fresh(), filled(REQUEST_BODY_LIMIT + 1)
    with raw.Connection(gateway.port) as connection:
        begin(connection, tag, body, chunked)
        if not chunked:
            answer = connection.answer()
        else:
            connection.chunk(body)
            connection.chunk(b"")
            answer = connection.answer()
    assert (answer.status, answer.error()["code"]) == (413, "request_too_large")
    assert all("body_complete" not in seen.events for seen in near.seen(tag))


def test_no_way_of_cutting_a_request_changes_what_the_upstream_gets(gateway, near):
    cuts = random.Random(1)
    content = json.dumps({"text": 'a "model": "wrong" \\ ü €'}, ensure_ascii=False)
    message = {"role": "user", "content": content, "model": "nested"}
    body = json.dumps(
        {"messages": [message], "model": "chat", "seed": 1.50, "é": [{}]}, ensure_ascii=False
    ).encode()
    tag = fresh()
    for _ in range(100):
        ends = [*sorted(cuts.sample(range(1, len(body)), cuts.randint(0, 8))), len(body)]
        with raw.Connection(gateway.port) as connection:
            begin(connection, tag, body, chunked=True)
            start = 0
            for end in ends:
                connection.chunk(body[start:end])
                start = end
            connection.chunk(b"")
            assert connection.answer().status == 200, ends
    expected = renamed(body)
    assert [seen.body for seen in near.seen(tag)] == [expected] * 100


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(gateway, near):
    tag, body = fresh(), filled(64 * KIB)
    with raw.Connection(gateway.port) as connection:
        head = [*HEADERS, ("content-length", len(body)), ("expect", "100-continue"), ("sim-tag", tag)]
        connection.head("POST", "/v1/chat/completions", head)
        assert connection.receive(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        connection.send(body)
        assert connection.answer().status == 200
    assert near.one(tag).body == renamed(body)


def test_a_client_that_leaves_while_it_sends_leaves_the_upstream_without_a_request(gateway, near):
    tag, body = fresh(), filled(256 * KIB)
    with raw.Connection(gateway.port) as connection:
        begin(connection, tag, body, chunked=False)
        connection.send(body[: 64 * KIB])
        near.wait_for(tag, "body_chunk")
    (seen,) = near.wait_for(tag, "body_aborted")
    assert "body_complete" not in seen.events


@pytest.mark.parametrize("model_first", [True, False])
def test_a_body_that_ends_with_trailers_is_read_to_its_end(gateway, near, model_first):
    tag, body = fresh(), filled(100, model_first)
    headers = [*HEADERS[1:], ("sim-tag", tag)]
    answer = raw.request_h2(gateway.port, "/v1/chat/completions", headers, body, trailers=[("x-end", "1")])
    assert answer.status == 200
    assert near.one(tag).body == renamed(body)


@pytest.mark.parametrize(("number", "status"), [(b"1.50E+2", 200), (b"1e400", 400)])
def test_a_body_whose_model_keeps_its_name_is_not_touched(gateway, near, number, status):
    """Also a number that the model server itself refuses."""
    tag, body = fresh(), b' {"messages" : [ ],\n\t"model":"same-name" , "x": %s, "\\u0061": null}\n' % number
    answer = raw.request(gateway.port, headers=[*HEADERS[1:], ("sim-tag", tag)], body=body)
    assert answer.status == status
    assert near.one(tag).body == body


def test_an_escaped_model_is_read_as_what_it_means(gateway, near):
    tag, body = fresh(), b'{"mod\\u0065l": "ch\\u0061t", "messages": []}'
    answer = raw.request(gateway.port, headers=[*HEADERS[1:], ("sim-tag", tag)], body=body)
    assert answer.status == 200
    assert near.one(tag).body == b'{"mod\\u0065l": "chat-1.9b-instruct", "messages": []}'
