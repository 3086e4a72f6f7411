"""The control plane over TLS: Envoys show a certificate, and the API has one."""

import os
import ssl
import subprocess

import httpx
import pytest

from conftest import KEY, SECRETS, config_for, openai_client
from harness.envoy import Envoy
from harness.gateway import Gateway, weir
from harness.process import Process, built, free_port, modules_dir, until


class Authority:
    """A certificate authority in a folder, and what it has issued."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True)
        (folder / "openssl.cnf").write_text("[req]\ndistinguished_name = name\n[name]\n")
        self._make("ca", "basicConstraints=critical,CA:TRUE")

    def issue(self, name):
        """Writes a new certificate and its key in the place of those before."""
        signed = ["-CA", self.folder / "ca.crt", "-CAkey", self.folder / "ca.key"]
        self._make(name, "subjectAltName=IP:127.0.0.1", *signed)
        return self

    def serve(self):
        """The options of `weir serve`."""
        certificate, key, ca = (self.folder / file for file in ("weir.crt", "weir.key", "ca.crt"))
        admin = ["--admin-cert", certificate, "--admin-key", key]
        return [*admin, "--xds-cert", certificate, "--xds-key", key, "--xds-client-ca", ca]

    def bootstrap(self):
        """The options of `weir bootstrap`."""
        own = ["--xds-cert", self.folder / "envoy.crt", "--xds-key", self.folder / "envoy.key"]
        return ["--xds-ca", self.folder / "ca.crt", *own]

    def context(self):
        """What believes the authority."""
        return ssl.create_default_context(cafile=self.folder / "ca.crt")

    def _make(self, name, extension, *more):
        draft = self.folder / "draft"
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split()
        command += ["-config", self.folder / "openssl.cnf", "-subj", f"/CN={name}", "-addext", extension, *more]
        command += ["-keyout", f"{draft}.key", "-out", f"{draft}.crt"]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
        for end in ("key", "crt"):
            os.replace(f"{draft}.{end}", self.folder / f"{name}.{end}")


@pytest.fixture(scope="module")
def authority(logs):
    return Authority(logs / "authority").issue("weir").issue("envoy")


@pytest.fixture(scope="module")
def gateway(near, far, logs, gateways, authority):
    gateways.append(Gateway(logs / "control-tls", config_for(near, far), SECRETS, store=True, authority=authority))
    return gateways[-1]


def asks(gateway):
    with openai_client(gateway, KEY) as client:
        hello = [{"role": "user", "content": "hello"}]
        return client.chat.completions.create(model="chat", messages=hello).choices


def test_an_envoy_with_a_certificate_is_served_and_one_without_is_refused(gateway, authority, logs):
    assert asks(gateway)
    stranger, admin = logs / "stranger.yaml", free_port()
    bootstrap = weir("bootstrap", "--xds", gateway.xds, "--admin-port", admin, "--xds-ca", authority.folder / "ca.crt")
    stranger.write_text(bootstrap.stdout)
    envoy = Envoy(stranger, logs / "stranger", admin, free_port(), wait=False)
    try:
        until(lambda: "a connection was refused" in gateway.weir_log(), "the stranger is refused")
        assert [node["id"] for node in gateway.status()["nodes"]] == ["control-tls"]
        assert not envoy.is_ready()
    finally:
        envoy.stop()


def test_a_renewed_certificate_is_used_and_no_envoy_is_lost(gateway, authority):
    shown = lambda: ssl.get_server_certificate(("127.0.0.1", int(gateway.api_url.rpartition(":")[2])))
    before = shown()
    authority.issue("weir")
    until(lambda: shown() != before, "the new certificate is shown")
    gateway.wait_until_in_sync()
    (authority.folder / "weir.crt").write_text("nonsense")
    until(lambda: "TLS stays as it was" in gateway.weir_log(), "nonsense is reported")
    assert gateway.status()["nodes"]
    authority.issue("weir")
    gateway.edit_config(lambda config: config["models"].pop())
    assert asks(gateway)


def test_the_command_line_verifies_the_api(gateway, authority):
    options = ["--server", gateway.api_url, "--token-file", f"{gateway.store}.admin-token"]
    listed = weir("tokens", "list", *options, "--ca", authority.folder / "ca.crt")
    assert listed.stdout.splitlines()[1].startswith("first")
    refused = weir("tokens", "list", *options, check=False)
    assert refused.returncode == 1 and "UnknownIssuer" in refused.stderr, refused.stderr


def test_with_tls_the_api_is_served_to_a_network(gateway, authority, logs):
    port = free_port()
    command = [built("WEIR_BIN", "weir"), "serve", "--config", gateway.file, "--modules", modules_dir()]
    command += ["--xds", f"127.0.0.1:{free_port()}", "--admin", f"0.0.0.0:{port}", *authority.serve()]
    process = Process("weir", [*command, "--store", logs / "network.db"], logs / "network", os.environ | SECRETS)
    try:
        url = f"https://127.0.0.1:{port}"
        ready = lambda: httpx.get(url + "/readyz", verify=authority.context()).status_code == 200
        process.wait_until(ready, "is ready", 30)
        assert httpx.get(url + "/v1/models", verify=authority.context()).status_code == 401
    finally:
        process.stop()
