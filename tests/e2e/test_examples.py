"""Every example is a configuration that the control plane and Envoy accept."""

import re
import subprocess

import pytest

from harness.gateway import weir
from harness.process import ROOT, envoy_binary, modules_dir, with_modules

FILES = sorted((ROOT / "examples").glob("*/weir.yaml"))
STATIC = sorted((ROOT / "examples").glob("*/envoy*.yaml"))


def written(page):
    """The configurations in a page's YAML blocks: those that a gateway can be made of."""
    blocks = re.findall(r"^```yaml\n(.+?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    return [block for block in blocks if "\nproviders:" in block and "\nmodels:" in block]


def validate(bootstrap):
    command = [
        envoy_binary(),
        "--mode",
        "validate",
        "-c",
        bootstrap,
        "--use-dynamic-base-id",
        "--log-level",
        "warn",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_examples():
    assert FILES and STATIC


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.parent.name)
def test_an_example_is_valid(file):
    weir("validate", "--config", file)


@pytest.mark.parametrize("page", ["README.md", "docs/configuration.md", "docs/model-compat.md"])
def test_the_configurations_of_a_page_are_valid(page, tmp_path):
    assert written(page)
    for block in written(page):
        file = tmp_path / "weir.yaml"
        file.write_text(block)
        weir("validate", "--config", file)


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.parent.name)
def test_envoy_accepts_what_an_example_compiles_to(file, tmp_path):
    bootstrap = tmp_path / "envoy.json"
    compiled = weir("compile", "--config", file, "--modules", modules_dir(), "--format", "bootstrap")
    bootstrap.write_text(compiled.stdout)
    validate(bootstrap)


@pytest.mark.parametrize("file", STATIC, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_envoy_accepts_a_bootstrap_written_by_hand(file, tmp_path):
    bootstrap = tmp_path / file.name
    bootstrap.write_text(with_modules(file.read_text()))
    validate(bootstrap)
