"""A value that is made often is the dataclass that it was, only made sooner."""

from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace
from inspect import signature
from typing import Any

import pytest

from fujie.flows.evidence import Subject
from fujie.flows.reply import LookupReply, Summary
from fujie.model.consent import EntryRef
from fujie.model.customer import Identity, Phone, StoreKey
from fujie.model.limit import Reservation
from fujie.model.making import made_often
from fujie.model.request import LookupAsk, RequestContext


@dataclass(frozen=True, slots=True)
class Plain:
    name: str
    sids: tuple[str, ...] = ("a",)
    facts: Mapping[str, int] = field(default_factory=dict)
    key: bytes | None = field(default=None, repr=False, compare=False)


@made_often
@dataclass(frozen=True, slots=True)
class Often:
    name: str
    sids: tuple[str, ...] = ("a",)
    facts: Mapping[str, int] = field(default_factory=dict)
    key: bytes | None = field(default=None, repr=False, compare=False)


@made_often
@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    first: int
    second: int = 2


GIVEN: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    (("n",), {}), (("n", ()), {}), (("n", ("b",), {"x": 1}, b"k"), {}), ((), {"name": "n", "key": b"k"}), (("n",), {"facts": {}}),
]  # fmt: skip


@pytest.mark.parametrize(("positional", "named"), GIVEN)
def test_it_holds_what_it_was_given(positional: tuple[Any, ...], named: dict[str, Any]) -> None:
    plain, often = Plain(*positional, **named), Often(*positional, **named)
    for each in fields(Plain):
        assert getattr(often, each.name) == getattr(plain, each.name)
    assert repr(often) == repr(plain).replace("Plain", "Often")
    assert often == Often(*positional, **named)
    assert replace(often, name="other") == Often("other", often.sids, often.facts)


@pytest.mark.parametrize(
    ("positional", "named"), [((), {}), (("n",), {"no": 1}), (("n",), {"name": "m"}), (range(9), {})]
)
def test_it_refuses_what_a_dataclass_refuses(positional: tuple[Any, ...], named: dict[str, Any]) -> None:
    for kind in (Plain, Often):
        with pytest.raises(TypeError):
            kind(*positional, **named)


def test_it_stays_frozen_and_what_is_made_for_one_is_not_anothers() -> None:
    one, other = Often("n"), Often("n")
    assert one.facts is not other.facts
    with pytest.raises(FrozenInstanceError):
        one.name = "m"  # type: ignore[misc]  # on purpose


def test_what_must_be_named_must_be_named() -> None:
    assert (Named(first=1).second, Named(second=3, first=1).second) == (2, 3)
    with pytest.raises(TypeError):
        Named(1)  # type: ignore[call-arg]  # on purpose


@pytest.mark.parametrize(
    "kind",
    [StoreKey, Phone, Identity, RequestContext, LookupAsk, Reservation, Subject, Summary, LookupReply, EntryRef],
)  # fmt: skip
def test_those_of_a_look_up_take_all_their_fields(kind: Any) -> None:
    made = kind(**{each.name: each.name for each in fields(kind)})
    assert [getattr(made, each.name) for each in fields(kind)] == [each.name for each in fields(kind)]
    assert list(signature(kind).parameters) == [each.name for each in fields(kind)]
    with pytest.raises(FrozenInstanceError):
        setattr(made, fields(kind)[0].name, "other")
