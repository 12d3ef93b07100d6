"""Consent evidence: what a stranger can conclude from the file, and that nobody can change it unseen."""

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from fujie.audit.canon import canonical
from fujie.audit.checkpoint import Checkpoint, Signer, VerifierKey
from fujie.audit.consent_bundle import (
    DIGEST,
    RECORD_ID,
    SUBJECT,
    Evidence,
    Standing,
    build,
    content_digest,
    event_content,
    signed_file,
    verify,
)
from fujie.audit.entry import Entry, EntryKind, leaf_bytes
from fujie.audit.proof import Proof
from fujie.audit.tree import Tree, inclusion_proof, leaf_hash
from fujie.model.consent import ConsentEvent, ConsentEventType, Notice
from fujie.model.customer import Phone, StoreKey
from fujie.model.notice import PrivacyNotice
from fujie.model.reason import LocalizedText

AT = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
ORIGIN = "test/w0"
SIGNER = Signer(ORIGIN, b"k" * 32)
KEY = SIGNER.verifier
NOTICE = PrivacyNotice(
    "marketing-notice", "1", frozenset({"marketing"}), LocalizedText("示例公司？", "Test Ltd.?"), LocalizedText("", "")
)  # fmt: skip
GIVEN = ConsentEvent(
    "r1", "s1", "marketing", ConsentEventType.GIVEN, AT, AT, "desk", explicit=True, data_classes=("mobile",),
    notice=Notice("marketing-notice", "1", "zh-CN", NOTICE.digest("zh")),
)  # fmt: skip
WITHDRAWN = ConsentEvent(
    "r2",
    "s2",
    "marketing",
    ConsentEventType.WITHDRAWN,
    AT + timedelta(days=1),
    AT + timedelta(days=1),
    "desk",
)


def admission(event: ConsentEvent, **changes: Any) -> bytes:
    entry = Entry(
        uid=f"u-{event.record_id}", time="2026-11-20T02:00:00.000000Z", origin=ORIGIN, kind=EntryKind.ADMISSION,
        principal=event.actor, action="consent.record", sids=("s1", "s2"), effect="ALLOW",
        facts={RECORD_ID: event.record_id, DIGEST: content_digest(event_content(event))},
    )  # fmt: skip
    return leaf_bytes(replace(entry, **changes))


def proofs(*leaves: bytes, signer: Signer = SIGNER) -> list[Proof]:
    tree = Tree(map(leaf_hash, leaves))
    note = signer.sign(Checkpoint(ORIGIN, tree.size, tree.root()))
    return [
        Proof(ORIGIN, index, leaf, tuple(inclusion_proof(tree.node, index, tree.size)), note)
        for index, leaf in enumerate(leaves)
    ]


def evidence(**changes: Any) -> Evidence:
    one, _, two = proofs(admission(GIVEN), b"another entry", admission(WITHDRAWN))
    whole = Evidence(
        origin=ORIGIN, decision_id="d1", issued_at=AT, controller="Test Ltd.", customer=Phone("+8613800131234"),
        purpose="", sids=("s1", "s2"), events=[GIVEN, WITHDRAWN], notices=[NOTICE],
        proofs={"r1": one, "r2": two},
    )  # fmt: skip
    return replace(whole, **changes)


def sealed(built: bytes) -> bytes:
    return signed_file(built, SIGNER.attest(SUBJECT, content_digest(orjson.loads(built))))


def file(**changes: Any) -> bytes:
    return sealed(build(evidence(**changes)))


def standings(content: bytes, key: VerifierKey = KEY) -> set[Standing]:
    return {each.standing for each in verify(content, [key])}


def broken(content: bytes) -> str:
    return " | ".join(each.text for each in verify(content, [KEY]) if each.standing is Standing.BROKEN)


def test_a_whole_file_is_proven_and_says_in_words_what() -> None:
    words = [each.text for each in verify(file(), [KEY])]
    assert standings(file()) == {Standing.PROVEN}
    assert words[0].startswith("signed by the key of test/w0: these are the 2 events that Test Ltd. states")
    assert any("shown notice marketing-notice 1 (zh)" in text for text in words)
    assert any("entry 2 of test/w0, which is in the signed log of 3 entries" in text for text in words)


def test_any_name_of_the_pinned_key_is_good_and_another_key_is_not() -> None:
    assert standings(file(), KEY.named("whatever")) == {Standing.PROVEN}
    assert Standing.BROKEN in standings(file(), Signer(ORIGIN, b"x" * 32).verifier)
    assert Standing.BROKEN in {each.standing for each in verify(file(), [])}


def test_the_customer_is_named_as_the_asker_did() -> None:
    assert b'"customer":{"phone":"+8613800131234"}' in file()
    assert b'"customer":{"customer_id":"C1","store":"crm"}' in file(customer=StoreKey("crm", "C1"))


def test_a_change_of_any_single_byte_is_found() -> None:
    """Small on purpose: one event, a log of two entries; every byte, one bit each, and every byte left out."""
    one, _ = proofs(admission(GIVEN), b"another entry")
    content = file(events=[GIVEN], proofs={"r1": one})
    assert standings(content) == {Standing.PROVEN}
    for at in range(len(content)):
        flipped = content[:at] + bytes((content[at] ^ 1 << at % 7,)) + content[at + 1 :]
        assert Standing.BROKEN in standings(flipped), at
        assert Standing.BROKEN in standings(content[:at] + content[at + 1 :]), at


@pytest.mark.parametrize("extra", [b" ", b"\n", b"{}", b"\x00"])
def test_nothing_may_stand_around_the_file(extra: bytes) -> None:
    assert standings(file() + extra) == {Standing.BROKEN}
    assert standings(extra + file()) == {Standing.BROKEN}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"3", b'{"evidence":{}}', b'{"evidence":{},"signature":""}', b"\xff" * 9],
)
def test_what_is_no_such_file_is_broken_and_not_an_error(content: bytes) -> None:
    assert standings(content) == {Standing.BROKEN}


def altered(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Change the evidence and sign it again: what the log's own key can not talk its way out of."""
    plain = orjson.loads(build(evidence()))
    change(plain)
    return sealed(canonical(plain))


@pytest.mark.parametrize("name", sorted(event_content(GIVEN)))
def test_an_altered_event_contradicts_its_entry_whoever_signs(name: str) -> None:
    def change(plain: dict[str, Any]) -> None:
        event = plain["events"][0]
        was = event[name]
        event[name] = not was if isinstance(was, bool) else [] if isinstance(was, list) and was else was
        if event[name] == was:
            event[name] = ["x"] if isinstance(was, list) else was + 1 if isinstance(was, int) else f"{was}x"

    assert Standing.BROKEN in standings(altered(change))


@pytest.mark.parametrize(
    "change",
    [
        lambda plain: plain["entries"].pop(),
        lambda plain: plain["entries"].append(plain["entries"][0]),
        lambda plain: plain["events"].pop(),
        lambda plain: plain["events"].append(plain["events"][0]),
        lambda plain: plain["sids"].clear(),
        lambda plain: plain["notices"][0].update(text="另一段文字"),
        lambda plain: plain["notices"][0].update(digest="0" * 64),
        lambda plain: plain["entries"][0].update(index=1),
        lambda plain: plain["entries"][0].update(index=-1),
        lambda plain: plain["entries"][0].update(origin="test/w1"),
        lambda plain: plain["entries"][0].update(leaf=plain["entries"][1]["leaf"]),
        lambda plain: plain["entries"][0].update(checkpoint=7),
        lambda plain: plain["entries"][0]["proof"].pop(),
        lambda plain: plain["entries"][0]["proof"].append(plain["entries"][0]["proof"][0]),
        lambda plain: plain["entries"][0].update(leaf="!"),
        lambda plain: plain.update(format="fujie.dev/consent-evidence/v2"),
        lambda plain: plain.pop("notices"),
        lambda plain: plain["unproven"].append({"record_id": "r1", "why": "lost"}),
    ],
)
def test_what_does_not_fit_together_is_found_whoever_signs(
    change: Callable[[dict[str, Any]], object],
) -> None:
    assert Standing.BROKEN in standings(altered(change))


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": EntryKind.OUTCOME},
        {"effect": "DENY"},
        {"principal": "somebody-else"},
        {"sids": ("s9",)},
        {"facts": {RECORD_ID: "r1"}},
        {"facts": {DIGEST: content_digest(event_content(GIVEN))}},
        {"origin": "test/w1"},
    ],
)
def test_an_entry_that_admitted_something_else_proves_nothing(changes: dict[str, Any]) -> None:
    one, _, two = proofs(admission(GIVEN, **changes), b"x", admission(WITHDRAWN))
    assert "admitted something else" in broken(file(proofs={"r1": one, "r2": two}))


def test_a_person_behind_a_workload_is_the_actor() -> None:
    one, _, two = proofs(
        admission(GIVEN, principal="spiffe://example/crm", on_behalf_of="desk"), b"x", admission(WITHDRAWN)
    )
    assert standings(file(proofs={"r1": one, "r2": two})) == {Standing.PROVEN}


def test_a_checkpoint_of_another_key_proves_nothing() -> None:
    one, _, two = proofs(admission(GIVEN), b"x", admission(WITHDRAWN), signer=Signer(ORIGIN, b"x" * 32))
    assert "not in a log signed by its key" in broken(file(proofs={"r1": one, "r2": two}))


def test_a_checkpoint_never_passes_for_the_signature_nor_the_signature_for_a_checkpoint() -> None:
    one, *_ = proofs(admission(GIVEN))
    built = build(evidence())
    assert "not signed" in broken(signed_file(built, one.checkpoint))
    attested = SIGNER.attest(SUBJECT, content_digest(orjson.loads(built)))
    assert "not in a log" in broken(
        file(proofs={**evidence().proofs, "r1": replace(one, checkpoint=attested)})
    )


def test_what_can_not_be_proven_is_named_and_is_no_break() -> None:
    """An older record has no entry; a log may be on another host; a notice may never have been kept."""
    content = file(
        proofs={"r1": evidence().proofs["r1"]}, unproven={"r2": "entry 2 of far/w0 is elsewhere"}
    )
    assert standings(content) == {Standing.PROVEN, Standing.UNPROVEN}
    assert standings(file(notices=[])) == {Standing.PROVEN, Standing.UNPROVEN}
    bare = replace(GIVEN, notice=Notice())
    one, _, two = proofs(admission(bare), b"x", admission(WITHDRAWN))
    content = file(events=[bare, WITHDRAWN], proofs={"r1": one, "r2": two})
    assert standings(content) == {Standing.PROVEN, Standing.UNPROVEN}


def test_the_leaf_travels_byte_for_byte() -> None:
    leaf = base64.b64decode(orjson.loads(file())["evidence"]["entries"][0]["leaf"])
    assert leaf == admission(GIVEN)
