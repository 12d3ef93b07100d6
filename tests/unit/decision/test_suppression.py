from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.decision.suppression import suppressed
from fujie.model.suppression import Confirmation, Suppression, SuppressionScope

NOW = datetime(2026, 3, 1, tzinfo=UTC)
BY = Confirmation("signed_letter", "letter-1", NOW)
PARTS = ("purpose", "channel", "brand")

words = st.sampled_from(["", "a", "b", "A"])
scopes = st.builds(SuppressionScope, words, words, words)
opt_outs = st.lists(
    st.builds(
        lambda scope, lifted: Suppression("s", "sid", scope, NOW, NOW, "desk", lifted=lifted),
        scopes,
        st.sampled_from([None, None, BY]),
    ),
    max_size=4,
)


@given(opt_outs, words, words, words, st.data())
def test_widening_a_scope_never_opens(
    given_: list[Suppression], purpose: str, channel: str, brand: str, data: st.DataObject
) -> None:
    before = suppressed(given_, purpose, channel, brand)
    wider = [
        replace(
            each, scope=replace(each.scope, **dict.fromkeys(data.draw(st.sets(st.sampled_from(PARTS))), ""))
        )
        for each in given_
    ]
    assert suppressed(wider, purpose, channel, brand) >= before


@given(opt_outs, opt_outs, words, words, words)
def test_another_opt_out_never_opens_and_order_does_not_matter(
    some: list[Suppression], more: list[Suppression], purpose: str, channel: str, brand: str
) -> None:
    both = suppressed([*some, *more], purpose, channel, brand)
    assert both == suppressed([*more, *some], purpose, channel, brand)
    assert both == (suppressed(some, purpose, channel, brand) or suppressed(more, purpose, channel, brand))


@given(opt_outs, words, words, words)
def test_what_closes_without_channel_and_brand_closes_under_each(
    given_: list[Suppression], purpose: str, channel: str, brand: str
) -> None:
    assert suppressed(given_, purpose, channel, brand) >= suppressed(given_, purpose)


@given(opt_outs, words, words, words)
def test_a_lifted_opt_out_closes_nothing(
    given_: list[Suppression], purpose: str, channel: str, brand: str
) -> None:
    assert not suppressed([replace(each, lifted=BY) for each in given_], purpose, channel, brand)


@pytest.mark.parametrize(
    ("scope", "closes"),
    [
        (SuppressionScope(), True),
        (SuppressionScope("marketing"), True),
        (SuppressionScope("marketing", "sms"), True),
        (SuppressionScope("marketing", "sms", "Acme"), True),
        (SuppressionScope(brand="Acme"), True),
        (SuppressionScope("care"), False),
        (SuppressionScope("marketing", "voice"), False),
        (SuppressionScope("marketing", "sms", "Other"), False),
    ],
)
def test_a_scope_closes_what_it_covers(scope: SuppressionScope, closes: bool) -> None:
    given_ = [Suppression("s", "sid", scope, NOW, NOW, "desk")]
    assert suppressed(given_, "marketing", "sms", "Acme") is closes
