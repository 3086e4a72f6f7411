"""The official conformance suite for MCP servers, at one endpoint."""

import json

from . import node

# The suite's newest release, for the revisions before 2026-07-28, and the one that knows 2026-07-28.
LEGACY, MODERN = "@modelcontextprotocol/conformance", "conformance-2026"


def results(url, into, revision, key=None):
    """Runs a suite; gives for each scenario its checks with what became of them.

    `revision` is LEGACY or MODERN. The suite knows no credentials, so a preloaded script adds the key.
    """
    options = ["--import", str(node.ROOT / "tests/node/with-key.mjs")] if key else []
    which = ["--suite", "all"] if revision is LEGACY else ["--requirements", "2026-07-28"]
    arguments = ["server", "--url", url, "--output-dir", str(into), *which]
    done = node.run(
        f"node_modules/{revision}/dist/index.js", *arguments, options=options, env={"WEIR_KEY": key or ""}
    )
    assert into.exists(), done.stdout + done.stderr
    # A folder is named `server-<scenario>-<time>`, and the time has 24 characters.
    found = {}
    for file in sorted(into.glob("*/checks.json")):
        scenario = file.parent.name.removeprefix("server-")[:-25]
        checks = [(check["id"], check["status"]) for check in json.loads(file.read_text())]
        found[scenario] = sorted(check for check in checks if check[1] != "INFO")
    return found


def surprises(found, known):
    """What did not pass though `known` has neither its scenario nor `<scenario>:<check>`, and what of it has passed."""
    unknown, seen = set(), set()
    for scenario, checks in found.items():
        for check in [name for name, status in checks if status != "SUCCESS"]:
            entries = {scenario, f"{scenario}:{check}"} & known.keys()
            seen |= entries
            unknown |= set() if entries else {f"{scenario}:{check}"}
    return {"does not pass": unknown, "passes now": known.keys() - seen}
