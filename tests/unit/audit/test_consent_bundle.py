"""Consent evidence: what a stranger can conclude from the file, and that nobody can change it unseen."""

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given as hypothesis_given
from hypothesis import settings
from hypothesis import strategies as st

from fujie.audit.canon import canonical
from fujie.audit.checkpoint import Checkpoint, Signer, VerifierKey
from fujie.audit.consent_bundle import SUBJECT, Evidence, Standing, build, signed_file, verify
from fujie.audit.consent_records import (
    CONFIRMATION_DIGEST,
    DIGEST,
    RECORD_ID,
    SUPPRESSION_DIGEST,
    SUPPRESSION_ID,
    RecordKey,
    RecordKind,
    content_digest,
    event_content,
    event_facts,
    lift_content,
    lift_facts,
    suppression_content,
    suppression_facts,
    time_text,
)
from fujie.audit.entry import Entry, EntryKind, leaf_bytes
from fujie.audit.proof import Proof
from fujie.audit.tree import Tree, inclusion_proof, leaf_hash
from fujie.model.consent import ConsentEvent, ConsentEventType, Notice
from fujie.model.customer import Phone, StoreKey
from fujie.model.notice import PrivacyNotice
from fujie.model.reason import LocalizedText
from fujie.model.suppression import CONFIRMATION_METHODS, Confirmation, Suppression, SuppressionScope

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


R1, R2 = (RecordKind.EVENT, "r1"), (RecordKind.EVENT, "r2")
HOUR = timedelta(hours=1)
IN_FORCE = Suppression(
    "o1", "s1", SuppressionScope("marketing", "sms", "brand"), AT, AT + HOUR, "desk", "call", "call-1"
)
LIFTED = Suppression(
    "o2", "s2", SuppressionScope(), AT, AT + HOUR, "desk", "agent", "call-2",
    lifted=Confirmation("signed_letter", "letter-1", AT + 2 * HOUR), lifted_at=AT + 3 * HOUR, lifted_by="officer",
)  # fmt: skip
O1, O2 = (RecordKind.SUPPRESSION, "o1"), (RecordKind.SUPPRESSION, "o2")
L2 = (RecordKind.LIFT, "o2")


def admission(event: ConsentEvent, **changes: Any) -> bytes:
    entry = Entry(
        uid=f"u-{event.record_id}", time=time_text(event.received_at), origin=ORIGIN, kind=EntryKind.ADMISSION,
        principal=event.actor, action="consent.record", sids=("s1", "s2"), effect="ALLOW",
        facts=event_facts(event_content(event)),
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
        proofs={R1: one, R2: two},
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
    content = file(events=[GIVEN], proofs={R1: one})
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


def altered(change: Callable[[dict[str, Any]], object], whole: Evidence | None = None) -> bytes:
    """Change the evidence and sign it again: what the log's own key can not talk its way out of."""
    plain = orjson.loads(build(whole or evidence()))
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
        lambda plain: plain.update(format="fujie.dev/consent-evidence/v1"),
        lambda plain: plain.pop("notices"),
        lambda plain: plain["unproven"].append({"of": "events", "record_id": "r1", "why": "lost"}),
        lambda plain: plain["unproven"].append({"of": "events", "record_id": "r9", "why": "lost"}),
        lambda plain: plain["entries"][0].update(of="suppressions"),
        lambda plain: plain["entries"][0].update(of=["events"]),
        lambda plain: plain["entries"][0].pop("of"),
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
        {"action": "consent.read"},
        {"time": "2026-11-20T02:00:00.000001Z"},
    ],
)
def test_an_entry_that_admitted_something_else_proves_nothing(changes: dict[str, Any]) -> None:
    one, _, two = proofs(admission(GIVEN, **changes), b"x", admission(WITHDRAWN))
    assert "admitted something else" in broken(file(proofs={R1: one, R2: two}))


def test_a_person_behind_a_workload_is_the_actor() -> None:
    one, _, two = proofs(
        admission(GIVEN, principal="spiffe://example/crm", on_behalf_of="desk"), b"x", admission(WITHDRAWN)
    )
    assert standings(file(proofs={R1: one, R2: two})) == {Standing.PROVEN}


def test_a_checkpoint_of_another_key_proves_nothing() -> None:
    one, _, two = proofs(admission(GIVEN), b"x", admission(WITHDRAWN), signer=Signer(ORIGIN, b"x" * 32))
    assert "not in a log signed by its key" in broken(file(proofs={R1: one, R2: two}))


def test_a_checkpoint_never_passes_for_the_signature_nor_the_signature_for_a_checkpoint() -> None:
    one, *_ = proofs(admission(GIVEN))
    built = build(evidence())
    assert "not signed" in broken(signed_file(built, one.checkpoint))
    attested = SIGNER.attest(SUBJECT, content_digest(orjson.loads(built)))
    assert "not in a log" in broken(
        file(proofs={**evidence().proofs, R1: replace(one, checkpoint=attested)})
    )


def test_what_can_not_be_proven_is_named_and_is_no_break() -> None:
    """An older record has no entry; a log may be on another host; a notice may never have been kept."""
    content = file(proofs={R1: evidence().proofs[R1]}, unproven={R2: "entry 2 of far/w0 is elsewhere"})
    assert standings(content) == {Standing.PROVEN, Standing.UNPROVEN}
    assert standings(file(notices=[])) == {Standing.PROVEN, Standing.UNPROVEN}
    bare = replace(GIVEN, notice=Notice())
    one, _, two = proofs(admission(bare), b"x", admission(WITHDRAWN))
    content = file(events=[bare, WITHDRAWN], proofs={R1: one, R2: two})
    assert standings(content) == {Standing.PROVEN, Standing.UNPROVEN}


def test_the_leaf_travels_byte_for_byte() -> None:
    leaf = base64.b64decode(orjson.loads(file())["evidence"]["entries"][0]["leaf"])
    assert leaf == admission(GIVEN)


# Opt-outs and their lifts. Here, too, everything is signed again after the attack, by the log's own key.


def added(given: Suppression, **changes: Any) -> bytes:
    entry = Entry(
        uid=f"u-{given.suppression_id}", time=time_text(given.received_at), origin=ORIGIN, kind=EntryKind.ADMISSION,
        principal=given.actor, action="suppression.add", sids=("s1", "s2"), effect="ALLOW",
        facts=suppression_facts(suppression_content(given)),
    )  # fmt: skip
    return leaf_bytes(replace(entry, **changes))


def lift(given: Suppression, **changes: Any) -> bytes:
    assert given.lifted_at is not None
    entry = Entry(
        uid=f"l-{given.suppression_id}", time=time_text(given.lifted_at), origin=ORIGIN, kind=EntryKind.ADMISSION,
        principal=given.lifted_by, action="suppression.remove", sids=(given.sid,), effect="ALLOW",
        facts=lift_facts(suppression_content(given), lift_content(given)),
    )  # fmt: skip
    return leaf_bytes(replace(entry, **changes))


def of_opt_outs(
    *given: Suppression, leaves: dict[RecordKey, bytes] | None = None, **changes: Any
) -> Evidence:
    """Return evidence of opt-outs alone; `leaves` replace the entries that a record rightly has."""
    rightly: dict[RecordKey, bytes] = {}
    for each in given:
        rightly[RecordKind.SUPPRESSION, each.suppression_id] = added(each)
        if each.lifted:
            rightly[RecordKind.LIFT, each.suppression_id] = lift(each)
    rightly |= leaves or {}
    found = dict(zip(rightly, proofs(*rightly.values(), b"another entry"), strict=False))
    return evidence(**{"events": [], "notices": [], "suppressions": given, "proofs": found, **changes})


OPT_OUTS = of_opt_outs(IN_FORCE, LIFTED)


def test_opt_outs_and_lifts_are_proven_and_told_in_words() -> None:
    content = sealed(build(OPT_OUTS))
    words = [each.text for each in verify(content, [KEY])]
    assert standings(content) == {Standing.PROVEN}
    assert "with 2 opt-outs, of which 1 were lifted" in words[0]
    assert words[1].startswith(
        "opt-out of marketing, sms, brand 2026-11-20T02:00:00.000000Z: admitted at 2026-11-20T03:00:00.000000Z by desk"
    )
    assert any(text.startswith("opt-out of every purpose 2026") for text in words)
    assert words[3].startswith(
        "lift of an opt-out by signed_letter 2026-11-20T04:00:00.000000Z: admitted at 2026-11-20T05:00:00.000000Z by officer"
    )


@pytest.mark.parametrize("name", sorted(suppression_content(LIFTED)))
@pytest.mark.parametrize("which", [0, 1])
def test_an_altered_or_redated_opt_out_contradicts_its_entry_whoever_signs(name: str, which: int) -> None:
    def change(plain: dict[str, Any]) -> None:
        plain["suppressions"][which][name] += "x"

    finding = "left out" if name == "suppression_id" else "admitted something else"
    assert finding in broken(altered(change, OPT_OUTS))


@pytest.mark.parametrize("name", sorted(lift_content(LIFTED)))
def test_an_altered_or_redated_lift_contradicts_its_entry_whoever_signs(name: str) -> None:
    def change(plain: dict[str, Any]) -> None:
        plain["lifts"][0][name] += "x"

    finding = "left out" if name == "suppression_id" else "admitted something else"
    assert finding in broken(altered(change, OPT_OUTS))


def without(*keys: RecordKey) -> Callable[[dict[str, Any]], None]:
    """Drop the entries of these records."""

    def change(plain: dict[str, Any]) -> None:
        plain["entries"] = [e for e in plain["entries"] if (e["of"], e["record_id"]) not in keys]

    return change


def lifting_the_other(plain: dict[str, Any]) -> None:
    """Let the lift that one opt-out had end the other, which is in force."""
    plain["lifts"][0].update(suppression_id="o1", sid="s1")
    plain["entries"][2]["record_id"] = "o1"


def swapping(plain: dict[str, Any]) -> None:
    one, two, _ = plain["entries"]
    one["record_id"], two["record_id"] = two["record_id"], one["record_id"]


def making_up_a_lift(plain: dict[str, Any]) -> None:
    """End the opt-out that is in force by a lift, and an entry, that the log never held."""
    forged = replace(LIFTED, suppression_id="o1", sid="s1", scope=IN_FORCE.scope)
    leaf = base64.b64encode(lift(forged)).decode()
    plain["lifts"].append({**lift_content(forged)})
    plain["entries"].append({**plain["entries"][2], "record_id": "o1", "leaf": leaf})


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (lambda plain: plain["suppressions"].pop(0), "o1 among the suppressions, which was left out"),
        (lambda plain: plain["suppressions"].pop(1), "the opt-out that it lifts was left out"),
        (lambda plain: plain["lifts"].clear(), "o2 among the lifts, which was left out"),
        (lambda plain: (plain["suppressions"].pop(1), without(O2)(plain)), "that it lifts was left out"),
        (lambda plain: plain["suppressions"].append(plain["suppressions"][0]), "stands twice"),
        (lambda plain: plain["lifts"].append(plain["lifts"][0]), "stands twice"),
        (without(O1), "neither one entry nor a reason for none"),
        (without(L2), "neither one entry nor a reason for none"),
        (lambda plain: plain["entries"].append(plain["entries"][2]), "neither one entry nor a reason"),
        (lambda plain: plain["sids"].remove("s2"), "admitted something else"),
        (lambda plain: plain["suppressions"][0].update(extra="x"), "admitted something else"),
        (lifting_the_other, "admitted something else"),
        (swapping, "admitted something else"),
        (making_up_a_lift, "is not in a log signed by its key"),
        (lambda plain: plain["lifts"][0].update(event_time=time_text(AT)), "no later act of who opted out"),
        (lambda plain: plain["lifts"][0].update(method="word_of_the_agent"), "no act of a customer"),
    ],
)
def test_opt_outs_that_do_not_fit_together_are_found_whoever_signs(
    change: Callable[[dict[str, Any]], object], finding: str
) -> None:
    assert finding in broken(altered(change, OPT_OUTS))


_SAYS_NOTHING = {SUPPRESSION_ID: "o2"}


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": EntryKind.OUTCOME},
        {"effect": "DENY"},
        {"principal": "somebody-else"},
        {"sids": ("s9",)},
        {"origin": "test/w1"},
        {"action": "suppression.read"},
        {"time": "2026-11-20T03:00:00.000001Z"},
        {"facts": _SAYS_NOTHING},
        {"facts": {**_SAYS_NOTHING, SUPPRESSION_DIGEST: content_digest(suppression_content(IN_FORCE))}},
        {"facts": {**_SAYS_NOTHING, CONFIRMATION_DIGEST: content_digest(lift_content(LIFTED))}},
    ],
)
def test_an_entry_that_admitted_another_opt_out_or_lift_proves_nothing(changes: dict[str, Any]) -> None:
    for key, leaf in ((O2, added(LIFTED, **changes)), (L2, lift(LIFTED, **changes))):
        whole = of_opt_outs(IN_FORCE, LIFTED, leaves={key: leaf})
        assert broken(sealed(build(whole))).count("admitted something else") == 1, key


def test_the_entry_of_a_lift_passes_for_no_opt_out_and_that_of_an_opt_out_for_no_lift() -> None:
    """A lift's entry names the opt-out by id and digest as well: who lifts at the moment of adding must not double."""
    at_once = replace(LIFTED, lifted_at=LIFTED.received_at, lifted_by=LIFTED.actor)
    for key, leaf in ((O2, lift(at_once)), (L2, added(at_once))):
        whole = of_opt_outs(at_once, leaves={key: leaf})
        assert broken(sealed(build(whole))).count("admitted something else") == 1


def test_what_an_earlier_build_left_without_entry_rests_on_the_signature_alone_and_says_so() -> None:
    why = "recorded by a build that did not keep its entry"
    kept = {key: proof for key, proof in OPT_OUTS.proofs.items() if key == O2}
    content = sealed(build(replace(OPT_OUTS, proofs=kept, unproven={O1: why, L2: why})))
    unproven = [each.text for each in verify(content, [KEY]) if each.standing is Standing.UNPROVEN]
    assert Standing.BROKEN not in standings(content)
    assert len(unproven) == 2
    assert all(text.endswith(f"no proof, {why}; it rests on the signature alone") for text in unproven)


@pytest.mark.parametrize(
    ("said", "finding"),
    [
        (Confirmation("signed_letter", "l", AT), "no later act of who opted out"),
        (Confirmation("signed_letter", "l", AT - HOUR), "no later act of who opted out"),
        (Confirmation("import", "l", AT + HOUR), "no act of a customer"),
    ],
)
def test_a_lift_without_entry_must_still_be_a_later_act_of_the_customer(
    said: Confirmation, finding: str
) -> None:
    forged = replace(IN_FORCE, lifted=said, lifted_at=AT + HOUR, lifted_by="officer")
    whole = replace(
        of_opt_outs(IN_FORCE), suppressions=[forged], unproven={(RecordKind.LIFT, "o1"): "lost"}
    )
    assert finding in broken(sealed(build(whole)))


def test_what_its_signer_leaves_out_together_with_its_entry_is_his_word_and_is_said_to_be() -> None:
    """The limit of a file: only the log itself, or an earlier file, shows this."""
    content = sealed(build(of_opt_outs()))
    assert standings(content) == {Standing.PROVEN}
    assert (
        "with 0 opt-outs, of which 0 were lifted; that nothing was left out rests on its word"
        in verify(content, [KEY])[0].text
    )


_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
_moments = st.integers(0, 10**9).map(lambda micros: AT + timedelta(microseconds=micros))


@st.composite
def _several(draw: st.DrawFn) -> list[Suppression]:
    found = []
    for number in range(draw(st.integers(1, 4))):
        scope = SuppressionScope(draw(_texts), draw(_texts), draw(_texts))
        given = Suppression(
            f"o{number}", draw(st.sampled_from(["s1", "s2"])), scope, draw(_moments), draw(_moments),
            draw(_texts.filter(bool)), draw(_texts), draw(_texts),
        )  # fmt: skip
        if draw(st.booleans()):
            act = given.event_time + timedelta(microseconds=draw(st.integers(1, 10**9)))
            by = Confirmation(draw(st.sampled_from(sorted(CONFIRMATION_METHODS))), draw(_texts), act)
            given = replace(given, lifted=by, lifted_at=draw(_moments), lifted_by=draw(_texts.filter(bool)))
        found.append(given)
    return found


@settings(max_examples=60, deadline=None)
@hypothesis_given(given=_several(), draws=st.data())
def test_no_part_of_any_evidence_of_opt_outs_can_be_changed_dropped_or_doubled(
    given: list[Suppression], draws: st.DataObject
) -> None:
    whole = of_opt_outs(*given)
    assert standings(sealed(build(whole))) == {Standing.PROVEN}
    plain = orjson.loads(build(whole))
    name = draws.draw(st.sampled_from(["suppressions", "entries"] + ["lifts"] * bool(plain["lifts"])))
    at = draws.draw(st.integers(0, len(plain[name]) - 1))
    attack = draws.draw(st.sampled_from(["drop", "double", "change"]))
    if attack == "drop":
        plain[name].pop(at)
    elif attack == "double":
        plain[name].append(plain[name][at])
    else:
        row = plain[name][at]
        key = draws.draw(st.sampled_from(sorted(row)))
        was = row[key]
        row[key] = was + 1 if isinstance(was, int) else was[:-1] if isinstance(was, list) else f"{was}x"
    assert Standing.BROKEN in standings(sealed(canonical(plain))), (attack, name)
