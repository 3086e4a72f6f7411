"""Two control planes over one PostgreSQL, each with an Envoy of its own."""

import subprocess
import threading
import time

import httpx
import openai
import pytest

from conftest import openai_client
from harness.gateway import Gateway
from harness.postgres import Postgres
from harness.process import until
from test_tls import Certificates

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def postgres(logs):
    """A database whose server has a certificate."""
    certificates = Certificates(logs / "replicas-tls")
    certificates.make("postgres", "localhost", "basicConstraints=critical,CA:FALSE")
    certificate, key = (certificates.folder / f"postgres.{end}" for end in ("crt", "key"))
    postgres = Postgres(logs / "postgres", certificate, key)
    postgres.certificate = certificate
    yield postgres
    postgres.stop()


@pytest.fixture(scope="module")
def replicas(logs, near, gateways, postgres):
    """The first reaches the database over TLS, the second in plain text."""
    config = {"providers": [{"name": "near", "upstream": f"{near.url}/v1", "credentials": ["near"]}]}
    config["secrets"] = {"near": {"env": "NEAR_KEY"}}
    secrets = {"NEAR_KEY": "sk-near-3f1b0c9e5a"}
    encrypted = postgres.url("localhost", sslmode="require", sslrootcert=postgres.certificate)
    for name, url in (("replica-a", encrypted), ("replica-b", postgres.url())):
        gateways.append(Gateway(logs / name, config, secrets, store=url))
    return gateways[-2:]


@pytest.fixture(scope="module")
def apis(replicas):
    """The API at each of the two, as the administrator."""
    headers = {"authorization": f"Bearer {replicas[0].admin_token}"}
    apis = [httpx.Client(base_url=replica.api_url, headers=headers, timeout=30) for replica in replicas]
    until(lambda: apis[1].get("/v1/keys").status_code == 200, "the second knows the first one's token")
    yield apis
    for api in apis:
        api.close()


@pytest.fixture(scope="module")
def team(replicas, apis):
    """A model that is made at one replica, and the secret of a key that is made at the other."""
    model = {"name": "shared", "targets": [{"provider": "near", "model": "upstream"}]}
    assert apis[0].put("/v1/models/shared", json=model).status_code == 201
    made = apis[1].post("/v1/keys", json={"id": "team"})
    assert made.status_code == 201, made.text
    for replica in replicas:
        until(lambda replica=replica: asks(replica, made.json()["secret"]), "it is in effect at each")
    return made.json()["secret"]


def asks(gateway, secret, model="shared"):
    return openai_client(gateway, secret).chat.completions.create(model=model, messages=HELLO).choices


def test_a_change_at_one_replica_reaches_the_envoy_of_the_other(replicas, apis, team):
    for writer, reader in ((0, 1), (1, 0)):
        name = f"by-{writer}"
        model = {"name": name, "targets": [{"provider": "near", "model": "upstream"}]}
        assert apis[writer].put(f"/v1/models/{name}", json=model).status_code == 201
        began = time.monotonic()
        until(lambda reader=reader, name=name: asks(replicas[reader], team, name), "the other Envoy has it", 3)
        # Sooner than anybody asks whether there is something new.
        assert time.monotonic() - began < 3
        assert apis[writer].delete(f"/v1/models/{name}").status_code == 204
        until(lambda reader=reader, name=name: raises_not_found(replicas[reader], team, name), "and loses it")


def raises_not_found(gateway, secret, model):
    try:
        asks(gateway, secret, model)
    except openai.NotFoundError:
        return True
    return False


def test_what_was_used_at_either_is_told_by_both(replicas, apis, team):
    def counts():
        query = {"by": "key,model", "bucket": "day", "model": "shared"}
        rows = [api.get("/v1/usage", params=query).raise_for_status().json()["usage"] for api in apis]
        return [sum(row["requests"] for row in of) for of in rows]

    # What came before has come to the database when nothing is added any more.
    until(lambda: min(counts()) >= 2, "both Envoys' first requests are told of")
    for replica in replicas:
        for _ in range(5):
            assert asks(replica, team)
    until(lambda: min(counts()) >= 12 and len(set(counts())) == 1, "both tell of all")
    assert "last_used_at" in apis[0].get("/v1/keys/team").json() and "last_used_at" in apis[1].get("/v1/keys/team").json()


def test_writers_at_both_replicas_lose_no_write(apis, team):
    assert apis[0].put("/v1/consumers/counter", json={"name": "counter", "labels": {"n": "0"}}).status_code == 201

    def count(api):
        done = 0
        while done < 10:
            seen = api.get("/v1/consumers/counter")
            if seen.status_code == 404:
                continue
            number = int(seen.json()["spec"]["labels"]["n"]) + 1
            spec = {"name": "counter", "labels": {"n": str(number)}}
            wrote = api.put("/v1/consumers/counter", json=spec, headers={"if-match": seen.headers["etag"]})
            assert wrote.status_code in (200, 412), wrote.text
            done += wrote.status_code == 200

    workers = [threading.Thread(target=count, args=(api,)) for api in apis for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for api in apis:
        until(lambda api=api: label(api) == "40", "each of the forty counts")


def label(api):
    return api.get("/v1/consumers/counter").json()["spec"]["labels"]["n"]


def every(api):
    """The names of all consumers."""
    names, params = set(), {"limit": 1000}
    while True:
        page = api.get("/v1/consumers", params=params).raise_for_status().json()
        names.update(item["name"] for item in page["items"])
        if "next_page_token" not in page:
            return names
        params["page_token"] = page["next_page_token"]


class Writers:
    """Clients that write to both replicas until they are told to end."""

    def __init__(self, apis, prefix):
        self.acknowledged, self.refused, self._over = {api: [] for api in apis}, [], threading.Event()
        writers = [(api, f"{prefix}/{number}") for number, api in enumerate(apis * 2)]
        self._workers = [threading.Thread(target=self._write, args=writer) for writer in writers]
        for worker in self._workers:
            worker.start()

    def _write(self, api, prefix):
        number = 0
        while not self._over.is_set():
            name, number = f"{prefix}/{number}", number + 1
            try:
                made = api.post("/v1/consumers", json={"name": name})
            except httpx.TransportError:
                self._over.wait(0.02)
                continue
            if made.status_code == 201:
                self.acknowledged[api].append(name)
            else:
                self.refused.append((made.status_code, made.json()["error"]["code"]))
                self._over.wait(0.02)

    def wait_for(self, api, more):
        """Waits until so many more writes at this replica are acknowledged."""
        known = len(self.acknowledged[api])
        until(lambda: len(self.acknowledged[api]) >= known + more, "writes are acknowledged", 20)

    def end(self):
        """Returns the names of all that was acknowledged."""
        self._over.set()
        for worker in self._workers:
            worker.join()
        return {name for names in self.acknowledged.values() for name in names}


def test_a_replica_that_is_killed_under_writes_loses_nothing_and_the_other_goes_on(replicas, apis, team):
    writers = Writers(apis, "killed")
    for api in apis:
        writers.wait_for(api, 5)
    replicas[0].kill_control_plane()
    writers.wait_for(apis[1], 10)
    assert asks(replicas[0], team), "its Envoy works on alone"
    replicas[0].restart_control_plane()
    writers.wait_for(apis[0], 5)
    acknowledged = writers.end()
    assert writers.refused == []
    for api in apis:
        until(lambda api=api: every(api) >= acknowledged, "each replica has all that was acknowledged")
    replicas[0].wait_until_in_sync()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_database_that_is_away_loses_nothing_and_envoys_work_on(replicas, apis, team, postgres, end):
    writers = Writers(apis, f"database-{end}")
    for api in apis:
        writers.wait_for(api, 5)
    getattr(postgres, end)()
    for replica, api in zip(replicas, apis, strict=True):
        until(lambda api=api: api.get("/v1/keys").status_code == 503, "the API says that it cannot")
        assert replica.status()["store"]["state"] == "away"
        assert asks(replica, team)
        assert replica.is_control_plane_ready()
        replica.restart_control_plane(wait=False)
        until(lambda replica=replica: "is waited for" in replica.weir_log(), "it waits for its database")
        assert asks(replica, team)
    postgres.start()
    for api in apis:
        writers.wait_for(api, 5)
    acknowledged = writers.end()
    refused = set(writers.refused)
    assert (503, "store_failed") in refused and refused <= {(503, "store_failed"), (503, "stopping")}
    for replica, api in zip(replicas, apis, strict=True):
        until(lambda api=api: every(api) >= acknowledged, "each replica has all that was acknowledged")
        replica.wait_until_in_sync()
        assert replica.status()["store"]["state"] == "open"
        assert asks(replica, team)


def test_the_databases_password_is_neither_logged_nor_an_argument(replicas):
    for replica in replicas:
        assert "hunter2" not in replica.weir_log()
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, timeout=10).stdout
    assert "weir" in processes and "hunter2" not in processes
