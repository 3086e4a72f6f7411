"""The JSON Schema of the configuration file: it takes what `weir` takes, and refuses what `weir` refuses."""

import json
import re

import httpx
import jsonschema
import pytest
import yaml

from harness.gateway import weir
from harness.process import ROOT

FILES = sorted([*ROOT.glob("examples/**/weir.yaml"), *ROOT.glob("xds-server/tests/golden/*/weir.yaml")])
PAGES = [*ROOT.glob("docs/*.md"), ROOT / "README.md", *ROOT.glob("examples/*/README.md")]


class Loader(yaml.SafeLoader):
    """Reads a time as the text that it is in JSON."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@pytest.fixture(scope="module")
def validator():
    schema = json.loads(weir("schema").stdout)
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def read(text):
    return yaml.load(text, Loader) or {}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_that_weir_takes_fits(validator, file):
    validator.validate(read(file.read_text()))


def test_what_the_documentation_shows_fits(validator):
    blocks = [block for page in PAGES for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)]
    lists = validator.schema["properties"].keys()
    files = [file for file in map(read, blocks) if isinstance(file, dict) and file.keys() & lists]
    assert len(files) > 5
    for file in files:
        validator.validate(file)


SMALLEST = {
    "providers": [{"name": "local", "upstream": "http://127.0.0.1:8080/v1"}],
    "models": [{"name": "index", "targets": [{"provider": "local"}]}],
}


@pytest.mark.parametrize(
    "wrong",
    [
        {"provider": []},
        {"gateway": {"listen": {"prot": 1}}},
        {"gateway": {"listen": {"port": 70_000}}},
        {"secrets": {"a": {"value": "sk-1"}}},
        {"secrets": {"a": {"env": "A", "file": "a"}}},
        {"keys": [{"id": "a", "sha256": "ab"}]},
        {"keys": [{"id": "A", "sha256": "ab" * 32}]},
        {"providers": [{"name": "a", "upstream": "ftp://host"}]},
        {"providers": [{"name": "a"}]},
        {"models": [{"name": "a", "targets": [{"provider": "local", "weihgt": 1}]}]},
        {"quotas": [{"name": "a", "limits": {"rpm": "many"}}]},
    ],
    ids=json.dumps,
)
def test_what_weir_refuses_does_not_fit(validator, wrong, tmp_path):
    validator.validate(SMALLEST)
    file = tmp_path / "weir.yaml"
    file.write_text(yaml.safe_dump(SMALLEST | wrong))
    assert weir("validate", "--config", file, check=False).returncode == 1
    assert not validator.is_valid(SMALLEST | wrong)


def test_the_control_plane_serves_the_schema_that_the_command_prints(gateway, validator):
    assert httpx.get(gateway.api_url + "/v1/schema").json() == validator.schema
