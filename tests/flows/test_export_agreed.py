"""Attacks on four eyes over lists, and on exports that go on: alone, twice, too late, for something else."""

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

import fujie.flows.export as flow
from flows.test_approvals import hire
from flows.test_export import becoming, until_chunk
from fujie.flows.approvals import approve, revoke_approval
from fujie.flows.export_reply import ExportPart
from fujie.flows.reply import ApprovalReply
from fujie.model.approval import id_of
from fujie.model.export import Closing, Format
from fujie.model.principal import Credential
from fujie.model.request import ExportAsk, LeaseAsk, RequestContext
from support.exports import LARGE, ME, POLICY, Came, export, exported, facts_of, lists, wanting
from support.house import House, caller

NOTHING = RequestContext()
EYE, OTHER = caller("compliance-1"), caller("other-marketer")
ASKED = wanting(max_rows=200)


@pytest.fixture
async def eyes(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """A gate whose lists of 25 and more need a second person, in chunks of ten."""
    monkeypatch.setattr(flow, "CHUNK", 10)
    for name in (EYE.subject, "compliance-2"):
        await hire(house, name, "compliance_officer")
    await hire(house, OTHER.subject, "marketer")
    house.log.leaves.clear()
    return lists(house, POLICY)


def resting_on(name: str, asked: ExportAsk = ASKED) -> ExportAsk:
    return replace(asked, context=replace(asked.context, approval=name))


async def asked_for(house: House, asked: ExportAsk = ASKED, who: Credential = ME) -> str:
    """Ask for an export, which must be refused for lack of an approval; return its name."""
    came = await exported(house.gate, asked, who)
    assert came.refusal is not None
    assert came.refusal.summary.effect == "APPROVAL_REQUIRED"
    assert came.refusal.approval.startswith("approvals/")
    return came.refusal.approval


async def agreed(house: House, asked: ExportAsk = ASKED) -> str:
    name = await asked_for(house, asked)
    reply = await approve(house.gate, EYE, NOTHING, id_of(name))
    assert isinstance(reply, ApprovalReply), reply
    return name


async def test_a_long_list_leaves_once_a_second_person_agreed_and_only_once(eyes: House) -> None:
    name = await agreed(eyes)
    came = await exported(eyes.gate, resting_on(name))
    assert len(came.rows) > 50
    assert facts_of(eyes, "admission")[0]["approval.id"] == id_of(name)
    assert came.head is not None
    assert came.head.export is not None
    assert came.head.export.approval == id_of(name)
    again = await exported(eyes.gate, resting_on(name))
    assert again.refusal is not None
    assert again.refusal.summary.effect == "APPROVAL_REQUIRED"
    assert again.parts == []


CHANGED: Sequence[ExportAsk] = (
    replace(ASKED, filter='gender = "F"'),
    replace(ASKED, fields=("customer_no", "gender", "name")),
    replace(ASKED, max_rows=201),
    replace(ASKED, max_rows=199),
    replace(ASKED, format=Format.CSV),
    replace(ASKED, strict=True),
    replace(ASKED, lease=LeaseAsk(3600, 10)),
    replace(ASKED, context=replace(ASKED.context, basis_evidence="", basis="consent")),
    replace(ASKED, context=replace(ASKED.context, ticket="T-1")),
)


async def test_an_approval_opens_no_other_request(eyes: House) -> None:
    name = await agreed(eyes)
    for asked in CHANGED:
        came = await exported(eyes.gate, resting_on(name, asked))
        assert came.refusal is not None
        assert came.parts == []
    assert len((await exported(eyes.gate, resting_on(name))).rows) > 50, "and is not used up by them"


async def test_one_byte_of_a_filter_or_a_lease_is_another_request(eyes: House) -> None:
    leased = replace(ASKED, filter='gender = "F"', lease=LeaseAsk(3600, 10))
    name = await agreed(eyes, leased)
    for asked in (
        replace(leased, filter='gender = "M"'),
        replace(leased, filter='gender = "F" '),
        replace(leased, lease=LeaseAsk(3601, 10)),
        replace(leased, lease=LeaseAsk(3600, 11)),
        replace(leased, lease=None),
    ):
        assert (await exported(eyes.gate, resting_on(name, asked))).parts == []
    assert (await exported(eyes.gate, resting_on(name, leased))).tail is not None


async def test_of_two_who_use_one_approval_at_once_one_gets_the_list(eyes: House) -> None:
    name = await agreed(eyes)
    both = await asyncio.gather(*(exported(eyes.gate, resting_on(name)) for _ in range(4)))
    assert sorted(len(came.parts) > 0 for came in both) == [False, False, False, True]


async def test_nobody_agrees_with_himself_nor_uses_what_is_anothers(eyes: House) -> None:
    await becoming(roles=frozenset({"marketer", "compliance_officer"}))(eyes)
    name = await asked_for(eyes)
    await approve(eyes.gate, ME, NOTHING, id_of(name))
    assert (await exported(eyes.gate, resting_on(name))).parts == []
    await approve(eyes.gate, EYE, NOTHING, id_of(name))
    assert (await exported(eyes.gate, resting_on(name), OTHER)).parts == []
    assert (await exported(eyes.gate, resting_on(name))).tail is not None


async def test_what_was_agreed_to_ends(eyes: House) -> None:
    name = await agreed(eyes)
    eyes.hands.time += timedelta(hours=25)
    assert (await exported(eyes.gate, resting_on(name))).parts == []
    name = await agreed(eyes)
    await revoke_approval(eyes.gate, EYE, NOTHING, id_of(name))
    assert (await exported(eyes.gate, resting_on(name))).parts == []


async def test_only_deciding_asks_for_the_approval_and_uses_none_up(eyes: House) -> None:
    name = await asked_for(eyes, replace(ASKED, validate_only=True))
    await approve(eyes.gate, EYE, NOTHING, id_of(name))
    came = await exported(eyes.gate, resting_on(name, replace(ASKED, validate_only=True)))
    assert came.head is not None
    assert (await exported(eyes.gate, resting_on(name))).tail is not None


async def broken(house: House, asked: ExportAsk, chunks: int = 2) -> Came:
    """Take some chunks of an export, and go away."""
    came = Came()
    answers = export(house.gate, asked)
    async for answer in answers:
        came.take(answer)
        if isinstance(answer, ExportPart) and answer.number == chunks - 1:
            break
    await answers.aclose()  # type: ignore[attr-defined]  # it is a generator
    return came


@pytest.mark.parametrize("form", list(Format))
async def test_an_export_that_broke_goes_on_to_the_very_same_file(eyes: House, form: Format) -> None:
    asked = replace(ASKED, format=form)
    whole = await exported(eyes.gate, resting_on(await agreed(eyes, asked), asked))
    asked = resting_on(await agreed(eyes, asked), asked)
    first = await broken(eyes, asked)
    second = await exported(eyes.gate, replace(asked, resume=first.parts[-1].token))
    assert second.tail is not None
    assert whole.tail is not None
    assert second.tail.rows == whole.tail.rows
    last_line = len(whole.tail.data)
    assert (first.data + second.data)[: -len(second.tail.data)] == whole.data[:-last_line]
    admissions = facts_of(eyes, "admission")
    assert admissions[-1]["export.first"] == admissions[-2]["export.id"]
    assert "export.first" not in admissions[-2]


async def test_a_resume_token_is_for_its_request_its_asker_and_an_hour(eyes: House) -> None:
    asked = resting_on(await agreed(eyes))
    token = (await broken(eyes, asked)).parts[-1].token
    for wrong, who in (
        (replace(asked, filter='gender = "F"'), ME),
        (replace(asked, max_rows=asked.max_rows + 1), ME),
        (replace(asked, format=Format.CSV), ME),
        (asked, OTHER),
    ):
        came = await exported(eyes.gate, replace(wrong, resume=token), who)
        assert came.code == "RESUME_TOKEN_INVALID"
    middle = len(token) // 2
    other = "A" if token[middle] != "A" else "B"
    forged = (
        token[:middle] + other + token[middle + 1 :],
        token[:-4],
        token + "AAAA",
        base64.b64encode(b"{}").decode(),
    )
    for text in forged:
        assert (await exported(eyes.gate, replace(asked, resume=text))).code == "RESUME_TOKEN_INVALID"
    eyes.hands.time += timedelta(minutes=61)
    assert (await exported(eyes.gate, replace(asked, resume=token))).code == "RESUME_TOKEN_INVALID"


async def test_what_was_revoked_does_not_go_on(eyes: House) -> None:
    asked = resting_on(await agreed(eyes))
    first = await broken(eyes, asked)
    assert first.head is not None
    assert first.head.export is not None
    closing = Closing(at=eyes.hands.now(), by="boss", why="EXPORT_REVOKED")
    await eyes.gate.exports.close_export(first.head.export.id, closing)
    assert (await exported(eyes.gate, replace(asked, resume=first.parts[-1].token))).code == "EXPORT_CLOSED"


async def test_going_on_again_and_again_never_passes_the_most_rows(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "CHUNK", 10)
    house = lists(house, POLICY, LARGE)
    asked, seen = wanting(max_rows=25), list[str]()
    came = await broken(house, asked, 1)
    while came.tail is None:
        seen += [row["customer_no"] for row in came.rows]
        came = await exported(house.gate, replace(asked, resume=came.parts[-1].token))
    seen += [row["customer_no"] for row in came.rows]
    assert len(seen) == len(set(seen)) == 25


async def test_who_approved_and_left_before_the_list_did_has_not_approved(eyes: House) -> None:
    name = await agreed(eyes)
    await hire(eyes, EYE.subject, "nothing")
    assert (await exported(eyes.gate, resting_on(name))).parts == []


async def test_a_rule_by_the_number_of_rows_reads_the_most_that_may_leave(eyes: House) -> None:
    assert (await exported(eyes.gate, wanting(max_rows=24))).tail is not None
    came = await until_chunk(eyes, 0, becoming(), max_rows=2500)
    assert came.code == "X_EXPORT_TOO_LARGE"
