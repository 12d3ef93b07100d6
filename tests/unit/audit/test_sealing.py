import base64
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.audit.entry import FactValue
from fujie.audit.errors import EntryInvalid, SealBroken
from fujie.audit.sealing import Place, SealKey, key_id, open_facts, seal_facts, unwrap_key, wrap_key

KEY = SealKey("dek-1", bytes(range(32)))
PLACE = Place("prod-a/w0", "u1", "s1")
NONCE = b"n" * 12
FACTS: dict[str, FactValue] = {
    "customer.minor": True,
    "customer.tags": ("a", "b"),
    "customer.age_band": "ADULT",
}


def test_facts_open_at_their_place_with_their_key() -> None:
    assert open_facts(seal_facts(FACTS, KEY, PLACE, NONCE), KEY, PLACE) == FACTS


def test_the_sealed_text_shows_no_fact() -> None:
    sealed = base64.b64decode(seal_facts(FACTS, KEY, PLACE, NONCE))
    assert b"minor" not in sealed
    assert b"ADULT" not in sealed


@pytest.mark.parametrize(
    "place",
    [
        dataclasses.replace(PLACE, origin="prod-a/w1"),
        dataclasses.replace(PLACE, uid="u2"),
        dataclasses.replace(PLACE, sid="s2"),
        Place("prod-a/w0", "u1s", "1"),
    ],
)
def test_sealed_facts_can_not_be_moved(place: Place) -> None:
    with pytest.raises(SealBroken):
        open_facts(seal_facts(FACTS, KEY, PLACE, NONCE), KEY, place)


@pytest.mark.parametrize("key", [SealKey("dek-1", b"x" * 32), SealKey("dek-2", KEY.secret)])
def test_another_key_does_not_open(key: SealKey) -> None:
    with pytest.raises(SealBroken):
        open_facts(seal_facts(FACTS, KEY, PLACE, NONCE), key, PLACE)


@given(st.data())
def test_no_altered_byte_opens(data: st.DataObject) -> None:
    sealed = bytearray(base64.b64decode(seal_facts(FACTS, KEY, PLACE, NONCE)))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SealBroken):
        open_facts(base64.b64encode(sealed).decode(), KEY, PLACE)


@given(st.binary(max_size=40))
def test_arbitrary_bytes_never_open(raw: bytes) -> None:
    with pytest.raises(SealBroken):
        open_facts(base64.b64encode(raw).decode(), KEY, PLACE)
    with pytest.raises(SealBroken):
        unwrap_key(raw, KEY, "s1")


def test_text_that_is_not_base64_does_not_open() -> None:
    with pytest.raises(SealBroken):
        open_facts("not base64!", KEY, PLACE)


def test_a_data_key_unwraps_for_its_customer_only() -> None:
    wrapped = wrap_key(b"d" * 32, KEY, "s1", NONCE)
    assert unwrap_key(wrapped, KEY, "s1") == b"d" * 32
    assert key_id(wrapped) == "dek-1"
    with pytest.raises(SealBroken):
        unwrap_key(wrapped, KEY, "s2")


def test_a_wrapped_key_is_no_sealed_fact_even_under_one_secret() -> None:
    wrapped = wrap_key(b"d" * 32, KEY, "s1", NONCE)
    with pytest.raises(SealBroken):
        open_facts(base64.b64encode(wrapped).decode(), KEY, PLACE)


def test_refuses_weak_arguments() -> None:
    for make in (
        lambda: SealKey("", b"x" * 32),
        lambda: SealKey("k", b"x" * 16),
        lambda: SealKey("k" * 65, b"x" * 32),
        lambda: wrap_key(b"short", KEY, "s1", NONCE),
        lambda: wrap_key(b"d" * 32, KEY, "s1", b"short"),
        lambda: wrap_key(b"d" * 32, KEY, "s\0", NONCE),
    ):
        with pytest.raises((ValueError, EntryInvalid)):
            make()


def test_the_secret_is_not_in_the_repr() -> None:
    assert repr(KEY) == "SealKey(id='dek-1')"
