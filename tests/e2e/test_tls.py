"""Tenants over TLS: each with a certificate of its own, which can be renewed under open streams."""

import shutil
import socket
import ssl
import subprocess

import httpx
import openai
import pytest
from openai import OpenAI

from conftest import SECRETS, config_for
from harness.gateway import Gateway, key, model
from harness.process import until
from harness.sim import fresh

VIDEO, FINANCE = "ai.video.test", "ai.finance.test"
KEYS = {VIDEO: "wk-tls-video-1d02", FINANCE: "wk-tls-finance-8a6c"}
HELLO = [{"role": "user", "content": "hello"}]


class Certificates:
    """Certificates that vouch for themselves, as files that the configuration names."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True)

    def make(self, name, host, *extensions):
        """Writes a new certificate and its key in the place of those before."""
        draft = self.folder / "draft"
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split()
        command += ["-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}"]
        command += [part for extension in extensions for part in ("-addext", extension)]
        command += ["-keyout", f"{draft}.key", "-out", f"{draft}.crt"]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
        for end in ("key", "crt"):
            shutil.move(f"{draft}.{end}", self.folder / f"{name}.{end}")

    def text(self, name):
        return (self.folder / f"{name}.crt").read_text()

    def secrets(self, *names):
        ends = [(name, end) for name in names for end in ("crt", "key")]
        return {f"{name}-{end}": {"file": str(self.folder / f"{name}.{end}")} for name, end in ends}


class At(httpx.BaseTransport):
    """Sends what is meant for a host to the gateway, with the host's name in TLS and in the request."""

    def __init__(self, port, trusted):
        self._port = port
        self._transport = httpx.HTTPTransport(verify=ssl.create_default_context(cadata=trusted))

    def handle_request(self, request):
        request.extensions["sni_hostname"] = request.url.host
        request.url = request.url.copy_with(host="127.0.0.1", port=self._port)
        return self._transport.handle_request(request)

    def close(self):
        self._transport.close()


@pytest.fixture(scope="module")
def certificates(logs):
    certificates = Certificates(logs / "certificates")
    certificates.make("video", VIDEO)
    certificates.make("finance", FINANCE)
    return certificates


@pytest.fixture(scope="module")
def gateway(near, far, logs, gateways, certificates):
    config = config_for(near, far)
    config["secrets"] |= certificates.secrets("video", "finance")
    tenants = {"video": VIDEO, "finance": FINANCE}
    config["domains"] = [
        {"name": name, "hosts": [host], "tls": {"certificate": f"{name}-crt", "key": f"{name}-key"}}
        for name, host in tenants.items()
    ]
    config["consumers"] = [{"name": name, "domain": name} for name in tenants]
    config["keys"] = [key(KEYS[host], name, consumer=name) for name, host in tenants.items()]
    config["models"] = [model("chat", "near"), model("far-chat", "far") | {"domain": "finance"}]
    gateways.append(Gateway(logs / "tls", config, SECRETS))
    return gateways[-1]


def client_at(gateway, host, trusted, api_key=None):
    http = httpx.Client(transport=At(gateway.port, trusted))
    options = {"base_url": f"https://{host}/v1", "max_retries": 0, "timeout": 15, "http_client": http}
    return OpenAI(api_key=api_key or KEYS[host], **options)


def served(gateway, host):
    """The certificate that a client which asks for the host is shown."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=15) as tcp:
        with context.wrap_socket(tcp, server_hostname=host) as tls:
            return ssl.DER_cert_to_PEM_cert(tls.getpeercert(binary_form=True))


@pytest.mark.parametrize("host, name", [(VIDEO, "video"), (FINANCE, "finance")])
def test_each_tenant_has_its_own_certificate(gateway, certificates, host, name):
    client = client_at(gateway, host, certificates.text(name))
    answer = client.chat.completions.create(model="chat", messages=HELLO)
    assert answer.choices[0].message.content == "You said: hello"
    other = {"video": "finance", "finance": "video"}[name]
    with pytest.raises(openai.APIConnectionError):
        client_at(gateway, host, certificates.text(other)).models.list()


def test_the_host_of_the_request_decides_whatever_name_tls_was_asked_for(gateway, certificates):
    client = client_at(gateway, VIDEO, certificates.text("video"))
    with pytest.raises(openai.AuthenticationError) as refusal:
        client.models.list(extra_headers={"Host": FINANCE})
    assert refusal.value.code == "invalid_api_key"
    models = client.models.list(extra_headers={"Host": FINANCE, "Authorization": f"Bearer {KEYS[FINANCE]}"})
    assert sorted(one.id for one in models) == ["chat", "far-chat"]


def test_http2_is_offered(gateway):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=15) as tcp:
        with context.wrap_socket(tcp, server_hostname=VIDEO) as tls:
            assert (tls.selected_alpn_protocol(), tls.version()) == ("h2", "TLSv1.3")


def test_a_request_without_tls_is_not_answered(gateway):
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{gateway.port}/v1/models", headers={"host": VIDEO, "x-api-key": KEYS[VIDEO]})


def test_a_renewed_certificate_is_served_and_breaks_no_stream(gateway, certificates, near):
    hold, before = fresh("hold"), certificates.text("video")
    changes = "listener_manager.*(modified|create_success|draining|in_place_updated)$"
    listeners = gateway.stats(changes)
    events = client_at(gateway, VIDEO, before).chat.completions.create(
        model="chat", messages=HELLO, stream=True, extra_headers={"sim-hold": hold}
    )
    next(events)
    certificates.make("video", VIDEO)
    after = certificates.text("video")
    assert after != before
    until(lambda: served(gateway, VIDEO) == after, "the new certificate is served")
    gateway.wait_until_in_sync()
    assert served(gateway, FINANCE) == certificates.text("finance")
    assert client_at(gateway, VIDEO, after).models.list().data
    near.release(hold)
    assert "".join(event.choices[0].delta.content or "" for event in events) == "You said: hello"
    assert gateway.stats(changes) == listeners


def test_a_file_that_is_no_certificate_leaves_the_last_one_in_use(gateway, certificates):
    good = certificates.text("video")
    file = certificates.folder / "video.crt"
    file.write_text("not a certificate")
    until(lambda: gateway.status()["config"]["state"] == "refused", "the file is refused")
    assert "domains.video.tls.certificate: the secret is no certificate" in gateway.status()["config"]["error"]
    assert served(gateway, VIDEO) == good
    file.write_text(certificates.text("finance"))
    ((_, resource, reason),) = gateway.wait_until_refused()
    assert resource == "video-crt+video-key"
    assert "PRIVATE KEY" not in reason
    assert served(gateway, VIDEO) == good
    file.write_text(good)
    gateway.wait_until_in_sync()


def test_no_private_key_is_shown_anywhere(gateway, certificates):
    lines = [line for name in ("video", "finance") for line in (certificates.folder / f"{name}.key").read_text().split()]
    secrets = [line for line in lines if len(line) > 40]
    places = [gateway.config_dump(), str(gateway.status()), gateway.weir_log(), gateway.envoy_log()]
    assert secrets and [secret for secret in secrets for text in places if secret in text] == []
