"""Two tenants behind one gateway, told apart by host: neither can use, or see, what is the other's."""

import json

import openai
import pytest

from conftest import SECRETS, config_for, openai_client
from harness import raw
from harness.gateway import Gateway, key, model
from harness.process import until
from harness.sim import fresh

VIDEO, FINANCE = "ai.video.test", "ai.finance.test"
VIDEO_KEY, FINANCE_KEY, EXPIRED_FINANCE_KEY = "wk-video-41c0", "wk-finance-9d2e", "wk-finance-old-77b3"
OTHER_HOST = {VIDEO: FINANCE, FINANCE: VIDEO}
KEYS = {VIDEO: VIDEO_KEY, FINANCE: FINANCE_KEY}
HELLO = [{"role": "user", "content": "hello"}]


def tenants(near, far):
    """`index` goes to `near`, but to `far` on the domain `finance`, which sees one shared model beside its own."""
    config = config_for(near, far)
    config["domains"] = [
        {"name": "video", "hosts": [VIDEO, "*.video.test"]},
        {"name": "finance", "hosts": [FINANCE], "models": ["shared"]},
    ]
    config["consumers"] = [
        {"name": "comments", "domain": "video", "labels": {"tier": "gold"}},
        {"name": "ledger", "domain": "finance"},
    ]
    config["keys"] = [
        key(VIDEO_KEY, "comments-1", consumer="comments"),
        key(FINANCE_KEY, "ledger-1", consumer="ledger"),
        key(EXPIRED_FINANCE_KEY, "ledger-0", consumer="ledger", expires_at="2020-01-01T00:00:00Z"),
    ]
    config["models"] = [
        model("index", "near", "index-public"),
        model("index", "far", "index-secure") | {"domain": "finance"},
        model("secret", "far") | {"domain": "finance"},
        model("clips", "near") | {"domain": "video"},
        model("shared", "near"),
        model("general", "near"),
    ]
    return config


@pytest.fixture(scope="module")
def gateway(near, far, logs, gateways):
    gateways.append(Gateway(logs / "tenants", tenants(near, far), SECRETS))
    return gateways[-1]


def client_at(gateway, host, api_key=None):
    return openai_client(gateway, api_key or KEYS[host], default_headers={"Host": host})


def ask(gateway, host, api_key, model="shared", path="/v1/chat/completions", **headers):
    fields = {"host": host, "authorization": f"Bearer {api_key}"} | headers
    body = json.dumps({"model": model, "messages": HELLO}).encode()
    with raw.Connection(gateway.port) as connection:
        connection.head("POST", path, [*fields.items(), ("content-length", len(body))])
        connection.send(body)
        return connection.answer()


@pytest.fixture
def unreached(near, far):
    """A tag that no model server may have seen by the end of the test."""
    tag = fresh()
    yield tag
    assert near.seen(tag) == far.seen(tag) == []


@pytest.mark.parametrize(
    "host, sim_name, upstream", [(VIDEO, "near", "index-public"), (FINANCE, "far", "index-secure")]
)
def test_one_name_goes_to_another_provider_on_another_domain(gateway, request, host, sim_name, upstream):
    tag = fresh()
    answer = client_at(gateway, host).chat.completions.create(
        model="index", messages=HELLO, extra_headers={"sim-tag": tag}
    )
    assert answer.choices[0].message.content == "You said: hello"
    seen = request.getfixturevalue(sim_name).one(tag)
    assert json.loads(seen.body)["model"] == upstream
    assert host not in str(seen.headers)


def test_each_tenant_is_told_of_its_own_models_and_the_shared_ones_it_sees(gateway):
    listed = {host: [one.id for one in client_at(gateway, host).models.list()] for host in KEYS}
    assert {host: sorted(models) for host, models in listed.items()} == {
        VIDEO: ["clips", "general", "index", "shared"],
        FINANCE: ["index", "secret", "shared"],
    }


@pytest.mark.parametrize("host, hidden", [(VIDEO, "secret"), (FINANCE, "clips"), (FINANCE, "general")])
def test_another_tenants_model_does_not_exist(gateway, unreached, host, hidden):
    client = client_at(gateway, host)
    for name in (hidden, "no-such-model"):
        with pytest.raises(openai.NotFoundError) as used:
            client.chat.completions.create(model=name, messages=HELLO, extra_headers={"sim-tag": unreached})
        with pytest.raises(openai.NotFoundError) as described:
            client.models.retrieve(name)
        message = f"The model `{name}` does not exist or you do not have access to it."
        for refusal in (used.value, described.value):
            assert (refusal.code, refusal.body["message"]) == ("model_not_found", message)


@pytest.mark.parametrize("name", ["finance//secret", "finance/secret", "secret@finance", "finance//index"])
def test_no_spelling_reaches_another_tenants_model(gateway, unreached, name):
    answer = ask(gateway, VIDEO, VIDEO_KEY, model=name, **{"sim-tag": unreached, "x-weir-route": "finance//secret"})
    assert (answer.status, answer.error()["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("host", [VIDEO, FINANCE])
def test_another_tenants_key_is_answered_as_one_that_does_not_exist(gateway, unreached, host):
    abroad = [KEYS[OTHER_HOST[host]]] + ([EXPIRED_FINANCE_KEY] if host == VIDEO else [])
    unknown = ask(gateway, host, "wk-nobody", **{"sim-tag": unreached})
    assert (unknown.status, unknown.error()["code"]) == (401, "invalid_api_key")
    for api_key in abroad:
        refusal = ask(gateway, host, api_key, **{"sim-tag": unreached})
        assert (refusal.status, refusal.body) == (unknown.status, unknown.body)
        assert refusal.headers.keys() == unknown.headers.keys()
        assert refusal.headers["www-authenticate"] == unknown.headers["www-authenticate"]
        with pytest.raises(openai.AuthenticationError):
            client_at(gateway, host, api_key).models.list()


def test_at_home_an_expired_key_is_told_so(gateway):
    assert ask(gateway, FINANCE, EXPIRED_FINANCE_KEY).error()["code"] == "key_expired"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "video.test", "ai.video.test.evil.test", "evil.test,ai.video.test", "xai.finance.test"]
)
def test_a_host_of_no_tenant_is_refused_whatever_the_key(gateway, unreached, host):
    answers = [ask(gateway, host, api_key, **{"sim-tag": unreached}) for api_key in (VIDEO_KEY, "wk-nobody")]
    for answer in answers:
        assert (answer.status, answer.error()["code"]) == (421, "unknown_host")
    assert answers[0].body == answers[1].body
    with pytest.raises(openai.APIStatusError) as refusal:
        client_at(gateway, host, VIDEO_KEY).models.list()
    assert (refusal.value.status_code, refusal.value.code) == (421, "unknown_host")


@pytest.mark.parametrize("host", ["AI.Video.TEST", "ai.video.test:8443", "ai.video.test.", "a.b.video.test"])
def test_a_host_is_known_however_it_is_written(gateway, host):
    assert ask(gateway, host, VIDEO_KEY).status == 200


@pytest.mark.parametrize(
    "forged",
    [
        {"x-forwarded-host": FINANCE},
        {"x-host": FINANCE},
        {"x-original-host": FINANCE},
        {"forwarded": f"host={FINANCE}"},
        {"x-weir-domain": "finance", "x-weir-consumer": "ledger", "x-weir-grant": "finance"},
        {"x-envoy-original-host": FINANCE},
    ],
    ids=lambda forged: next(iter(forged)),
)
def test_no_header_moves_a_request_to_another_tenant(gateway, near, far, unreached, forged):
    tag = fresh()
    answer = ask(gateway, VIDEO, VIDEO_KEY, model="index", **{"sim-tag": tag}, **forged)
    assert answer.status == 200
    assert (json.loads(near.one(tag).body)["model"], far.seen(tag)) == ("index-public", [])
    assert ask(gateway, VIDEO, VIDEO_KEY, model="secret", **{"sim-tag": unreached}, **forged).status == 404
    assert ask(gateway, VIDEO, FINANCE_KEY, **{"sim-tag": unreached}, **forged).status == 401


def test_the_host_of_an_absolute_request_target_stands_before_the_header(gateway, far, unreached):
    path, tag = f"http://{FINANCE}/v1/chat/completions", fresh()
    assert ask(gateway, VIDEO, VIDEO_KEY, path=path, **{"sim-tag": unreached}).status == 401
    assert ask(gateway, VIDEO, FINANCE_KEY, model="index", path=path, **{"sim-tag": tag}).status == 200
    assert json.loads(far.one(tag).body)["model"] == "index-secure"


def test_two_host_headers_are_refused(gateway, unreached):
    body = b'{"model": "shared", "messages": []}'
    with raw.Connection(gateway.port) as connection:
        hosts = [("host", VIDEO), ("host", FINANCE)]
        more = [("x-api-key", FINANCE_KEY), ("sim-tag", unreached), ("content-length", len(body))]
        connection.head("POST", "/v1/chat/completions", [*hosts, *more])
        connection.send(body)
        assert connection.answer().status in (400, 401, 421)


def test_over_http2_the_authority_decides(gateway, near, unreached):
    body, tag = b'{"model": "index", "messages": []}', fresh()

    def post(authority, api_key, model_tag, *more):
        headers = [("x-api-key", api_key), ("sim-tag", model_tag), *more]
        return raw.request_h2(gateway.port, "/v1/chat/completions", headers, body, authority=authority)

    assert post(VIDEO, VIDEO_KEY, tag).status == 200
    assert json.loads(near.one(tag).body)["model"] == "index-public"
    assert post(FINANCE, VIDEO_KEY, unreached).status == 401
    assert post("gateway.test", VIDEO_KEY, unreached).status == 421


def test_the_access_log_and_the_metrics_name_the_tenant(gateway):
    name = fresh("logged")
    before = gateway.stats("unknown_host_total")
    with pytest.raises(openai.NotFoundError):
        client_at(gateway, FINANCE).models.retrieve(name)
    lines = until(
        lambda: [line for line in gateway.access_log().splitlines() if name in line], "a line is written"
    )
    entry = json.loads(lines[0])
    assert (entry["domain"], entry["consumer"], entry["key_id"]) == ("finance", "ledger", "ledger-1")
    assert ask(gateway, "nobody.test", VIDEO_KEY).status == 421
    assert sum(gateway.stats("unknown_host_total").values()) == sum(before.values()) + 1


def test_a_tenant_comes_and_goes_under_open_streams(gateway, near):
    secret, host, hold = "wk-music-0b52", "ai.music.test", fresh("hold")
    assert ask(gateway, host, secret).status == 421
    listeners = gateway.stats("listener_manager.listener_(modified|create_success)$")

    def with_music(config):
        config["domains"].append({"name": "music", "hosts": [host], "models": []})
        config["consumers"].append({"name": "songs", "domain": "music"})
        config["keys"].append(key(secret, "songs-1", consumer="songs"))
        config["models"].append(model("index", "near", "index-music") | {"domain": "music"})

    def without_music(config):
        for kind in ("domains", "consumers", "keys", "models"):
            config[kind].pop()

    gateway.edit_config(with_music)
    client = client_at(gateway, host, secret)
    assert [one.id for one in client.models.list()] == ["index"]
    events = client.chat.completions.create(
        model="index", messages=HELLO, stream=True, extra_headers={"sim-hold": hold}
    )
    next(events)
    gateway.edit_config(without_music)
    assert ask(gateway, host, secret).status == 421
    assert ask(gateway, VIDEO, secret).status == 401
    near.release(hold)
    assert "".join(event.choices[0].delta.content or "" for event in events) == "You said: hello"
    assert gateway.stats("listener_manager.listener_(modified|create_success)$") == listeners
