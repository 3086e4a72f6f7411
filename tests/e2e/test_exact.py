"""`count: exact`: a request is admitted or refused at the very token."""

import json

import pytest
from openai import OpenAI, RateLimitError

from harness.gateway import Gateway, key, model
from harness.process import modules_dir
from harness.sim import Sim

# The example of OpenAI's cookbook: 124 tokens for gpt-4o, and 129 for gpt-4.
PROMPT = [
    ("system", None, "You are a helpful, pattern-following assistant that translates corporate jargon into plain English."),
    ("system", "example_user", "New synergies will help drive top-line growth."),
    ("system", "example_assistant", "Things working well together will increase revenue."),
    (
        "system",
        "example_user",
        "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage.",
    ),
    ("system", "example_assistant", "Let's talk later when we're less busy about how to do better."),
    (
        "user",
        None,
        "This late pivot means we don't have time to boil the ocean for the client deliverable.",
    ),
]
MESSAGES = [{"role": role, "content": text} | ({"name": name} if name else {}) for role, name, text in PROMPT]
LIMITS = [123, 124, 128, 129]


def secret(limit):
    return f"wk-exact-{limit}-aa07be"


@pytest.fixture(scope="module")
def exact(logs, gateways):
    if "quota-exact" not in json.loads((modules_dir() / "modules.json").read_text()):
        pytest.skip("the module quota-exact is not built: make wasm-exact")
    sim = Sim(logs / "exact-sim", name="exact")
    config = {
        "keys": [key(secret(limit), f"k-{limit}") for limit in LIMITS],
        "providers": [{"name": "near", "upstream": f"{sim.url}/v1"}],
        "models": [model("new", "near", "gpt-4o"), model("old", "near", "gpt-4")],
        "quotas": [
            {
                "name": f"q-{limit}",
                "match": {"key": f"k-{limit}"},
                "per": ["model"],
                "limits": {"tokens_per_day": limit},
                "count": "exact",
            }
            for limit in LIMITS
        ],
    }
    gateways.append(Gateway(logs / "exact", config))
    yield gateways[-1]
    sim.stop()


def is_admitted(gateway, limit, model):
    client = OpenAI(api_key=secret(limit), base_url=gateway.base_url, max_retries=0, timeout=15)
    try:
        return bool(client.chat.completions.create(model=model, messages=MESSAGES).choices)
    except RateLimitError as error:
        assert "alone is more" in error.message
        return False


def test_a_prompt_is_admitted_at_its_exact_count_and_refused_one_below(exact):
    admitted = {model: [is_admitted(exact, limit, model) for limit in LIMITS] for model in ("new", "old")}
    assert admitted == {"new": [False, True, True, True], "old": [False, False, False, True]}
