"""Who is let in, who is not, and what stays secret."""

import json

import httpx
import openai
import pytest

from conftest import (
    DISABLED_KEY,
    EXPIRED_KEY,
    FAR_CREDENTIAL,
    KEY,
    NARROW_KEY,
    NEAR_CREDENTIAL,
    openai_client,
)
from harness import raw
from harness.process import until
from harness.sim import fresh

HELLO = [{"role": "user", "content": "hello"}]
CHAT = {"model": "chat", "messages": HELLO}


def refused(gateway, api_key, **request):
    client = openai_client(gateway, api_key)
    with pytest.raises(openai.APIStatusError) as refusal:
        client.chat.completions.create(**(CHAT | request))
    return refusal.value


@pytest.mark.parametrize("api_key", ["wk-nobody", DISABLED_KEY, NEAR_CREDENTIAL, KEY + "x", KEY[:-1]])
def test_a_key_that_is_not_valid_is_refused(gateway, api_key):
    refusal = refused(gateway, api_key)
    assert isinstance(refusal, openai.AuthenticationError)
    assert (refusal.code, refusal.type) == ("invalid_api_key", "invalid_request_error")
    assert refusal.response.headers["www-authenticate"].startswith("Bearer ")


def test_an_expired_key_is_refused_as_such(gateway):
    refusal = refused(gateway, EXPIRED_KEY)
    assert isinstance(refusal, openai.AuthenticationError)
    assert refusal.code == "key_expired"


@pytest.mark.parametrize(
    "headers", [[], [("authorization", f"Basic {KEY}")], [("authorization", "Bearer ")], [("x-api-key", "")]]
)
def test_a_request_without_a_key_is_refused(gateway, headers):
    answer = raw.request(gateway.port, headers=headers, body=CHAT)
    assert (answer.status, answer.error()["code"]) == (401, "invalid_api_key")
    assert answer.headers["www-authenticate"].startswith("Bearer ")


def test_a_model_that_is_not_allowed_looks_like_one_that_does_not_exist(gateway):
    forbidden = refused(gateway, NARROW_KEY, model="same-name")
    unknown = refused(gateway, NARROW_KEY, model="no-such-model")
    for refusal in (forbidden, unknown):
        assert isinstance(refusal, openai.NotFoundError)
        assert (refusal.code, refusal.param) == ("model_not_found", "model")
    assert forbidden.body["message"].replace("same-name", "no-such-model") == unknown.body["message"]


def test_a_model_that_is_not_allowed_cannot_be_described_either(gateway):
    with pytest.raises(openai.NotFoundError) as refusal:
        openai_client(gateway, NARROW_KEY).models.retrieve("same-name")
    assert refusal.value.code == "model_not_found"


def test_a_key_is_taken_from_the_header_that_each_kind_of_client_uses(gateway):
    for headers in ({"authorization": f"Bearer {KEY}"}, {"x-api-key": KEY}, {"api-key": KEY}):
        answer = httpx.post(f"{gateway.base_url}/chat/completions", json=CHAT, headers=headers)
        assert answer.status_code == 200, headers


@pytest.mark.parametrize(
    "model, sim_name, credential", [("chat", "near", NEAR_CREDENTIAL), ("far-chat", "far", FAR_CREDENTIAL)]
)
def test_a_provider_sees_its_own_credential_and_never_the_clients(
    gateway, request, model, sim_name, credential
):
    sim, tag = request.getfixturevalue(sim_name), fresh()
    keys = {"authorization": f"Bearer {KEY}", "x-api-key": KEY, "api-key": KEY}
    answer = httpx.post(
        f"{gateway.base_url}/chat/completions", json=CHAT | {"model": model}, headers=keys | {"sim-tag": tag}
    )
    assert answer.status_code == 200
    seen = sim.one(tag)
    assert seen.header("authorization") == f"Bearer {credential}"
    assert KEY not in str(seen.headers)


def test_what_only_the_gateway_may_say_is_taken_from_the_client(gateway, near, far):
    tag = fresh()
    forged = {
        "x-weir-route": "far-chat",
        "x-weir-consumer": "root",
        "x-gateway-destination-endpoint": f"127.0.0.1:{far.port}",
        "x-envoy-original-dst-host": f"127.0.0.1:{far.port}",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "x-envoy-max-retries": "9",
        "host": f"127.0.0.1:{far.port}",
    }
    headers = forged | {"authorization": f"Bearer {KEY}", "sim-tag": tag}
    answer = httpx.post(f"{gateway.base_url}/chat/completions", json=CHAT, headers=headers)
    assert answer.status_code == 200
    seen = near.one(tag)
    assert seen.header("host") == f"127.0.0.1:{near.port}"
    assert [
        name for name, _ in seen.headers if name.startswith("x-weir-") or name in set(forged) - {"host"}
    ] == []
    assert far.seen(tag) == []


def test_a_forged_route_does_not_lead_past_the_list_of_allowed_models(gateway, near, far):
    tag = fresh()
    headers = [("authorization", f"Bearer {NARROW_KEY}"), ("x-weir-route", "same-name"), ("sim-tag", tag)]
    answer = raw.request(gateway.port, headers=headers, body=CHAT | {"model": "same-name"})
    assert (answer.status, answer.error()["code"]) == (404, "model_not_found")
    assert near.seen(tag) == far.seen(tag) == []


def test_a_body_never_carries_a_refused_request_to_the_upstream(gateway, near, far):
    for headers in ([], [("authorization", "Bearer wk-nobody")], [("api-key", EXPIRED_KEY)]):
        tag = fresh()
        with raw.Connection(gateway.port) as connection:
            head = [
                ("host", "x"),
                ("content-type", "application/json"),
                ("transfer-encoding", "chunked"),
                ("sim-tag", tag),
            ]
            connection.head("POST", "/v1/chat/completions", [*head, *headers])
            connection.chunk(b'{"model": "chat", ')
            connection.chunk(b'"messages": []}')
            connection.chunk(b"")
            assert connection.answer().status == 401
        assert near.seen(tag) == far.seen(tag) == []


def test_no_secret_is_shown_anywhere(gateway):
    last = fresh("last")
    for api_key in (KEY, NARROW_KEY, EXPIRED_KEY, DISABLED_KEY, "wk-typo-c0ffee"):
        headers = {"authorization": f"Bearer {api_key}", "x-api-key": api_key, "api-key": api_key}
        for model in ("chat", "far-chat", last):
            httpx.post(f"{gateway.base_url}/chat/completions", json=CHAT | {"model": model}, headers=headers)
        httpx.get(f"{gateway.base_url}/models/{last}", headers=headers)
    until(lambda: gateway.access_log().count(last) == 5, "every request is logged")
    places = {
        "the configuration dump": gateway.config_dump(),
        "the control plane's status": str(gateway.status()),
        "the control plane's log": gateway.weir_log(),
        "Envoy's log": gateway.envoy_log(),
        "the access log": gateway.access_log(),
    }
    secrets = [NEAR_CREDENTIAL, FAR_CREDENTIAL, KEY, NARROW_KEY, EXPIRED_KEY, DISABLED_KEY, "wk-typo-c0ffee"]
    assert [(place, secret) for place, text in places.items() for secret in secrets if secret in text] == []
    assert all(places.values()) and "weir.auth" in places["the configuration dump"]


def test_the_access_log_says_who_asked_for_what(gateway):
    path = f"/v1/models/{fresh('chat')}"
    httpx.get(f"http://127.0.0.1:{gateway.port}{path}", headers={"authorization": f"Bearer {NARROW_KEY}"})
    entries = until(
        lambda: [line for line in gateway.access_log().splitlines() if path in line], "a line is written"
    )
    (entry,) = map(json.loads, entries)
    expected = {"code": 404, "consumer": "narrow", "key_id": "narrow", "method": "GET", "path": path}
    assert {name: entry[name] for name in expected} == expected
