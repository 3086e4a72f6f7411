"""Requests that mean harm or are broken: each gets a clear answer, and nothing of it reaches an upstream."""

import gzip
import json

import pytest

from conftest import KEY, NARROW_KEY
from harness import raw
from harness.sim import fresh

KIB, MIB = 1024, 1024 * 1024
BEARER = ("authorization", f"Bearer {KEY}")
CHAT = {"model": "chat", "messages": []}


def send(gateway, tag, body=CHAT, headers=(), **request):
    return raw.request(gateway.port, headers=[BEARER, ("sim-tag", tag), *headers], body=body, **request)


@pytest.fixture
def unreached(near, far):
    """A tag that no model server may have seen by the end of the test."""
    tag = fresh()
    yield tag
    assert near.seen(tag) == far.seen(tag) == []


@pytest.fixture
def unfinished(near, far):
    """A tag under which no model server may have received a whole request by the end of the test."""
    tag = fresh()
    yield tag
    assert [seen.events for seen in near.seen(tag) + far.seen(tag) if "body_complete" in seen.events] == []


@pytest.mark.parametrize(
    "body, param",
    [
        (b"", "model"),
        (b"{}", "model"),
        (b'{"messages": [{"model": "chat"}]}', "model"),
        (b'{"metadata": {"model": "chat"}, "messages": []}', "model"),
        (b'{"Model": "chat", "messages": []}', "model"),
        (b'{"model": "chat", "model": "chat"}', "model"),
        (b'{"model": "chat", "mod\\u0065l": "same-name"}', "model"),
        (b'{"model": 7}', "model"),
        (b'{"model": null}', "model"),
        (b'{"model": ["chat"]}', "model"),
        (b'{"model": "' + b"x" * 300 + b'"}', "model"),
        (b"[]", None),
        (b'"model"', None),
        (b"hello", None),
        (b'{"messages": [], "mod', None),
        (b'{"model": "chat"} x', None),
        (b'{"model": "chat"}{"model": "same-name"}', None),
        (b'{"model": "chat",}', None),
        (b"{'model': 'chat'}", None),
        (b'\xef\xbb\xbf{"model": "chat"}', None),
        (b'{"messages": "\xff\xfe", "model": "chat"}', None),
        (b'{"a":' + b"[" * 5000 + b"]" * 5000 + b', "model": "chat"}', None),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else None,
)
def test_a_body_that_is_not_a_request_is_refused(gateway, unfinished, body, param):
    answer = send(gateway, unfinished, body)
    assert (answer.status, answer.error()["param"]) == (400, param)
    assert answer.error()["type"] == "invalid_request_error"


def test_a_body_that_ends_too_early_is_refused(gateway):
    # With a content-length the upstream may have all of it before its end is known; it reads no more in it.
    answer = send(gateway, fresh(), b'{"model": "chat", "messages": [')
    assert answer.status == 400
    assert answer.error()["type"] == "invalid_request_error"


@pytest.mark.parametrize("first, second", [("chat", "same-name"), ("chat", "chat"), ("same-name", "chat")])
@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
def test_a_second_model_after_the_first_has_flowed_ends_the_request(gateway, near, first, second, chunked):
    tag = fresh()
    start = b'{"model": "%s", "messages": [{"role": "user", "content": "' % first.encode()
    end = b'"}], "model": "%s"}' % second.encode()
    size = 2 * MIB
    length = len(start) + size + len(end)
    with raw.Connection(gateway.port) as connection:
        framing = ("transfer-encoding", "chunked") if chunked else ("content-length", length)
        head = [("host", "x"), ("authorization", f"Bearer {NARROW_KEY if first == 'chat' else KEY}")]
        connection.head(
            "POST",
            "/v1/chat/completions",
            [*head, ("content-type", "application/json"), framing, ("sim-tag", tag)],
        )
        write = connection.chunk if chunked else connection.send
        write(start)
        near.wait_for(tag, "headers")
        for _ in range(size // (256 * KIB)):
            write(b"x" * (256 * KIB))
        write(end)
        if chunked:
            connection.chunk(b"")
        try:
            assert connection.answer().status == 400
        except ConnectionError:
            pass
    (seen,) = near.wait_for(tag, "body_aborted")
    assert "body_complete" not in seen.events and "response_started" not in seen.events


def test_an_encoded_body_is_refused(gateway, unreached):
    body = gzip.compress(json.dumps(CHAT).encode())
    answer = send(gateway, unreached, body, [("content-encoding", "gzip")])
    assert answer.status == 415
    answer.error()


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/",
        "/v1/chat",
        "/v1/chat/completions/x",
        "/v2/chat/completions",
        "/V1/chat/completions",
    ],
)
def test_an_unknown_path_is_not_found(gateway, unreached, path):
    answer = send(gateway, unreached, path=path)
    assert answer.status == 404
    assert answer.error()["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "path",
    ["/v1/%2e%2e/sim/requests", "/v1/../sim/requests", "/v1%2fchat/completions", "/v1/chat%5ccompletions"],
)
def test_a_path_cannot_climb_out_of_the_api(gateway, unreached, path):
    answer = send(gateway, unreached, path=path)
    assert answer.status in (400, 404)


@pytest.mark.parametrize(
    "method, path, allow",
    [
        ("GET", "/v1/chat/completions", "POST"),
        ("PUT", "/v1/embeddings", "POST"),
        ("POST", "/v1/models", "GET"),
    ],
)
def test_a_wrong_method_is_not_allowed(gateway, unreached, method, path, allow):
    answer = send(gateway, unreached, method=method, path=path)
    assert (answer.status, answer.headers["allow"]) == (405, allow)
    answer.error()


def test_a_header_that_is_not_text_does_no_harm(gateway, near):
    tag = fresh()
    answer = send(gateway, tag, headers=[("x-note", b"\xff\xfe\x80caf\xe9"), ("x-weir-note", b"\xff")])
    assert answer.status == 200
    names = [name for name, _ in near.one(tag).headers]
    assert "x-note" in names and "x-weir-note" not in names


@pytest.mark.parametrize("value", [b"Bearer \xff\xfe", b"\xff", b"Bearer " + KEY.encode() + b"\xff"])
def test_a_key_that_is_not_text_is_refused(gateway, unreached, value):
    answer = raw.request(gateway.port, headers=[("authorization", value), ("sim-tag", unreached)], body=CHAT)
    assert (answer.status, answer.error()["code"]) == (401, "invalid_api_key")


def test_a_header_of_a_megabyte_is_refused(gateway, unreached):
    answer = send(gateway, unreached, headers=[("x-big", "x" * MIB)])
    assert answer.status == 431


def test_two_keys_do_not_add_up(gateway, unreached):
    headers = [
        ("authorization", "Bearer wk-nobody"),
        ("authorization", f"Bearer {KEY}"),
        ("sim-tag", unreached),
    ]
    answer = raw.request(gateway.port, headers=headers, body=CHAT)
    assert answer.status == 401


def test_a_body_with_two_framings_is_refused(gateway, unreached):
    body = json.dumps(CHAT).encode()
    with raw.Connection(gateway.port) as connection:
        head = [
            ("host", "x"),
            BEARER,
            ("content-length", 4),
            ("transfer-encoding", "chunked"),
            ("sim-tag", unreached),
        ]
        connection.head("POST", "/v1/chat/completions", head)
        connection.chunk(body)
        connection.chunk(b"")
        assert connection.answer().status == 400


def test_a_body_that_looks_like_a_request_is_not_answered(gateway, unreached):
    inner = b"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\n\r\n" % KEY.encode()
    with raw.Connection(gateway.port) as connection:
        head = [("host", "x"), ("authorization", "Bearer wk-nobody"), ("content-length", len(inner))]
        connection.head("POST", "/v1/chat/completions", [*head, ("sim-tag", unreached)])
        connection.send(inner)
        assert connection.answer().status == 401
        connection.head("GET", "/v1/nothing", [("host", "x"), BEARER, ("connection", "close")])
        assert connection.until_closed().count(b"HTTP/1.1 ") <= 1


@pytest.mark.parametrize("end", [b', "model": "same-name"}', b"} {}"])
def test_trailers_do_not_hide_a_body_that_is_not_a_request(gateway, unfinished, end):
    headers = [BEARER, ("content-type", "application/json"), ("sim-tag", unfinished)]
    body = b'{"model": "chat", "messages": []' + end
    answer = raw.request_h2(gateway.port, "/v1/chat/completions", headers, body, trailers=[("x-end", "1")])
    assert answer.status == 400
    answer.error()


def test_the_gateway_still_works_after_all_this(gateway):
    assert all(send(gateway, fresh()).status == 200 for _ in range(20))
