"""Quotas of two control planes over one PostgreSQL and one Redis, each with an Envoy of its own."""

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from harness.gateway import Gateway, key, weir
from harness.postgres import Postgres
from harness.process import until
from harness.redis import PASSWORD, Redis
from harness.sim import Sim
from test_tls import Certificates

KEYS = ["rate", "budget", "redis"]
# What the simulator says of the question: two words of prompt, four of answer.
USED = 6
BUDGET = 50 * USED


def secret(name):
    return f"wk-shared-{name}-82c6f1"


def quota(name, limits):
    return {"name": f"s-{name}", "match": {"key": name}, "limits": limits}


@pytest.fixture(scope="module")
def servers(logs):
    certificates = Certificates(logs / "shared-tls")
    certificates.make("server", "localhost", "basicConstraints=critical,CA:FALSE")
    certificate, private = (certificates.folder / f"server.{end}" for end in ("crt", "key"))
    postgres, redis = Postgres(logs / "shared-postgres", certificate, private), Redis(logs / "shared-redis", certificate, private)
    redis.certificate = certificate
    yield postgres, redis
    redis.stop()
    postgres.stop()


@pytest.fixture(scope="module")
def redis(servers):
    return servers[1]


@pytest.fixture(scope="module")
def replicas(logs, gateways, servers):
    """The first reaches Redis over TLS, the second in plain text."""
    postgres, redis = servers
    sim = Sim(logs / "shared-sim", name="shared")
    config = {
        "keys": [key(secret(name), name) for name in KEYS],
        "providers": [{"name": "near", "upstream": f"{sim.url}/v1"}],
        "models": [{"name": "chat", "targets": [{"provider": "near"}]}],
        "quotas": [
            quota("rate", {"rpm": 40}),
            quota("budget", {"tokens_per_month": BUDGET}),
            quota("redis", {"tokens_per_month": 100_000}),
        ],
    }
    for name, url in (("shared-a", redis.url(redis.certificate)), ("shared-b", redis.url())):
        gateways.append(Gateway(logs / name, config, {"WEIR_LEDGER": url}, store=postgres.url()))
    yield gateways[-2:]
    sim.stop()


@pytest.fixture(scope="module")
def api(replicas):
    """The administrator's headers: the first replica to start has made the token."""
    return {"authorization": f"Bearer {replicas[0].admin_token}"}


def ask(gateway, name):
    headers = {"authorization": f"Bearer {secret(name)}"}
    body = {"model": "chat", "messages": [{"role": "user", "content": "hello gateway"}], "max_tokens": 4}
    return httpx.post(f"{gateway.base_url}/chat/completions", headers=headers, json=body, timeout=20).status_code


def ask_often(gateways, name, times, refused=(429,)):
    """Asks each gateway in turn; returns how many were admitted at each."""
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda number: ask(gateways[number % len(gateways)], name), range(times)))
    assert set(statuses) <= {200, *refused}, statuses
    return [statuses[at :: len(gateways)].count(200) for at in range(len(gateways))]


def used(gateway, api, name, limit="tokens_per_month"):
    """What the ledger knows, as a replica tells it."""
    answer = httpx.get(f"{gateway.api_url}/v1/quotas/s-{name}/state", headers=api, timeout=10)
    (counter,) = answer.raise_for_status().json()["counters"]
    return counter["limits"][limit]["used"]


def test_two_replicas_admit_no_more_than_one_limit(replicas, api):
    admitted = ask_often(replicas, "rate", 120)
    print(f"limit 40, admitted {admitted}")
    assert 38 <= sum(admitted) <= 40 and min(admitted) > 0
    until(lambda: [used(one, api, "rate", "rpm") for one in replicas] == [sum(admitted)] * 2, "both know it", 20)


def test_a_replica_that_is_killed_takes_nothing_along(replicas, api):
    first, second = replicas
    admitted = sum(ask_often(replicas, "budget", 20))
    assert admitted == 20
    first.kill_control_plane()
    # Its Envoy spends the slice that it has, and then nothing passes; the other one's goes on.
    admitted += sum(ask_often(replicas, "budget", 20, refused=(429, 503)))
    first.restart_control_plane()
    first.wait_until_in_sync()

    def is_nearly_spent():
        nonlocal admitted
        admitted += sum(ask_often(replicas, "budget", 8, refused=(429, 503)))
        # The last requests may be smaller than what they would have to reserve.
        return admitted * USED > BUDGET - 5 * USED

    until(is_nearly_spent, "what one Envoy had and did not use is the other's", 60, every=1)
    print(f"budget {BUDGET} tokens, admitted {admitted * USED}")
    assert admitted * USED <= BUDGET
    for replica in replicas:
        until(lambda replica=replica: used(replica, api, "budget") == admitted * USED, "it is charged once", 30)


def test_a_redis_that_is_killed_under_load_forgets_nothing(replicas, api, redis):
    admitted, lost, over = [0, 0], [0, 0], threading.Event()

    def load(at):
        while not over.is_set():
            status = ask(replicas[at], "redis")
            assert status in (200, 503), status
            admitted[at] += status == 200
            lost[at] += status == 503

    with ThreadPoolExecutor(4) as pool:
        loads = [pool.submit(load, at) for at in (0, 1, 0, 1)]
        for _ in range(2):
            passed = list(admitted)
            until(lambda passed=passed: min(now - then for now, then in zip(admitted, passed)) > 50, "both admit", 30)
            redis.kill()
            away = list(lost)
            until(lambda away=away: sum(lost) > sum(away), "slices are used up", 60)
            redis.start()
        passed = list(admitted)
        until(lambda: min(now - then for now, then in zip(admitted, passed)) > 20, "both admit again", 30)
        over.set()
        for one in loads:
            one.result()
    charged = sum(admitted) * USED
    print(f"admitted {charged} tokens, {sum(lost)} requests refused while Redis was away")
    until(lambda: used(replicas[1], api, "redis") == charged, "what was admitted is charged once", 30)
    for replica in replicas:
        assert "the ledger is lost" in replica.weir_log() and PASSWORD not in replica.weir_log()


def test_replicas_have_no_ledger_in_a_file(servers, tmp_path):
    postgres, _ = servers
    (tmp_path / "weir.yaml").write_text("{}")
    options = ["--config", tmp_path / "weir.yaml", "--modules", tmp_path, "--store", postgres.url()]
    done = weir("serve", *options, "--ledger", tmp_path / "ledger", check=False)
    assert done.returncode == 1 and "replicas share a database" in done.stderr
