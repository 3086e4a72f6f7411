"""MCP servers whose callers have tokens of OAuth: what Envoy verifies, what `auth` makes of it, and what goes no further."""

import json
import time

import httpx
import jwt
import pytest
from mcp.client.auth.utils import extract_resource_metadata_from_www_auth, extract_scope_from_www_auth
from mcp.shared.auth import ProtectedResourceMetadata

from harness.gateway import Gateway, key
from harness.issuer import Issuer
from harness.process import free_port, until

KEY = "wk-oauth-team-51"
RESOURCE = "https://mcp.example.com/logs"
OPEN, KEYS = "/logs", "/keys"


@pytest.fixture(scope="module")
def issuer():
    issuer = Issuer()
    yield issuer
    issuer.stop()


def server(name, api, **options):
    tools = [{"name": tool, "request_template": {"url": api.url + "/x"}} for tool in ("read", "write", "slow")]
    orchestrator = {"server": {"name": name}, "tools": tools}
    return {"path": f"/{name}/*", "middlewares": [{"name": "v1_mcp_server", "options": {"apiOrchestrator": orchestrator, **options}}]}


@pytest.fixture(scope="module")
def gateway(issuer, api, logs, gateways):
    oauth = {"resource": RESOURCE, "issuer": issuer.url, "jwks_uri": issuer.jwks_uri, "jwks_refresh": "1s", "clock_skew": "1s", "scopes": ["mcp:use"]}
    grants = [{"tools": ["read", "slow"]}, {"tools": ["write"], "scopes": ["logs:write"]}]
    also = {**oauth, "resource": "https://mcp.example.com/keys", "allow_keys": True, "consumer": {"claim": "azp", "prefix": "app/"}}
    behind = {"proxy": {"name": "behind", "upstreams": [{"url": api.url, "path": "/mcp"}], "forward_headers": ["authorization"]}}
    proxied = {"path": "/behind", "middlewares": [{"name": "v1_mcp_server", "options": {**behind, "oauth": {**oauth, "resource": "https://mcp.example.com/behind"}}}]}
    config = {
        "consumers": [{"name": "oauth/carol", "labels": {"tier": "gold"}}, {"name": "team"}],
        "keys": [key(KEY, "team-1", consumer="team")],
        "quotas": [{"name": "slow", "match": {"mcp_server": "logs", "tool": "slow"}, "per": ["consumer"], "limits": {"rpm": 2}}],
        "routes": [server("logs", api, oauth=oauth, grants=grants), server("keys", api, oauth=also), server("plain", api), proxied],
    }
    gateways.append(Gateway(logs / "oauth", config))
    return gateways[-1]


@pytest.fixture(scope="module")
def http(gateway):
    with httpx.Client(base_url=f"http://127.0.0.1:{gateway.port}", timeout=15) as client:
        yield client


def call(http, token, tool="read", path=OPEN, headers=None):
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool}}
    headers = {"authorization": f"Bearer {token}"} if token and headers is None else headers
    return http.post(path, json=message, headers=headers)


def challenge(answer):
    [value] = answer.headers.get_list("www-authenticate")
    return value


def test_a_token_is_an_identity_and_goes_no_further(http, gateway, issuer, api):
    api.requests.clear()
    token = issuer.token(RESOURCE, scope="mcp:use")
    answer = call(http, token)
    assert answer.status_code == 200 and "result" in answer.json(), answer.text
    told = '"consumer":"oauth/alice"'
    line = until(lambda: [line for line in gateway.access_log().splitlines() if told in line], "the access log has the caller")[-1]
    line = json.loads(line)
    assert (line["mcp_server"], line["mcp_tool"], line["domain"]) == ("logs", "read", "default")
    assert line["key_id"].startswith("token/")
    # Of an API, and of a server behind the gateway that even asks for it.
    assert call(http, issuer.token("https://mcp.example.com/behind", scope="mcp:use"), path="/behind").status_code == 200
    assert [request["path"] for request in api.requests] == ["/x", "/mcp"]
    assert all("eyJ" not in json.dumps(request) for request in api.requests)
    assert token not in gateway.access_log() + gateway.envoy_log() + gateway.weir_log()


def test_what_is_wrong_with_a_token_is_401_and_said(http, issuer):
    def of(**more):
        return issuer.token(RESOURCE, scope="mcp:use", **more)

    stranger = Issuer()
    stranger.stop()
    public = jwt.algorithms.RSAAlgorithm.from_jwk(json.dumps(issuer.published[0]))
    pem = public.public_bytes(*_pem()).decode()
    confused = _hs256(pem.encode(), {"iss": issuer.url, "aud": RESOURCE, "sub": "alice", "exp": int(time.time()) + 600})
    for what, token in {
        "expired": of(exp=int(time.time()) - 60),
        "not yet": of(nbf=int(time.time()) + 600),
        "endless": of(exp=None),
        "audience": issuer.token("https://mcp.example.com/keys", scope="mcp:use"),
        "no audience": of(aud=None),
        "issuer": of(iss="https://evil.example"),
        "none": of(algorithm="none"),
        "public key as a secret": confused,
        "unknown kid": of(kid="first", headers={"kid": "other"}),
        "another's signature": stranger.token(RESOURCE, iss=issuer.url, scope="mcp:use"),
        "nobody": of(sub=None),
        "nonsense": "eyJ.e30.x",
    }.items():
        answer = call(http, token)
        assert answer.status_code == 401, what
        assert challenge(answer).startswith('Bearer error="invalid_token", error_description="'), what
    metadata = "https://mcp.example.com/.well-known/oauth-protected-resource/logs"
    for headers in ({}, {"authorization": f"Bearer {KEY}"}, {"x-api-key": KEY}, {"x-weir-consumer": "oauth/alice", "x-weir-key-id": "team-1"}):
        answer = call(http, None, headers=headers)
        assert (answer.status_code, challenge(answer)) == (401, f'Bearer resource_metadata="{metadata}", scope="mcp:use"')
    token = of()
    assert call(http, None, path=f"{OPEN}?access_token={token}").status_code == 400
    # Elsewhere it is nothing, and clients are not told of OAuth.
    answer = call(http, token, path="/plain")
    assert answer.status_code == 401 and "resource_metadata" not in challenge(answer)


def _pem():
    from cryptography.hazmat.primitives import serialization

    return serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo


def _hs256(secret, claims):
    """A token whose signature is made with what everyone knows; PyJWT would not make it."""
    import base64
    import hashlib
    import hmac

    def part(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    signed = part(json.dumps({"alg": "HS256", "kid": "first"}).encode()) + b"." + part(json.dumps(claims).encode())
    return (signed + b"." + part(hmac.new(secret, signed, hashlib.sha256).digest())).decode()


def test_a_scope_that_is_missing_is_asked_for(http, issuer):
    metadata = "https://mcp.example.com/.well-known/oauth-protected-resource/logs"
    for token, tool, needed in [
        (issuer.token(RESOURCE), "read", "mcp:use"),
        (issuer.token(RESOURCE, scope="mcp:use"), "write", "mcp:use logs:write"),
    ]:
        answer = call(http, token, tool)
        assert answer.status_code == 403
        assert challenge(answer) == f'Bearer error="insufficient_scope", scope="{needed}", resource_metadata="{metadata}"'
        # The official client finds both in it.
        assert extract_scope_from_www_auth(answer) == needed
        assert extract_resource_metadata_from_www_auth(answer) == metadata
    for claims in ({"scope": "mcp:use logs:write"}, {"scp": ["mcp:use", "logs:write"]}):
        assert "result" in call(http, issuer.token(RESOURCE, **claims), "write").json()


def test_clients_find_out_where_tokens_are_issued(http, issuer):
    for path in (OPEN, f"{OPEN}/mcp", f"{OPEN}/sse"):
        answer = http.get(f"/.well-known/oauth-protected-resource{path}", headers={"origin": "https://page.example"})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")
        described = ProtectedResourceMetadata.model_validate_json(answer.content)
        assert str(described.resource) == RESOURCE
        assert [str(server).rstrip("/") for server in described.authorization_servers] == [issuer.url]
        assert described.scopes_supported == ["mcp:use", "logs:write"]
    assert http.options("/.well-known/oauth-protected-resource/logs").status_code == 204
    assert http.get("/.well-known/oauth-protected-resource/plain").status_code == 404
    # It is one of several, so the host alone says nothing.
    assert http.get("/.well-known/oauth-protected-resource").status_code == 404


def test_keys_work_beside_tokens_where_they_may(http, gateway, issuer):
    assert "result" in call(http, KEY, path=KEYS).json()
    token = issuer.token("https://mcp.example.com/keys", scope="mcp:use", azp="Desk App")
    assert "result" in call(http, token, path=KEYS).json()
    until(lambda: '"consumer":"app//44esk/20/41pp"' in gateway.access_log(), "the access log has the application")
    assert call(http, "wk-unknown", path=KEYS).status_code == 401
    assert 'resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/keys"' in challenge(call(http, None, path=KEYS))


def test_a_quota_counts_the_calls_of_each_subject(http, issuer):
    def of(subject):
        return call(http, issuer.token(RESOURCE, scope="mcp:use", sub=subject), "slow").status_code

    assert [of("bob"), of("bob"), of("bob"), of("carol")] == [200, 200, 429, 200]


def test_a_token_opens_a_stream_of_the_old_transport(http, issuer):
    token = issuer.token(RESOURCE, scope="mcp:use")
    headers = {"authorization": f"Bearer {token}"}
    assert http.get(f"{OPEN}/sse").status_code == 401
    with http.stream("GET", f"{OPEN}/sse", headers=headers) as stream:
        lines = stream.iter_lines()
        at = next(line for line in lines if line.startswith("data: ")).removeprefix("data: ")
        # A new token of the same subject, as after a refresh; and one of another.
        renewed = issuer.token(RESOURCE, scope="mcp:use", jti="2")
        assert call(http, issuer.token(RESOURCE, scope="mcp:use", sub="eve"), path=at).status_code == 404
        assert call(http, renewed, path=at).status_code == 202
        answer = next(line for line in lines if line.startswith("data: "))
        assert "result" in json.loads(answer.removeprefix("data: "))


def test_the_issuers_new_key_is_taken_and_its_old_one_no_more(http, issuer):
    def of(kid):
        return call(http, issuer.token(RESOURCE, kid=kid, scope="mcp:use")).status_code

    assert of("first") == 200
    issuer.rotate("second")
    until(lambda: of("second") == 200, "the new key is fetched", 20)
    assert of("first") == 401


def test_an_issuer_that_is_away_keeps_nobody_out_who_is_known(http, gateway, issuer, api):
    away = f"http://127.0.0.1:{free_port()}/jwks"
    oauth = {"resource": "https://mcp.example.com/away", "issuer": issuer.url, "jwks_uri": away}
    gateway.edit_config(lambda config: config["routes"].append(server("away", api, oauth=oauth)))
    assert "result" in call(http, issuer.token(RESOURCE, kid="second", scope="mcp:use")).json()
    answer = call(http, issuer.token("https://mcp.example.com/away", kid="second"), path="/away")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    gateway.edit_config(lambda config: config["routes"].pop())
    failed = gateway.stats("jwks_fetch_failed")
    issuer.is_away = True
    until(lambda: gateway.stats("jwks_fetch_failed") != failed, "its keys cannot be fetched anew", 20)
    assert "result" in call(http, issuer.token(RESOURCE, kid="second", scope="mcp:use")).json()
