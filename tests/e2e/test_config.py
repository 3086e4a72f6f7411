"""A configuration that changes while the gateway works."""

import json
import shutil

import openai
import pytest

from conftest import KEY, openai_client
from harness.gateway import key, model
from harness.process import modules_dir, until
from harness.sim import fresh

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def gateway(start_gateway, tmp_path_factory):
    """A gateway of this module's own, with a copy of the filters of its own."""
    modules = tmp_path_factory.mktemp("modules")
    shutil.copytree(modules_dir(), modules, dirs_exist_ok=True)
    return start_gateway("changing", modules=modules)


def test_an_open_stream_ends_as_it_began_while_the_next_request_sees_the_change(gateway, near):
    secret, hold = "wk-short-lived-80aa", fresh("hold")
    gateway.edit_config(lambda config: config["keys"].append(key(secret, "short-lived")))
    client = openai_client(gateway, secret)
    events = client.chat.completions.create(
        model="chat", messages=HELLO, stream=True, extra_headers={"sim-hold": hold}
    )
    next(events)
    gateway.edit_config(lambda config: config["keys"].pop())
    with pytest.raises(openai.AuthenticationError):
        client.models.list()
    near.release(hold)
    assert "".join(event.choices[0].delta.content or "" for event in events) == "You said: hello"


def test_a_stream_survives_that_its_model_and_its_provider_go(gateway, far):
    hold = fresh("hold")
    client = openai_client(gateway, KEY)
    events = client.chat.completions.create(
        model="far-chat", messages=HELLO, stream=True, extra_headers={"sim-hold": hold}
    )
    next(events)

    def without_far(config):
        config["models"] = [entry for entry in config["models"] if entry["name"] != "far-chat"]
        config["providers"] = [entry for entry in config["providers"] if entry["name"] != "far"]
        config["secrets"].pop("far")

    gateway.edit_config(without_far)
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="far-chat", messages=HELLO)
    far.release(hold)
    assert "".join(event.choices[0].delta.content or "" for event in events) == "You said: hello"


def test_a_model_moves_to_another_name_upstream(gateway, near):
    client = openai_client(gateway, KEY)
    gateway.edit_config(lambda config: config["models"].append(model("moving", "near", "here")))
    for upstream in ("here", "there"):
        tag = fresh()
        client.chat.completions.create(model="moving", messages=HELLO, extra_headers={"sim-tag": tag})
        assert json.loads(near.one(tag).body)["model"] == upstream
        if upstream == "here":
            gateway.edit_config(lambda config: config["models"][-1].update(model("moving", "near", "there")))


@pytest.mark.parametrize(
    "text, named",
    [
        ("providers: [{name: near, upstrem: 'http://x/v1'}]", "upstrem"),
        ("models: [{name: chat, targets: [{provider: nobody}]}]", "nobody"),
        ("keys: [{id: a, sha256: short}]", "sha256"),
        ("models: {", "weir.yaml:1:"),
    ],
)
def test_a_file_that_cannot_be_is_refused_and_the_last_good_one_runs_on(gateway, text, named):
    reason = gateway.break_config(text)
    assert named in reason
    assert openai_client(gateway, KEY).chat.completions.create(model="chat", messages=HELLO).choices
    gateway.mend_config()


def test_a_cluster_that_envoy_refuses_is_reported_and_the_old_configuration_runs_on(gateway):
    def with_missing_ca(config):
        upstream = {"upstream": "https://127.0.0.1:1/v1", "tls": {"ca": "/nowhere/ca.pem"}}
        config["providers"].append({"name": "strict"} | upstream)
        config["models"].append(model("strict", "strict"))

    gateway.edit_config(with_missing_ca, wait=False)
    ((kind, resource, reason),) = gateway.wait_until_refused()
    assert "strict" in resource and "/nowhere/ca.pem" in reason, kind
    assert openai_client(gateway, KEY).chat.completions.create(model="chat", messages=HELLO).choices

    def without(config):
        config["providers"].pop()
        config["models"].pop()

    gateway.edit_config(without)
    assert openai_client(gateway, KEY).chat.completions.create(model="chat", messages=HELLO).choices


def test_a_module_that_envoy_cannot_load_is_reported_and_the_old_one_runs_on(gateway):
    (gateway.modules / "auth-broken.wasm").write_bytes(b"\0asm but not really")
    modules = gateway.modules / "modules.json"
    good = json.loads(modules.read_text())
    modules.write_text(json.dumps(good | {"auth": "auth-broken.wasm"}))
    ((_, resource, _),) = gateway.wait_until_refused()
    assert resource == "weir.auth"
    assert openai_client(gateway, KEY).chat.completions.create(model="chat", messages=HELLO).choices
    with pytest.raises(openai.AuthenticationError):
        openai_client(gateway, "wk-nobody").models.list()
    modules.write_text(json.dumps(good))
    gateway.wait_until_in_sync()


def test_the_gateway_works_on_while_its_control_plane_is_away(gateway, near):
    hold = fresh("hold")
    client = openai_client(gateway, KEY)
    events = client.chat.completions.create(
        model="chat", messages=HELLO, stream=True, extra_headers={"sim-hold": hold}
    )
    next(events)
    gateway.stop_control_plane()
    assert client.chat.completions.create(model="chat", messages=HELLO).choices
    gateway.restart_control_plane()
    gateway.wait_until_in_sync()
    near.release(hold)
    assert "".join(event.choices[0].delta.content or "" for event in events) == "You said: hello"


def test_a_stream_survives_that_the_control_plane_is_replaced_by_one_with_another_configuration(gateway, near):
    hold, secret = fresh("hold"), "wk-after-the-deploy-1b7d"
    events = openai_client(gateway, KEY).chat.completions.create(
        model="chat", messages=HELLO, stream=True, extra_headers={"sim-hold": hold}
    )
    next(events)
    gateway.stop_control_plane()
    gateway.write_config(lambda config: config["keys"].append(key(secret, "after-the-deploy")))
    gateway.restart_control_plane()
    # Envoy acknowledges a filter's configuration a moment before its workers have it.
    until(lambda: openai_client(gateway, secret).models.list().data, "the new key works")
    near.release(hold)
    assert "".join(event.choices[0].delta.content or "" for event in events) == "You said: hello"


def test_an_envoy_that_starts_while_the_control_plane_is_away_comes_up_when_it_returns(gateway):
    gateway.stop_control_plane()
    gateway.start_envoy()
    until(lambda: gateway.stats(r"^control_plane\.connected_state$"), "Envoy has started")
    assert not gateway.is_ready()
    gateway.restart_control_plane()
    gateway.wait_until_ready()
    assert openai_client(gateway, KEY).chat.completions.create(model="chat", messages=HELLO).choices


def test_an_earlier_configuration_is_restored_until_the_file_changes(gateway):
    secret = "wk-taken-back-7c20"
    client, good = openai_client(gateway, secret), gateway.status()["version"]
    gateway.edit_config(lambda config: config["keys"].append(key(secret, "taken-back")))
    until(lambda: client.models.list().data, "the new key works")
    newest, *_ = gateway.snapshots()
    assert (newest["version"], newest["origin"], newest["changes"]) == (
        gateway.status()["version"],
        "file",
        {"extensions": 1},
    )
    assert gateway.restore("no-such-version").status_code == 404
    assert gateway.restore(good, origin="http://somewhere.example").status_code == 403
    assert gateway.restore(good).json()["state"] == "restored"
    gateway.wait_until_in_sync()
    until(lambda: raises(openai.AuthenticationError, client.models.list), "the key works no more")
    status = gateway.status()
    assert (status["version"], status["config"]["state"], status["config"]["version"]) == (good, "restored", good)
    gateway.edit_config(lambda config: config["keys"].append(key("wk-next-55e1", "next")))
    until(lambda: client.models.list().data, "the file is served again")
    assert gateway.status()["config"]["state"] == "running"


def raises(error, action):
    try:
        action()
    except error:
        return True
    return False


def test_a_server_on_localhost_is_reached_where_it_listens(gateway, near):
    def add(config):
        provider = {"name": "local", "upstream": f"http://localhost:{near.port}/v1", "credentials": ["near"]}
        config["providers"].append(provider)
        config["models"].append(model("local-chat", "local"))

    gateway.edit_config(add)
    client = openai_client(gateway, KEY)
    for _ in range(6):
        assert client.chat.completions.create(model="local-chat", messages=HELLO).choices
