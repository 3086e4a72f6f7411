"""`weir` as people type it, against a control plane that runs."""

import json
import os
import subprocess

import httpx
import pytest
import yaml

from conftest import openai_client
from harness.gateway import key, weir
from harness.process import until

TEAM_KEY = "wk-team-31c0de"
HEADS = ["INPUT", "OUTPUT", "CACHED", "REASONING", "COST"]


@pytest.fixture(scope="module")
def served(start_gateway):
    """A gateway whose file has providers and models, and whose store is empty."""
    return start_gateway("cli", store=True)


@pytest.fixture
def run(served, tmp_path):
    """Runs `weir` with the control plane's address and token in the environment; with `document`, that is its `-f`."""

    def run(*arguments, document=None, **environment):
        if document is not None:
            file = tmp_path / "document.yaml"
            file.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
            arguments += ("-f", file)
        token = str(served.store) + ".admin-token"
        env = os.environ | {"WEIR_SERVER": served.api_url, "WEIR_TOKEN_FILE": token} | environment
        return weir(*arguments, env={name: value for name, value in env.items() if value is not None}, check=False)

    return run


def document(**more):
    return {
        "consumers": [{"name": "team", "labels": {"tier": "gold"}}],
        "models": [{"name": "team-chat", "targets": [{"provider": "near"}, {"provider": "far", "priority": 1}]}],
        "keys": [key(TEAM_KEY, "team-1", consumer="team", models=["team-chat"])],
    } | more


def test_a_document_is_applied_whole_and_again_without_a_change(served, run):
    first = run("apply", document=document())
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == "created   consumers/team\ncreated   keys/team-1\ncreated   models/team-chat\n3 created\n"
    served.wait_until_in_sync()
    with openai_client(served, TEAM_KEY) as client:
        hello = [{"role": "user", "content": "hello"}]
        assert client.chat.completions.create(model="team-chat", messages=hello).choices
    assert run("diff", document=document()).returncode == 0
    assert run("apply", document=document()).stdout == "3 unchanged\n"


def test_a_difference_is_shown_and_not_made(run):
    run("apply", document=document())
    heavier = document(models=[{"name": "team-chat", "targets": [{"provider": "near", "weight": 2}, {"provider": "far", "priority": 1}]}])
    shown = run("diff", document=heavier)
    assert (shown.returncode, shown.stdout) == (3, "changed   models/team-chat  targets[0].weight\n1 changed, 2 unchanged\n")
    assert run("diff", document=document()).returncode == 0
    changes = json.loads(run("diff", "-o", "json", document=heavier).stdout)["changes"]
    assert {"kind": "models", "name": "team-chat", "action": "changed", "fields": ["targets[0].weight"]} in changes


def test_what_is_exported_can_be_applied(run):
    run("apply", document=document())
    exported = run("export").stdout
    assert set(yaml.safe_load(exported)) == {"consumers", "keys", "models"}
    assert TEAM_KEY not in exported
    assert run("diff", "--prune", document=exported).returncode == 0
    everything = yaml.safe_load(run("export", "--all").stdout)
    assert {"near", "far"} <= {provider["name"] for provider in everything["providers"]}


def test_prune_removes_what_the_document_does_not_name_and_nothing_of_the_file(run):
    run("apply", document=document(consumers=[{"name": "team"}, {"name": "spare"}]))
    assert run("apply", document=document()).stdout == "changed   consumers/team  labels.tier\n1 changed, 2 unchanged\n"
    assert run("diff", "--prune", document=document()).stdout == "deleted   consumers/spare\n1 deleted, 3 unchanged\n"
    assert run("apply", "--prune", document=document()).returncode == 0
    assert run("apply", "--prune", document="").stdout.endswith("3 deleted\n")
    assert run("export").stdout.strip() == "{}"
    assert yaml.safe_load(run("export", "--all").stdout)["models"]


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"models": [{"name": "x", "targets": [{"provider": "naer"}]}]}, 'models/x.targets[0].provider: no provider is named "naer"'),
        ({"models": [{"name": "x", "tragets": []}]}, "models[0].tragets: unknown field"),
        ({"models": [{"name": "chat", "targets": [{"provider": "near"}]}]}, "models/chat: models/chat belongs to the configuration file"),
        ({"consumers": [{"name": "a"}, {"name": "a"}]}, "consumers/a.name: the document names it twice"),
        ({"gateway": {}}, "gateway: not among what is applied"),
        ({"models": {}}, "models: a list is needed"),
        ([], "the document is no object"),
        ("a: b: c", "document.yaml: "),
    ],
)
def test_a_wrong_document_changes_nothing_and_is_named(run, wrong, message):
    if isinstance(wrong, dict):
        wrong = {"consumers": [{"name": "first"}]} | wrong
    refused = run("apply", document=wrong)
    assert refused.returncode == 1 and refused.stdout == ""
    assert message in refused.stderr
    assert "first" not in run("export").stdout


def test_the_token_is_needed_and_never_shown(run, served, tmp_path):
    wrong = tmp_path / "token"
    wrong.write_text("wt-guessed\n")
    refused = run("export", WEIR_TOKEN_FILE=str(wrong))
    assert refused.returncode == 1 and "an API token is needed" in refused.stderr
    assert "wt-guessed" not in refused.stderr + refused.stdout
    nowhere = run("export", WEIR_SERVER="http://127.0.0.1:1")
    assert nowhere.returncode == 1 and "Connection refused" in nowhere.stderr
    assert served.admin_token not in nowhere.stderr


def test_a_key_is_made_shown_rotated_disabled_and_removed_over_the_api(run, served):
    server = ("--server", served.api_url)
    made = run("keys", "create", *server, "--id", "cli/1", "--label", "team=a", "--models", "chat", "-o", "json")
    assert made.returncode == 0, made.stderr
    secret = json.loads(made.stdout)["secret"]
    assert json.loads(made.stdout)["spec"]["prefix"] == secret[:7]
    listed = run("keys", "list", "--label", "team=a").stdout.splitlines()
    assert listed[0].split() == ["ID", "CONSUMER", "PREFIX", "STATE", "EXPIRES", "OWNER", "MODELS"]
    assert listed[1].split() == ["cli/1", "-", secret[:7], "enabled", "-", "api", "chat"]
    rotated = run("keys", "rotate", "cli/1", "--overlap", "1h").stdout.split()[-1]
    key = json.loads(run("keys", "list", "--label", "team=a", "-o", "json").stdout)[0]
    assert (key["spec"]["prefix"], len(key["spec"]["sha256"])) == (rotated[:7], 2)
    assert run("keys", "disable", "cli/1").stdout == "keys/cli/1 is disabled\n"
    assert " disabled " in run("keys", "list").stdout
    assert run("keys", "enable", "cli/1").returncode == 0
    assert run("keys", "delete", "cli/1").stdout == "keys/cli/1 is gone\n"
    gone = run("keys", "disable", "cli/1")
    assert (gone.returncode, gone.stderr) == (1, "weir: keys/cli/1: there is no keys/cli/1\n")


def test_without_a_server_a_key_is_made_for_the_file(run):
    made = run("keys", "create", "--id", "laptop", WEIR_SERVER=None).stdout.splitlines()
    assert made[1].startswith("wk-") and made[4].startswith(f"- {{id: laptop, prefix: {made[1][:7]}, sha256: ")


def test_a_token_is_made_listed_and_revoked(run):
    token = run("tokens", "create", "ci", "--provider", "near").stdout.split()[-1]
    assert token.startswith("wt-")
    assert run("keys", "list", WEIR_TOKEN_FILE=None, WEIR_TOKEN=token).returncode == 1, "a provider sees no keys"
    listed = run("tokens", "list").stdout.splitlines()
    assert listed[1].split()[:4] == ["ci", "provider", "near", token[:7]]
    assert run("tokens", "revoke", "ci").stdout == "tokens/ci is revoked\n"
    assert run("tokens", "create", "x").returncode == 2, "a token is for something"
    assert run("tokens", "create", "x", "--provider", "naer").returncode == 1


def test_usage_is_shown_and_a_quota_corrected(served, run):
    month = {"name": "month", "match": {"consumer": "team"}, "per": ["consumer"], "limits": {"tokens_per_month": 1000}}
    assert run("apply", document=document(quotas=[month])).returncode == 0
    served.wait_until_in_sync()
    with openai_client(served, TEAM_KEY) as client:
        hello = [{"role": "user", "content": "hello"}]
        answer = client.chat.completions.create(model="team-chat", messages=hello)
    used = answer.usage.total_tokens

    def usage(*arguments, **environment):
        shown = run("usage", "--by", "consumer,provider", "--only", "consumer=team", *arguments, **environment)
        assert shown.returncode == 0, shown.stderr
        return [line.split() for line in shown.stdout.splitlines()]

    head, row = until(lambda: len(rows := usage("--only", "model=team-chat")) == 2 and rows, "the record has come")
    assert head == ["TIME", "CONSUMER", "PROVIDER", "REQUESTS", "ERRORS", *HEADS]
    assert row[1:3] == ["team", "near"] and int(row[3]) >= 1
    assert json.loads(run("usage", "-o", "json", "--since", "1h").stdout)["usage"]
    assert run("usage", "--by", "secret").returncode == 2
    token = run("tokens", "create", "far-team", "--provider", "far").stdout.split()[-1]
    assert usage(WEIR_TOKEN_FILE=None, WEIR_TOKEN=token) == [head], "a provider is shown what was asked of it"

    def state():
        return run("quotas", "state", "month").stdout.splitlines()

    until(lambda: len(state()) == 2 and int(state()[1].split()[2]) == used, "the ledger is told", 30)
    assert state()[1].split()[:4] == ["consumer=team", "tokens_per_month", str(used), "1000"]
    counter = ["month", "--per", "consumer=team"]
    less = run("quotas", "adjust", *counter, "--limit", "tokens_per_month", "--by", "-3")
    assert less.stdout.splitlines()[1].split()[2] == str(used - 3), less.stderr
    assert run("quotas", "reset", *counter).stdout.splitlines()[1].split()[2] == "0"
    wrong = run("quotas", "adjust", *counter, "--limit", "rpm", "--by", "1")
    assert (wrong.returncode, "a budget that the quota has" in wrong.stderr) == (1, True)
    headers = {"authorization": f"Bearer {served.admin_token}"}
    entries = httpx.get(f"{served.api_url}/v1/audit", headers=headers).json()["entries"]
    assert [(entry["actor"], entry["action"]) for entry in entries] == [("admin/first", "reset"), ("admin/first", "adjust")]


def test_status_says_who_has_what_and_ends_with_3_when_something_is_refused(run, served):
    served.wait_until_in_sync()
    well = run("status")
    assert well.returncode == 0, well.stdout
    assert served.status()["version"] in well.stdout and "acked" in well.stdout
    assert json.loads(run("status", "-o", "json").stdout)["nodes"]
    served.break_config("models: [{name: bad, targets: []}]")
    ill = run("status")
    served.mend_config()
    assert ill.returncode == 3 and "models.bad.targets: a model needs at least one target" in ill.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_how_to_complete(run, shell):
    script = run("completions", shell).stdout
    assert "export" in script and "prune" in script
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
