"""The gateway configured over the control plane's API."""

import json
import subprocess
import threading
import time
from urllib.parse import quote

import httpx
import openai
import pytest

from conftest import openai_client
from harness.gateway import Gateway
from harness.process import built, free_port, modules_dir, until
from harness.sim import fresh

HELLO = [{"role": "user", "content": "hello"}]
MODEL = "Org/index-1.9b"


@pytest.fixture(scope="module")
def gateway(logs, near, gateways):
    """A gateway whose file has one secret and one provider; everything else is made over the API."""
    config = {
        "secrets": {"near": {"env": "NEAR_KEY"}},
        "providers": [{"name": "of-file", "upstream": near.url + "/v1", "credentials": ["near"]}],
    }
    gateways.append(Gateway(logs / "api", config, {"NEAR_KEY": "sk-near-3f1b0c9e5a"}, store=True))
    return gateways[-1]


@pytest.fixture(scope="module")
def api(gateway):
    """The API, as the administrator."""
    headers = {"authorization": f"Bearer {gateway.admin_token}"}
    with httpx.Client(base_url=gateway.api_url, headers=headers, timeout=10) as client:
        yield client


@pytest.fixture(scope="module")
def team(gateway, near, api):
    """A provider, a model, a consumer and a key, all made over the API; the key's secret."""
    provider = {"name": "near", "upstream": near.url + "/v1", "credentials": ["near"]}
    assert api.post("/v1/providers", json=provider).status_code == 201
    target = {"provider": "near", "model": "upstream-index"}
    assert api.put(path("models", MODEL), json={"name": MODEL, "targets": [target]}).status_code == 201
    consumer = {"name": "team/comments", "labels": {"tier": "gold"}}
    assert api.post("/v1/consumers", json=consumer).status_code == 201
    made = api.post("/v1/keys", json={"id": "team/laptop", "consumer": "team/comments", "models": [MODEL]})
    assert made.status_code == 201, made.text
    gateway.wait_until_in_sync()
    return made.json()["secret"]


def path(kind, name):
    return f"/v1/{kind}/{quote(name, safe='')}"


def error(answer, status, code):
    """The error object of an answer, which has this status and code."""
    body = answer.json()
    assert (answer.status_code, body["error"]["code"]) == (status, code), body
    assert set(body["error"]) == {"message", "type", "code", "object", "field"}
    return body["error"]


def asks(gateway, secret, **options):
    return openai_client(gateway, secret).chat.completions.create(model=MODEL, messages=HELLO, **options)


def test_what_is_made_over_the_api_alone_answers_the_next_request(gateway, near, team):
    tag = fresh()
    assert asks(gateway, team, extra_headers={"sim-tag": tag}).choices
    assert json.loads(near.one(tag).body)["model"] == "upstream-index"
    assert [model.id for model in openai_client(gateway, team).models.list()] == [MODEL]


def test_a_secret_is_shown_once_and_written_nowhere(gateway, api, team):
    assert team.startswith("wk-") and len(team) == 46
    assert "secret" not in api.get(path("keys", "team/laptop")).json()
    database = b"".join(file.read_bytes() for file in gateway.store.parent.glob("weir.db*"))
    for secret in (team, gateway.admin_token):
        assert secret not in gateway.weir_log()
    assert team.encode() not in database
    assert gateway.store.stat().st_mode & 0o777 == 0o600
    assert gateway.store.with_name("weir.db.admin-token").stat().st_mode & 0o777 == 0o600


def test_a_crash_loses_nothing_that_was_acknowledged(gateway, api, team):
    acknowledged = []

    def write(worker):
        for number in range(10_000):
            name = f"crash/{worker}/{len(acknowledged)}-{number}"
            try:
                made = api.post("/v1/consumers", json={"name": name})
            except httpx.TransportError:
                return
            assert made.status_code == 201, made.text
            acknowledged.append(name)

    for _ in range(3):
        known = len(acknowledged)
        workers = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
        for worker in workers:
            worker.start()
        until(lambda: len(acknowledged) > known + 20, "twenty writes are acknowledged")
        gateway.kill_control_plane()
        for worker in workers:
            worker.join()
        assert asks(gateway, team).choices, "Envoy works on alone"
        gateway.restart_control_plane()
        names = set(every(api, "/v1/consumers"))
        assert names.issuperset(acknowledged), set(acknowledged) - names
    gateway.wait_until_in_sync()
    assert asks(gateway, team).choices


def every(api, url, **params):
    """The names of all objects of a list, page by page."""
    while True:
        page = api.get(url, params={"limit": 50} | params).raise_for_status().json()
        yield from (item["name"] for item in page["items"])
        if "next_page_token" not in page:
            return
        params["page_token"] = page["next_page_token"]


def test_a_wrong_write_is_refused_and_named_and_the_old_configuration_runs(gateway, api, team):
    before = gateway.status()["version"]
    wrong = {"name": MODEL, "targets": [{"provider": "naer"}]}
    refused = error(api.put(path("models", MODEL), json=wrong), 422, "invalid_object")
    assert (refused["object"], refused["field"]) == (f"models/{MODEL}", "targets[0].provider")
    assert 'did you mean "near"?' in refused["message"]
    misspelt = {"name": MODEL, "targets": [{"provider": "near", "modle": "x"}]}
    refused = error(api.put(path("models", MODEL), json=misspelt), 422, "invalid_object")
    assert refused["field"] == "targets[0].modle"
    assert error(api.delete(path("providers", "near")), 409, "in_use")["object"] == "providers/near"
    assert error(api.put("/v1/models/other", json=wrong), 422, "invalid_object")["field"] == "name"
    error(api.post("/v1/models", content=b"{"), 400, "invalid_json")
    error(api.post("/v1/models", content=b'"' + b"x" * 3_000_000 + b'"'), 413, "request_too_large")
    assert gateway.status()["version"] == before
    assert asks(gateway, team).choices


def test_what_the_file_has_is_shown_and_belongs_to_it(api, team):
    shown = api.get("/v1/providers/of-file").json()
    assert (shown["owner"], shown["spec"]["credentials"]) == ("file", ["near"])
    spec = {"name": "of-file", "upstream": "http://127.0.0.1:1/v1"}
    error(api.put("/v1/providers/of-file", json=spec), 409, "owned_by_file")
    error(api.post("/v1/providers", json=spec), 409, "owned_by_file")
    error(api.delete("/v1/providers/of-file"), 409, "owned_by_file")
    assert list(every(api, "/v1/providers")) == ["near", "of-file"]


def test_a_file_that_takes_a_stored_name_is_refused_until_the_stored_object_is_gone(gateway, api, team):
    api.post("/v1/consumers", json={"name": "both"}).raise_for_status()
    gateway.config["consumers"] = [{"name": "both"}]
    reason = gateway.break_config(gateway.text())
    assert "consumers/both: the store has an object of this name" in reason
    assert api.delete("/v1/consumers/both").status_code == 204
    until(lambda: gateway.status()["config"]["state"] == "running", "the file is read again by itself")
    assert api.get("/v1/consumers/both").json()["owner"] == "file"


def test_a_tenant_is_made_over_the_api_and_its_key_works_on_its_host_alone(gateway, api, team):
    document = {
        "domains": [{"name": "default", "hosts": ["*"]}, {"name": "finance", "hosts": ["finance.test"], "models": []}],
        "consumers": [{"name": "ledger", "domain": "finance"}],
        "models": [{"name": "ledger-chat", "domain": "finance", "targets": [{"provider": "near"}]}],
    }
    assert api.post("/v1/apply", json=document).status_code == 200
    made = api.post("/v1/keys", json={"id": "ledger-1", "consumer": "ledger", "labels": {"team": "a"}}).json()
    assert list(every(api, "/v1/keys", label="team=a")) == ["ledger-1"]
    gateway.wait_until_in_sync()
    at_home = openai_client(gateway, made["secret"], default_headers={"Host": "finance.test"})
    assert [model.id for model in at_home.models.list()] == ["ledger-chat"]
    assert asks(gateway, team).choices, "everyone else is still of the tenant default"
    with pytest.raises(openai.AuthenticationError):
        asks(gateway, made["secret"])
    assert error(api.delete("/v1/domains/finance"), 409, "in_use")["object"] == "domains/finance"
    for one in ("keys/ledger-1", "models/ledger-chat@finance", "consumers/ledger", "domains/finance", "domains/default"):
        assert api.delete(f"/v1/{one}").status_code == 204
    gateway.wait_until_in_sync()
    assert asks(gateway, team).choices


def test_a_provider_offers_a_model_and_a_tenant_makes_the_key_that_uses_it(gateway, api, team):
    def holder(**role):
        made = api.post("/v1/tokens", json={"name": role["role"], **role})
        assert made.status_code == 201, made.text
        headers = {"authorization": f"Bearer {made.json()['secret']}"}
        return httpx.Client(base_url=gateway.api_url, headers=headers, timeout=10)

    with holder(role="provider", provider="near") as provider, holder(role="tenant", domain="default") as tenant:
        model = {"name": "offered", "targets": [{"provider": "near"}], "limits": {"rpm": 100}}
        assert provider.post("/v1/models", json=model).status_code == 201
        assert tenant.post("/v1/consumers", json={"name": "default/desk"}).status_code == 201
        key = {"id": "default/desk-1", "consumer": "default/desk", "models": []}
        secret = tenant.post("/v1/keys", json=key).json()["secret"]
        client = openai_client(gateway, secret)
        gateway.wait_until_in_sync()
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="offered", messages=HELLO)
        assert provider.put("/v1/models/offered/keys/default%2Fdesk-1").status_code == 204
        gateway.wait_until_in_sync()
        assert client.chat.completions.create(model="offered", messages=HELLO).choices
        error(provider.get("/v1/keys"), 403, "forbidden")
        error(provider.get(path("models", MODEL)), 404, "not_found")
        assert api.delete("/v1/tokens/provider").status_code == 204
        error(provider.get("/v1/models"), 401, "invalid_token")


def test_two_who_change_an_object_at_once_do_not_overwrite_each_other(api, team):
    url, spec = "/v1/consumers/shared", {"name": "shared"}
    made = api.put(url, json=spec, headers={"if-none-match": "*"})
    assert made.status_code == 201
    error(api.put(url, json=spec, headers={"if-none-match": "*"}), 412, "precondition_failed")
    error(api.post("/v1/consumers", json=spec), 409, "already_exists")
    first = made.headers["etag"]
    assert api.get(url).headers["etag"] == first
    spec["labels"] = {"changed": "yes"}
    second = api.put(url, json=spec, headers={"if-match": first})
    assert second.status_code == 200 and second.headers["etag"] != first
    error(api.put(url, json=spec, headers={"if-match": first}), 412, "precondition_failed")
    error(api.delete(url, headers={"if-match": first}), 412, "precondition_failed")
    assert api.delete(url, headers={"if-match": second.headers["etag"]}).status_code == 204
    error(api.get(url), 404, "not_found")
    error(api.delete(url), 404, "not_found")


def test_a_list_is_filtered_by_label_and_refuses_what_it_does_not_know(api, team):
    assert list(every(api, "/v1/consumers", label="tier=gold")) == ["team/comments"]
    assert list(every(api, "/v1/consumers", label="tier=free")) == []
    for query in ("limit=0", "limit=1001", "page_token=!", "label=tier", "sort=name"):
        error(api.get(f"/v1/consumers?{query}"), 400, "invalid_query")
    error(api.get("/v1/models?label=tier=gold"), 400, "invalid_query")


def test_a_rotated_keys_old_secret_works_until_the_overlap_is_over(gateway, api, team):
    old = api.post("/v1/keys", json={"id": "turning"}).json()["secret"]
    new = api.post("/v1/keys/turning/rotate", json={"overlap_secs": 3}).json()["secret"]
    gateway.wait_until_in_sync()
    assert asks(gateway, old).choices and asks(gateway, new).choices

    def is_refused():
        try:
            return not asks(gateway, old)
        except openai.AuthenticationError:
            return True

    until(is_refused, "the old secret is refused")
    assert asks(gateway, new).choices
    error(api.post("/v1/keys/nobody/rotate", json={}), 404, "not_found")
    error(api.post("/v1/models/chat/rotate", json={}), 405, "method_not_allowed")


def test_a_key_that_is_disabled_stops_working(gateway, api, team):
    made = api.post("/v1/keys", json={"id": "short"}).json()
    gateway.wait_until_in_sync()
    assert asks(gateway, made["secret"]).choices
    assert api.put("/v1/keys/short", json=made["spec"] | {"disabled": True}).status_code == 200
    gateway.wait_until_in_sync()
    with pytest.raises(openai.AuthenticationError):
        asks(gateway, made["secret"])


def test_only_a_token_opens_the_api(gateway, api, team):
    wrong = ("Bearer wt-nobody", f"Basic {gateway.admin_token}", gateway.admin_token)
    for headers in ({}, *({"authorization": value} for value in wrong)):
        for method, url in (("GET", "/v1/keys"), ("PUT", "/v1/keys/x"), ("DELETE", "/v1/models/x")):
            answer = httpx.request(method, gateway.api_url + url, headers=headers)
            assert error(answer, 401, "invalid_token")["type"] == "authentication_error"
            assert answer.headers["www-authenticate"] == "Bearer"
    for url in ("/healthz", "/readyz", "/v1/status", "/openapi.json"):
        assert httpx.get(gateway.api_url + url).status_code == 200
    error(api.get("/v1/quotaz"), 404, "unknown_url")
    error(api.patch("/v1/models/x"), 405, "method_not_allowed")


def test_a_change_is_in_effect_within_a_second(gateway, api, team):
    key = api.post("/v1/keys", json={"id": "soon"}).json()["secret"]
    began = time.monotonic()
    until(lambda: asks(gateway, key).choices, "the new key works", 1)
    assert time.monotonic() - began < 1


def test_without_a_store_the_api_says_how_to_have_one(start_gateway):
    plain = start_gateway("no-store")
    refused = error(httpx.get(plain.api_url + "/v1/models"), 501, "no_store")
    assert "--store" in refused["message"]


@pytest.mark.parametrize("address", ["0.0.0.0", "[::]"])
def test_the_api_is_not_served_to_a_network_without_tls(gateway, tmp_path, address):
    command = [built("WEIR_BIN", "weir"), "serve", "--config", gateway.file, "--modules", modules_dir()]
    command += ["--xds", f"127.0.0.1:{free_port()}", "--admin", f"{address}:{free_port()}"]
    done = subprocess.run(
        [*command, "--store", tmp_path / "weir.db"], capture_output=True, text=True, timeout=10
    )
    assert done.returncode == 1 and "loopback" in done.stderr, done.stderr
