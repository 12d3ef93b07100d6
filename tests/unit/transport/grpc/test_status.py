import importlib
import itertools
import pkgutil
from urllib.parse import quote

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

import fujie.adapters
import fujie.audit
import fujie.decision
import fujie.flows
import fujie.model
import fujie.policy
from fujie.flows.reply import Prompt, Refusal, Summary
from fujie.model.decision import ReasonHit
from fujie.model.errors import FujieError
from fujie.model.notice import PrivacyNotice
from fujie.model.reason import LocalizedText, Outcome
from fujie.model.reasons import BUILT_IN_REASONS
from fujie.model.vocabulary import Effect
from fujie.policy.notices import MOST_BYTES
from fujie.transport.grpc import status, trailers
from fujie.v1 import types_pb2 as types_v1

DENIED = Summary("d-1", Effect.DENY, "sha256:" + "0" * 64)


def hit(code: str, **more: object) -> ReasonHit:
    row = BUILT_IN_REASONS.get(code)
    message = row.message if row else LocalizedText("自定义", "own")
    return ReasonHit(code, 1, message=message, **more)  # type: ignore[arg-type]  # a table of fields


def decoded(failure: status.Failure) -> status_pb2.Status:
    [raw] = [value for key, value in failure.trailing if key == trailers.DETAILS_KEY]
    assert isinstance(raw, bytes)
    return status_pb2.Status.FromString(raw)


def details(failure: status.Failure) -> dict[str, list[bytes]]:
    by_type: dict[str, list[bytes]] = {}
    for packed in decoded(failure).details:
        by_type.setdefault(packed.TypeName(), []).append(packed.value)
    return by_type


def error_classes(root: type[FujieError] = FujieError) -> set[type[FujieError]]:
    return {root}.union(*(error_classes(sub) for sub in root.__subclasses__()))


def test_every_outcome_has_a_code() -> None:
    assert set(Outcome) == status.CODES.keys()


@pytest.mark.parametrize("code", sorted(BUILT_IN_REASONS))
def test_every_built_in_reason_has_a_status_as_refusal_and_as_error(code: str) -> None:
    expected = status.CODES[BUILT_IN_REASONS[code].outcome]
    assert grpc.StatusCode.OK is not expected
    refusal = status.refused(Refusal(DENIED, (hit(code),)))
    error = status.failed(code, "i-1")
    assert (expected, expected) == (refusal.code, error.code)
    assert {code} == {
        error_details_pb2.ErrorInfo.FromString(details(f)["google.rpc.ErrorInfo"][0]).reason
        for f in (refusal, error)
    }


def test_every_error_class_of_the_package_has_a_code_of_the_table() -> None:
    for package in (fujie.model, fujie.policy, fujie.decision, fujie.audit, fujie.flows, fujie.adapters):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".versions" not in module.name and not module.name.endswith(".env"):  # alembic runs those
                importlib.import_module(module.name)
    classes = error_classes()
    assert {"RequestError", "CredentialError", "StoreError", "LedgerError"} <= {c.__name__ for c in classes}
    assert set() == {c.__name__ for c in classes if c.code not in BUILT_IN_REASONS}


@pytest.mark.parametrize(
    ("effect", "code", "expected"),
    [
        (Effect.DENY, "X_OWN_REASON", grpc.StatusCode.PERMISSION_DENIED),
        (Effect.APPROVAL_REQUIRED, "X_OWN_REASON", grpc.StatusCode.FAILED_PRECONDITION),
        (Effect.APPROVAL_REQUIRED, "CONSENT_MISSING", grpc.StatusCode.FAILED_PRECONDITION),
        (Effect.DENY, "NO_GRANT", grpc.StatusCode.PERMISSION_DENIED),
        (Effect.DENY, "LOG_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE),
    ],
)
def test_the_effect_and_the_primary_reason_make_the_code(
    effect: Effect, code: str, expected: grpc.StatusCode
) -> None:
    summary = Summary("d-1", effect, "b")
    assert expected is status.refused(Refusal(summary, (hit(code), hit("INTERNAL")))).code


def test_an_error_code_that_nobody_knows_is_told_as_internal() -> None:
    failure = status.failed("SELECT * FROM customer", "i-1")
    assert grpc.StatusCode.INTERNAL is failure.code
    assert b"SELECT" not in decoded(failure).SerializeToString()


def test_a_refusal_carries_each_detail_as_often_as_it_may() -> None:
    reasons = (hit("PHONE_INVALID"), hit("TEXT_INVALID"))
    found = details(status.refused(Refusal(DENIED, reasons, field="customer.phone")))
    assert {name: len(values) for name, values in found.items()} == {
        "google.rpc.ErrorInfo": 1,
        "google.rpc.LocalizedMessage": 2,
        "google.rpc.BadRequest": 1,
        "fujie.v1.DecisionDetail": 1,
    }
    info = error_details_pb2.ErrorInfo.FromString(found["google.rpc.ErrorInfo"][0])
    assert (info.reason, info.domain) == ("PHONE_INVALID", "fujie.dev")
    assert {"decision_id": "d-1", "bundle": DENIED.bundle} == dict(info.metadata)
    words = [error_details_pb2.LocalizedMessage.FromString(v) for v in found["google.rpc.LocalizedMessage"]]
    assert [w.locale for w in words] == ["en", "zh-CN"]
    bad = error_details_pb2.BadRequest.FromString(found["google.rpc.BadRequest"][0])
    assert [v.field for v in bad.field_violations] == ["customer.phone"]
    detail = types_v1.DecisionDetail.FromString(found["fujie.v1.DecisionDetail"][0])
    assert [r.code for r in detail.reasons] == ["PHONE_INVALID", "TEXT_INVALID"]
    assert (detail.decision.decision_id, detail.decision.effect) == ("d-1", types_v1.EFFECT_DENY)


def prompting(zh: str, en: str, token: str = "t" * 500) -> Prompt:
    text = LocalizedText(zh, en)
    notice = PrivacyNotice("n", "1", frozenset({"marketing"}), text, LocalizedText(zh, en))
    return Prompt(token, "marketing", notice)


def prompt_of(refusal: Refusal) -> types_v1.DecisionDetail:
    failure = status.refused(refusal)
    assert len(decoded(failure).SerializeToString()) <= status.MOST_DETAIL_BYTES
    return types_v1.DecisionDetail.FromString(details(failure)["fujie.v1.DecisionDetail"][0])


def test_a_prompt_carries_text_and_digest_in_both_languages() -> None:
    prompt = prompting("您是否同意？", "Do you agree?")
    told = prompt_of(Refusal(DENIED, (hit("CONSENT_MISSING"),), prompt=prompt)).prompt
    assert (told.token, told.purpose, told.notice_id, told.notice_version) == (
        "t" * 500,
        "marketing",
        "n",
        "1",
    )
    assert (told.text.zh, told.text.en) == ("您是否同意？", "Do you agree?")
    assert (told.digest.zh, told.digest.en) == (prompt.notice.digest("zh"), prompt.notice.digest("en"))


def test_the_longest_notice_that_loads_fits_beside_the_first_reason_whole() -> None:
    """With a controller's name of 85 Chinese characters three times in each text, and thirty more reasons."""
    zh = "同" * (MOST_BYTES // 6) + "名" * 85 * 3
    reasons = (hit("CONSENT_MISSING"), *(hit("NO_GRANT") for _ in range(30)))
    detail = prompt_of(Refusal(DENIED, reasons, prompt=prompting(zh, "x" * (MOST_BYTES // 2))))
    assert detail.prompt.text.zh == zh
    assert detail.reasons[0].code == "CONSENT_MISSING"


def test_half_a_notice_is_never_told() -> None:
    detail = prompt_of(Refusal(DENIED, (hit("CONSENT_MISSING"),), prompt=prompting("同" * 2_000, "x")))
    assert not detail.HasField("prompt")
    assert [reason.code for reason in detail.reasons] == ["CONSENT_MISSING"]


def test_a_refusal_without_a_field_has_no_field_violation() -> None:
    assert "google.rpc.BadRequest" not in details(status.refused(Refusal(DENIED, (hit("NO_GRANT"),))))


def test_code_and_message_agree_with_the_status_detail() -> None:
    failure = status.refused(Refusal(DENIED, (hit("NO_GRANT"),)))
    whole = decoded(failure)
    assert (failure.code.value[0], failure.message) == (whole.code, whole.message)
    assert (status.DECISION_ID_KEY, "d-1") in failure.trailing


def test_an_error_has_an_incident_and_no_decision() -> None:
    failure = status.failed("STORE_UNAVAILABLE", "i-7")
    info = error_details_pb2.ErrorInfo.FromString(details(failure)["google.rpc.ErrorInfo"][0])
    assert dict(info.metadata) == {"incident_id": "i-7"}
    assert "fujie.v1.DecisionDetail" not in details(failure)


@given(st.integers(0, 60), st.text("字😀a", max_size=400), st.integers(0, 20))
def test_trailers_stay_below_what_clients_accept(reasons: int, words: str, warnings: int) -> None:
    text = LocalizedText(words, words)
    hits = tuple(
        ReasonHit("X_" + "R" * 61, 1, "g" * 60, "v" * 60, text, ("PIPL-13",) * 5, text)
        for _ in range(reasons + 1)
    )
    summary = Summary("d" * 32, Effect.DENY, "sha256:" + "0" * 64, hits[:1] * warnings)
    failure = status.refused(Refusal(summary, hits, field="consent.storage_locations"))
    whole = decoded(failure)
    on_the_wire = (
        len(quote(failure.message))
        + whole.ByteSize() * 4 // 3
        + sum(len(key) + len(value) + 32 for key, value in failure.trailing if key != trailers.DETAILS_KEY)
    )
    assert on_the_wire < 8_192 - 200
    kept = types_v1.DecisionDetail.FromString(details(failure)["fujie.v1.DecisionDetail"][0])
    assert len(kept.reasons) <= len(hits)
    assert all(itertools.starmap(lambda a, b: a.code == b.code, zip(kept.reasons, hits, strict=False)))


def test_reasons_of_usual_length_all_fit() -> None:
    hits = tuple(
        hit(code)
        for code in ("CONSENT_MISSING", "CONSENT_WITHDRAWN", "GUARD_REFUSED", "FACT_MISSING", "GUARD_ERROR")
    )
    kept = types_v1.DecisionDetail.FromString(
        details(status.refused(Refusal(DENIED, hits)))["fujie.v1.DecisionDetail"][0]
    )
    assert [h.code for h in hits] == [r.code for r in kept.reasons]


def test_an_approval_that_is_lacking_is_named_in_detail_and_metadata_and_nothing_is_pushed_out() -> None:
    name = "approvals/" + "0" * 32
    summary = Summary("d-1", Effect.APPROVAL_REQUIRED, "sha256:" + "0" * 64)
    long = [hit("X_OWN", guard="g" * 63, remedy=LocalizedText("补" * 200, "r" * 200)) for _ in range(20)]
    for reasons in ([hit("APPROVAL_REQUIRED")], long):
        failure = status.refused(Refusal(summary, tuple(reasons), approval=name))
        assert failure.code is grpc.StatusCode.FAILED_PRECONDITION
        assert decoded(failure).ByteSize() <= status.MOST_DETAIL_BYTES
        found = details(failure)
        (info,) = found["google.rpc.ErrorInfo"]
        assert error_details_pb2.ErrorInfo.FromString(info).metadata["approval"] == name
        (detail,) = found["fujie.v1.DecisionDetail"]
        assert types_v1.DecisionDetail.FromString(detail).approval == name
        assert types_v1.DecisionDetail.FromString(detail).reasons
    other = status.refused(Refusal(DENIED, (hit("NO_GRANT"),)))
    (info,) = details(other)["google.rpc.ErrorInfo"]
    assert "approval" not in error_details_pb2.ErrorInfo.FromString(info).metadata
