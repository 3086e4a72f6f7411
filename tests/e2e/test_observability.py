"""What the access log, the metrics and the response headers tell of a request, and what they do not."""

import json

import pytest

from conftest import KEY
from harness import raw
from harness.process import until
from harness.sim import fresh
from test_failover import ask, small

VARYING = ["time", "request_id", "upstream", "duration_ms", "first_byte_ms", "first_token_ms", "bytes_received", "bytes_sent"]
TOLD = ["x-weir-model", "x-weir-provider", "x-weir-upstream-model", "x-weir-attempts"]


@pytest.fixture(scope="module")
def observed(start_gateway):
    def change(config):
        first, last = {"provider": "near", "model": "near-model"}, {"provider": "far", "model": "far-model", "priority": 1}
        config["models"].append({"name": "safe", "targets": [first, last]})
        config["quotas"] = [{"name": "all", "limits": {"tpm": 1000000}}]

    return start_gateway("observed", change=change)


def told(answer):
    return {name: value for name, value in answer.headers.items() if name in TOLD}


def test_one_record_tells_who_asked_for_what_and_what_it_took(observed):
    assert ask(observed, fresh(), small("same-name")).status == 200
    lines = lambda: [line for line in observed.access_log().splitlines() if '"model":"same-name"' in line]
    line = json.loads(until(lines, "a line is written")[0])
    numbers = {name: line.pop(name) for name in VARYING}
    assert line == {
        "gateway": "e2e",
        "domain": "default",
        "consumer": "all",
        "key_id": "all",
        "provider": "near",
        "cluster": "near",
        "model": "same-name",
        "upstream_model": "same-name",
        "attempts": 1,
        "input_tokens": "2",
        "output_tokens": "4",
        "cached_input_tokens": "0",
        "reasoning_tokens": "0",
        "replay": None,
        "usage_source": "upstream",
        "finish_reason": "stop",
        "code": 200,
        "details": "via_upstream",
        "flags": "-",
        "method": "POST",
        "path": "/v1/chat/completions",
        "protocol": "HTTP/1.1",
        "template": None,
        "template_version": None,
        "prompt_bytes": None,
        "mcp_server": None,
        "mcp_tool": None,
        "mcp_outcome": None,
        "mcp_upstream_code": None,
    }
    assert 0 <= numbers["first_byte_ms"] <= numbers["duration_ms"]
    assert "Hi there" not in observed.access_log() and KEY not in observed.access_log()


def test_an_answer_says_who_gave_it(observed):
    assert told(ask(observed, fresh(), small("safe"))) == {
        "x-weir-model": "safe",
        "x-weir-provider": "near",
        "x-weir-upstream-model": "near-model",
        "x-weir-attempts": "1",
    }
    assert told(ask(observed, fresh(), small("safe"), [("sim-status", "503")])) == {
        "x-weir-model": "safe",
        "x-weir-provider": "far",
        "x-weir-upstream-model": "far-model",
        "x-weir-attempts": "2",
    }


def test_metrics_have_the_names_of_the_configuration_and_nothing_of_clients(observed):
    assert ask(observed, fresh(), small("embed")).status == 200
    assert ask(observed, fresh(), small("made-up-by-a-client")).status == 404
    labels = 'domain="default",model="embed",provider="near",upstream_model="bge-m3"'
    text = until(lambda: (text := observed.prometheus()) and f'weir_requests_total{{{labels},code="200"}} 1' in text and text, "the request is counted")
    for expected in (
        f"envoy_weir_input_tokens_total{{{labels}}} 2",
        f"envoy_weir_output_tokens_total{{{labels}}} 4",
        'envoy_weir_requests_total{domain="default",model="",provider="",upstream_model="",code="404"}',
    ):
        assert expected in text
    assert "made-up" not in text and 'consumer="' not in text
    for histogram in ("first_byte_ms", "duration_ms"):
        until(lambda: f"envoy_weir_{histogram}_count{{{labels}}} 1" in observed.prometheus(), f"{histogram} has a sample")


def test_a_number_that_is_not_there_is_not_counted(observed, near):
    """A request of which nothing is used, one that is not answered, and a list."""
    tag = fresh()
    with raw.Connection(observed.port) as connection:
        body = small("chat")
        connection.head("POST", "/v1/chat/completions", [("host", "a"), ("authorization", f"Bearer {KEY}"), ("content-length", len(body)), ("sim-tag", tag), ("sim-hold", tag)])
        connection.send(body.encode())
        near.wait_for(tag, "body_complete")
    near.wait_for(tag, "client_gone")
    raw.request(observed.port, method="GET", path="/v1/models", headers=[("authorization", f"Bearer {KEY}")])
    assert raw.request(observed.port, path="/nothing").status in (401, 404)
    until(lambda: observed.access_log().count("/nothing"), "the line is written")
    assert "non-number" not in observed.envoy_log()


def test_headers_can_be_turned_off_without_a_drain(observed):
    observed.edit_config(lambda config: config["gateway"].update(response_headers=False))
    assert told(ask(observed, fresh(), small("safe"))) == {}
    observed.edit_config(lambda config: config["gateway"].pop("response_headers"))
    assert told(ask(observed, fresh(), small("safe")))["x-weir-attempts"] == "1"
