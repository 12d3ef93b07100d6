import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.audit.checkpoint import (
    Checkpoint,
    Signer,
    endorsers,
    open_checkpoint,
    origin_of,
    parse_unverified,
    parse_vkey,
)
from fujie.audit.errors import CheckpointInvalid

SIGNER = Signer("prod-a/w0", bytes(range(32)))
HEAD = Checkpoint("prod-a/w0", 42, b"r" * 32)
NOTE = SIGNER.sign(HEAD)


def test_a_signed_checkpoint_opens_with_its_key() -> None:
    assert open_checkpoint(NOTE, parse_vkey(SIGNER.verifier.vkey)) == HEAD == parse_unverified(NOTE)


def test_the_note_has_the_lines_of_the_specification() -> None:
    lines = NOTE.split("\n")
    assert lines[:4] == ["prod-a/w0", "42", base64.b64encode(b"r" * 32).decode(), ""]
    assert lines[4].startswith("— prod-a/w0 ")
    assert lines[5:] == [""]
    assert base64.b64decode(lines[4].rpartition(" ")[2])[:4] == SIGNER.verifier.key_id


def test_a_vkey_of_the_go_documentation_parses_to_its_id() -> None:
    vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    assert parse_vkey(vkey).key_id.hex() == "c74f20a3"
    assert parse_vkey(vkey + "\n").vkey == vkey


def test_no_single_bit_of_a_note_can_flip_unseen() -> None:
    raw = NOTE.encode()
    for at in range(len(raw)):
        for bit in range(8):
            flipped = bytearray(raw)
            flipped[at] ^= 1 << bit
            with pytest.raises((CheckpointInvalid, UnicodeDecodeError)):
                open_checkpoint(flipped.decode(), SIGNER.verifier)


def test_lines_by_unknown_keys_are_ignored_and_do_not_vouch() -> None:
    other = Signer("prod-a/w0", b"o" * 32)
    cosigned = NOTE + "".join(
        f"— witness-{i} {base64.b64encode(bytes([i] * 80)).decode()}\n" for i in range(20)
    )
    assert open_checkpoint(cosigned, SIGNER.verifier) == HEAD
    rotated = other.sign(HEAD) + NOTE.split("\n\n")[1]
    assert open_checkpoint(rotated, SIGNER.verifier) == open_checkpoint(rotated, other.verifier) == HEAD
    with pytest.raises(CheckpointInvalid, match="not signed"):
        open_checkpoint(other.sign(HEAD), SIGNER.verifier)


def test_a_checkpoint_of_another_origin_is_refused_even_by_the_same_secret() -> None:
    elsewhere = Signer("prod-a/w1", bytes(range(32)))
    note = elsewhere.sign(Checkpoint("prod-a/w1", 42, b"r" * 32))
    with pytest.raises(CheckpointInvalid):
        open_checkpoint(note, SIGNER.verifier)
    assert open_checkpoint(note, SIGNER.verifier.named("prod-a/w1")).origin == "prod-a/w1"
    with pytest.raises(CheckpointInvalid):
        elsewhere.sign(HEAD)


@pytest.mark.parametrize(
    "note",
    [
        "",
        "prod-a/w0\n42\n",
        NOTE.rstrip("\n"),
        NOTE + "\n",
        NOTE.replace("\n42\n", "\n042\n"),
        NOTE.replace("\n42\n", "\n-42\n"),
        NOTE.replace("\n42\n", "\n٤٢\n"),
        NOTE.replace("\n42\n", "\n42\nextension\n").replace("extension\n\n", "extension\n\n\n"),
        NOTE.replace("—", "-"),
        NOTE.replace("\n", "\r\n"),
        NOTE + "— w !!!!\n",
        NOTE + "— w AAAA\n" * 64,
    ],
)
def test_other_text_is_refused(note: str) -> None:
    with pytest.raises(CheckpointInvalid):
        open_checkpoint(note, SIGNER.verifier)


@given(st.text(max_size=80))
def test_arbitrary_text_is_refused_cleanly(text: str) -> None:
    for parse in (parse_unverified, parse_vkey):
        with pytest.raises(CheckpointInvalid):
            parse(text)


@pytest.mark.parametrize(
    "vkey", ["", "a+b", "prod-a/w0+00000000+AAAA", SIGNER.verifier.vkey.replace("w0", "w1")]
)
def test_a_vkey_whose_parts_disagree_is_refused(vkey: str) -> None:
    with pytest.raises(CheckpointInvalid):
        parse_vkey(vkey)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b", "a\n"])
def test_a_signer_refuses_names_that_break_a_note(name: str) -> None:
    with pytest.raises(CheckpointInvalid):
        Signer(name, bytes(32))


def test_the_secret_is_not_in_the_repr() -> None:
    assert repr(SIGNER) == "Signer('prod-a/w0')"


def test_an_origin_is_a_safe_path() -> None:
    assert origin_of("prod-a.1", 3) == "prod-a.1/w3"
    for instance in ("", "..", ".x", "-x", "a/b", "a b", "a+b", "é", "a\n", "x" * 65):
        with pytest.raises(ValueError, match="instance"):
            origin_of(instance, 0)
    with pytest.raises(ValueError, match="instance"):
        origin_of("a", -1)


TEXT = "another kind of note\n{}\n"
ALICE, BOB = Signer("alice", b"a" * 32), Signer("bob", b"b" * 32)
KEYS = (ALICE.verifier, BOB.verifier)


def test_endorsers_are_those_of_the_keys_that_signed_each_once() -> None:
    alice, bob = ALICE.endorse(TEXT), BOB.endorse(TEXT)
    stranger = Signer("eve", b"e" * 32).endorse(TEXT)
    assert endorsers(TEXT, [], KEYS) == ()
    assert endorsers(TEXT, [bob, stranger, alice, alice], KEYS) == KEYS
    assert endorsers(TEXT, [stranger, alice], (BOB.verifier,)) == ()


def test_an_endorsement_is_of_one_text_alone() -> None:
    for text in (TEXT + "\n", TEXT[:-1], "", "alice/policy\nsha256:00\n"):
        with pytest.raises(CheckpointInvalid):
            endorsers(text, [ALICE.endorse(TEXT)], KEYS)


def test_what_is_malformed_refuses_all_endorsements() -> None:
    good = ALICE.endorse(TEXT)
    for bad in ("", "alice", good[:-1], good + " ", good.replace("—", "-"), good + "\n", "— bob AAA"):
        with pytest.raises(CheckpointInvalid):
            endorsers(TEXT, [good, bad], KEYS)
    with pytest.raises(CheckpointInvalid, match="too many"):
        endorsers(TEXT, [good] * 65, KEYS)


def test_no_bit_of_an_endorsement_can_flip_and_still_count() -> None:
    line = ALICE.endorse(TEXT).encode()
    for place in range(len(line)):
        for bit in range(8):
            try:
                flipped = (line[:place] + bytes([line[place] ^ 1 << bit]) + line[place + 1 :]).decode()
                assert endorsers(TEXT, [flipped], KEYS) == ()
            except (UnicodeDecodeError, CheckpointInvalid):
                continue
