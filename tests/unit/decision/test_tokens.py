"""Tokens: the same within a scope, unrelated across class, scope and key."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.decision.tokens import Tokeniser
from fujie.model.data_class import DataClass

TOKENS = Tokeniser(b"k" * 32, "p1", "demo")


@given(st.text(st.characters()))
def test_a_token_has_its_form_and_is_deterministic(value: str) -> None:
    token = TOKENS.token(DataClass.MOBILE, value)
    assert re.fullmatch(r"tok_p1_[a-z2-7]{26}", token)
    assert token == Tokeniser(b"k" * 32, "p1", "demo").token(DataClass.MOBILE, value)


def test_a_known_answer_pins_the_construction() -> None:
    """Stored tokens must survive a release; computed apart with openssl dgst -sha256 -mac HMAC and base32."""
    assert TOKENS.token(DataClass.MOBILE, "13800001234") == "tok_p1_6yoxc6h3r44y66ebmmy3zeqgeq"


@pytest.mark.parametrize(
    "other",
    [
        TOKENS.token(DataClass.LANDLINE, "13800001234"),
        TOKENS.token(DataClass.MOBILE, "13800001235"),
        Tokeniser(b"k" * 32, "p1", "other").token(DataClass.MOBILE, "13800001234"),
        Tokeniser(b"j" * 32, "p1", "demo").token(DataClass.MOBILE, "13800001234"),
    ],
)
def test_another_class_value_scope_or_key_gives_another_token(other: str) -> None:
    assert TOKENS.token(DataClass.MOBILE, "13800001234") != other


def test_scope_and_value_do_not_run_together() -> None:
    assert Tokeniser(b"k" * 32, "p1", "a").token(DataClass.TEXT, "b\0c") != Tokeniser(
        b"k" * 32, "p1", "a"
    ).token(DataClass.TEXT, "bc")
    with pytest.raises(ValueError, match="NUL"):
        Tokeniser(b"k" * 32, "p1", "a\0b")


@pytest.mark.parametrize(
    ("key", "key_id", "scope", "why"),
    [
        (b"", "p1", "demo", "32 bytes"),
        (b"k" * 31, "p1", "demo", "32 bytes"),
        (b"k" * 32, "", "demo", "key id"),
        (b"k" * 32, "P1", "demo", "key id"),
        (b"k" * 32, "p_1", "demo", "key id"),
        (b"k" * 32, "p1", "", "scope"),
    ],
)
def test_a_weak_or_ambiguous_tokeniser_is_refused(key: bytes, key_id: str, scope: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Tokeniser(key, key_id, scope)


def test_the_key_is_not_printed() -> None:
    assert "kkk" not in repr(TOKENS)


def test_a_shift_is_stable_within_its_bounds_and_never_zero() -> None:
    shifts = {n: TOKENS.of(f"sid-{n}").shift(3) for n in range(200)}
    assert set(shifts.values()) == {-3, -2, -1, 1, 2, 3}
    assert shifts == {n: TOKENS.of(f"sid-{n}").shift(3) for n in range(200)}
    assert {TOKENS.of(f"sid-{n}").shift(1) for n in range(50)} == {-1, 1}


def test_a_shift_needs_a_customer_and_depends_on_key_scope_customer_and_days() -> None:
    assert TOKENS.shift(30) is None
    others = [
        Tokeniser(b"j" * 32, "p1", "demo").of("sid"),
        Tokeniser(b"k" * 32, "p1", "other").of("sid"),
        TOKENS.of("sid2"),
        TOKENS.of("sid"),
    ]
    assert len({tokeniser.shift(3660) for tokeniser in others}) == len(others)
    assert TOKENS.of("sid").shift(3659) not in {TOKENS.of("sid").shift(3660), None}


def test_a_shift_is_the_same_in_every_version() -> None:
    """Stored extracts must join with later ones: what is hashed may not change."""
    assert TOKENS.of("sid-1").shift(30) == -7


def test_a_token_says_nothing_of_the_customer() -> None:
    assert TOKENS.of("a").token(DataClass.IP, "x") == TOKENS.of("b").token(DataClass.IP, "x")
    assert "sid-1" not in repr(TOKENS.of("sid-1"))
