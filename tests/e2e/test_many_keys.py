"""More keys than a filter should carry: it looks them up at the control plane."""

import hashlib

import openai
import pytest

from conftest import openai_client
from harness.gateway import key
from harness.process import until

MANY = 100_000
HELLO = [{"role": "user", "content": "hello"}]


def secret(number):
    return f"wk-many-{number:06}"


@pytest.fixture(scope="module")
def gateway(start_gateway):
    """A gateway with so many keys that only their text is quick to write."""
    entries = [f"- {{id: k{n}, sha256: {hashlib.sha256(secret(n).encode()).hexdigest()}}}\n" for n in range(MANY)]
    return start_gateway("many-keys", more="keys:\n" + "".join(entries))


def chat(gateway, key):
    return openai_client(gateway, key).chat.completions.create(model="chat", messages=HELLO).choices[0].message.content


def test_any_of_many_keys_works_and_no_other(gateway):
    for number in (0, 4_711, MANY - 1):
        assert chat(gateway, secret(number)) == "You said: hello"
    with pytest.raises(openai.AuthenticationError):
        chat(gateway, secret(MANY))
    assert gateway.stats("lookups_total")["wasmcustom.weir.auth.lookups_total"] == 4
    assert secret(0) not in gateway.weir_log() + gateway.envoy_log() + gateway.config_dump()


def test_a_key_that_was_used_works_while_the_control_plane_is_away(gateway):
    assert chat(gateway, secret(1)) == "You said: hello"
    gateway.stop_control_plane()
    assert chat(gateway, secret(1)) == "You said: hello"
    with pytest.raises(openai.InternalServerError) as raised:
        chat(gateway, secret(2))
    assert raised.value.code == "key_lookup_unavailable"
    gateway.restart_control_plane()
    until(lambda: chat(gateway, secret(2)), "the control plane is back")


def test_a_revoked_key_stops_at_once(gateway):
    assert chat(gateway, secret(3)) == "You said: hello"
    gateway.edit_text(lambda text: text.replace("{id: k3,", "{id: k3, disabled: true,"))
    with pytest.raises(openai.AuthenticationError):
        chat(gateway, secret(3))
    assert chat(gateway, secret(4)) == "You said: hello"


def test_few_keys_are_carried_again(gateway):
    gateway.edit_text(lambda text: text[: text.index("keys:\n")] + f"keys:\n- {key(secret(5), 'k5')}\n")
    before = gateway.stats("lookups_total")
    assert chat(gateway, secret(5)) == "You said: hello"
    assert gateway.stats("lookups_total") == before
