"""The API's own description: what it says is what is served."""

import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from harness.gateway import Gateway
from harness.process import ROOT

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,ignored_auth"
METHODS = {"get", "put", "post", "delete", "patch"}


@pytest.fixture(scope="module")
def gateway(logs, near, gateways):
    """A gateway of this module's own: much that is strange is written to it."""
    gateways.append(
        Gateway(logs / "openapi", {"secrets": {"near": {"env": "NEAR_KEY"}}}, {"NEAR_KEY": "x"}, store=True)
    )
    return gateways[-1]


@pytest.fixture(scope="module")
def document(gateway):
    return httpx.get(gateway.api_url + "/openapi.json").json()


def test_the_document_is_openapi(document):
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


def test_every_path_of_the_document_is_served_and_no_other_method(gateway, document):
    headers = {"authorization": f"Bearer {gateway.admin_token}"}
    for path, item in document["paths"].items():
        url = gateway.api_url + re.sub("{[a-z]+}", "no%2Fbody", path)
        for method in METHODS:
            answer = httpx.request(method, url, headers=headers)
            is_served = answer.status_code != 405
            if "rotate" in path and method != "post":
                continue  # A key may be named `…/rotate`; the other methods are those of that key.
            assert is_served == (method in item), (method, path, answer.text)
            assert "unknown_url" not in answer.text, path


@pytest.mark.parametrize(
    "schema, good, bad",
    [
        ("Name", "team/comments-1", "Team"),
        ("ModelName", "meta-llama/Llama-3.1:8B", "with space"),
        ("KeyHash", "ab" * 32, "ab"),
        ("Span", "500ms", "5"),
        ("Upstream", "https://api.openai.com/v1", "ftp://host"),
    ],
)
def test_the_document_knows_the_form_of_a_value(document, schema, good, bad):
    form = document["components"]["schemas"][schema]
    # An upstream may also be a list of such texts.
    pattern = form.get("anyOf", [form])[0]["pattern"]
    assert re.search(pattern, good) and not re.search(pattern, bad)


def test_no_request_that_can_be_generated_breaks_the_api(gateway):
    command = [Path(sys.executable).with_name("schemathesis"), "run", gateway.api_url + "/openapi.json"]
    command += ["--header", f"Authorization: Bearer {gateway.admin_token}", "--checks", CHECKS, "--no-color"]
    command += ["--max-examples", "15", "--generation-deterministic"]
    # It would revoke the token that it comes with.
    command += ["--exclude-operation-id", "revoke_tokens"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=gateway.logs)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


def test_the_examples_of_the_documentation_run(gateway):
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "docs/api.md").read_text(), re.DOTALL)
    commands = [
        line[2:] for block in blocks for line in block.replace("\\\n", "").splitlines() if line[:2] == "$ "
    ]
    assert len(commands) > 8
    script = "\n".join(commands).replace("127.0.0.1:18001", gateway.api_url.removeprefix("http://"))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=gateway.logs,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"secret":"wk-' in done.stdout
