"""Notices at load: complete, short, one per purpose and channel; every problem with its place."""

from collections.abc import Mapping
from typing import Any

import pytest

from fujie.policy.notices import MOST_BYTES
from support.bundles import compiled, document, problems, purpose

SOUND: Mapping[str, Any] = {
    "version": "1",
    "purposes": ["marketing"],
    "text": {"zh": "{controller}：您可随时撤回。", "en": "{controller}: withdraw at any time."},
    "withdrawal": {"zh": "您可随时撤回", "en": "withdraw at any time"},
}


def notice(name: str = "own", **changes: Any) -> str:
    spec = {**SOUND, **changes}
    return document("Notice", name, {key: value for key, value in spec.items() if value != "absent"})


def text(zh: str = SOUND["text"]["zh"], en: str = SOUND["text"]["en"]) -> dict[str, str]:
    return {"zh": zh, "en": en}


def test_a_sound_notice_is_the_one_of_its_purpose() -> None:
    bundle = compiled(
        notice(explicit=True, recipients=["a courier"], data_classes=["mobile"], storage=["CN"])
    )
    found = bundle.notice_for("marketing", "any")
    assert found is bundle.notices["own"]
    assert (found.version, found.explicit, found.separate) == ("1", True, False)
    assert (found.recipients, found.data_classes, found.storage) == (("a courier",), ("mobile",), ("CN",))
    assert bundle.notice_for("care", "any") is None


def test_a_notice_of_the_channel_goes_before_that_of_every_channel() -> None:
    bundle = compiled(notice("wide"), notice("narrow", channels=["sms", "email"]))
    told = {
        channel: bundle.notice_for("marketing", channel) for channel in ("sms", "email", "voice", "any")
    }
    assert {channel: found and found.id for channel, found in told.items()} == {
        "sms": "narrow", "email": "narrow", "voice": "wide", "any": "wide",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({"version": "absent"}, {"MISSING_KEY"}),
        ({"version": 1}, {"WRONG_TYPE"}),
        *(({"version": version}, {"VERSION_INVALID"}) for version in ("v1", "1.2.3.4", " 1", "１")),
        ({"purposes": "absent"}, {"MISSING_KEY"}),
        ({"purposes": []}, {"EMPTY_LIST"}),
        ({"purposes": ["gossip"]}, {"UNKNOWN_PURPOSE"}),
        ({"purposes": ["bookkeeping"]}, {"CONSENT_NOT_ACCEPTED"}),
        ({"channels": ["pigeon"]}, {"UNKNOWN_CHANNEL"}),
        ({"channels": []}, {"EMPTY_LIST"}),
        ({"text": "absent"}, {"MISSING_KEY", "WITHDRAWAL_NOT_SAID"}),
        ({"text": {"zh": SOUND["text"]["zh"]}}, {"MISSING_KEY", "WITHDRAWAL_NOT_SAID"}),
        ({"text": text(en="{Controller}: withdraw at any time.")}, {"NOT_YET_ENFORCED", "CONTROLLER_NOT_NAMED"}),
        ({"text": text(en="{controller}{name}: withdraw at any time.")}, {"NOT_YET_ENFORCED"}),
        ({"text": text(zh="您可随时撤回。")}, {"CONTROLLER_NOT_NAMED"}),
        ({"text": text(zh="{controller}：同意吗？")}, {"WITHDRAWAL_NOT_SAID"}),
        ({"text": text(en="{controller}: Withdraw at any time.")}, {"WITHDRAWAL_NOT_SAID"}),
        ({"text": text(zh=SOUND["text"]["zh"] + "长" * (MOST_BYTES // 3))}, {"NOTICE_TOO_LONG"}),
        ({"withdrawal": "absent"}, {"MISSING_KEY"}),
        ({"withdrawal": {"zh": "您可随时撤回", "en": "{controller}"}}, {"NOT_YET_ENFORCED"}),
        ({"data_classes": ["shoe_size"]}, {"UNKNOWN_CLASS"}),
        ({"explicit": "yes"}, {"WRONG_TYPE"}),
        ({"recipient": ["x"]}, {"UNKNOWN_KEY"}),
    ],
)  # fmt: skip
def test_a_notice_that_informs_nobody_is_refused(changes: dict[str, Any], codes: set[str]) -> None:
    other = document("Purposes", "own", {"purposes": [purpose("bookkeeping", {"legal_duty": {}})]})
    found = problems(other, notice(**changes))
    assert {problem.code for problem in found} == codes
    assert all(problem.file == "own" and problem.line > 0 and problem.column > 0 for problem in found)


def test_two_notices_for_one_purpose_and_channel_name_each_other() -> None:
    first, second = notice("first", channels=["sms"]), notice("second", channels=["email", "sms"])
    (problem,) = problems(first, second)
    assert (problem.code, "own:1" in problem.message, problem.line) == ("DUPLICATE_NOTICE", True, 3)


def test_any_change_of_a_notice_changes_the_bundle() -> None:
    assert compiled(notice()).digest != compiled(notice(version="2")).digest
