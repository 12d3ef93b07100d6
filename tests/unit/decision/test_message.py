"""Texts of messages: every variable has its value and only that, and what one recipient reads has one digest."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.decision.message import LONGEST_TEXT, Rendered, render, variables
from fujie.model.errors import RequestError
from fujie.model.message import Category, Draft, Template

LINK = "https://m.example.com/c/abcdefghijklmnopqrstuv"


def draft(text: str = "", **changed: str) -> Draft:
    return Draft(Category.MARKETING, changed.pop("signature", "示例"), text, **changed)


def rendered(text: str, params: dict[str, str] | None = None, link: str = LINK) -> Rendered:
    return render(draft(text), None, params or {}, link)


def template(text: str, **variables: int) -> Template:
    return Template("t", "1", Category.MARKETING, text, variables)


def code(text: str, params: dict[str, str] | None = None, link: str = LINK) -> str:
    with pytest.raises(RequestError) as refused:
        rendered(text, params, link)
    assert not params or not any(value and value in str(refused.value) for value in params.values())
    return refused.value.code


def test_each_variable_has_its_value() -> None:
    made = rendered("{name}您好，{name}，详见{link}。", {"name": "张三"})
    assert made.text == f"张三您好，张三，详见{LINK}。"
    assert made.params == {"name": "张三", "link": LINK}
    assert made.bare == "张三您好，张三，详见 。"
    assert [made.bare[slice(*span)] for span in made.filled] == ["张三", "张三"]


def test_values_come_in_the_order_of_the_text_whatever_order_the_caller_had() -> None:
    made = rendered("{b} {link} {a} {b}", {"a": "1", "b": "2"})
    assert list(made.params.items()) == [("b", "2"), ("link", LINK), ("a", "1")]


def test_a_value_is_never_read_as_a_text_with_variables() -> None:
    made = rendered("{a}-{b}", {"a": "{b}{link}", "b": "{a}\\1\\g<0>"})
    assert made.text == "{b}{link}-{a}\\1\\g<0>"


@pytest.mark.parametrize(
    ("text", "params", "link"),
    [
        ("{name}您好", {}, LINK),
        ("{name}您好", {"name": ""}, LINK),
        ("您好", {"name": "张三"}, LINK),
        ("{name}您好", {"name": "张三", "more": "x"}, LINK),
        ("详见{link}", {}, ""),
        ("详见{link}", {"link": "http://evil.com"}, LINK),
        ("您好", {"link": "x"}, LINK),
        ("{Name}您好", {"Name": "张三"}, LINK),
        ("{ name }", {"name": "张三"}, LINK),
        ("{name", {"name": "张三"}, LINK),
        ("{{name}}", {"name": "张三"}, LINK),
        ("}", {}, LINK),
        ("x" * (LONGEST_TEXT + 1), {}, LINK),
        ("{a}{b}", {"a": "x" * LONGEST_TEXT, "b": "y"}, LINK),
    ],
)
def test_a_variable_that_is_not_right_is_refused(text: str, params: dict[str, str], link: str) -> None:
    assert code(text, params, link) == "TEMPLATE_PARAMS"


@pytest.mark.parametrize("text", ["", " \n\u3000", "a\0b", "a\ud800", "a\x1b[31m", "a\r\nb", "\x7f"])
def test_a_text_that_can_not_be_sent_is_refused(text: str) -> None:
    assert code(text) == "TEXT_INVALID"
    assert code("{a}", {"a": text}) in {"TEXT_INVALID", "TEMPLATE_PARAMS"}


def test_a_value_is_no_longer_than_its_template_says() -> None:
    of = template("{name}您好", name=3)
    assert render(draft(template="t"), of, {"name": "司马相"}, "").text == "司马相您好"
    with pytest.raises(RequestError) as refused:
        render(draft(template="t"), of, {"name": "司马相如"}, "")
    assert refused.value.code == "TEMPLATE_PARAMS"
    assert "司马" not in str(refused.value)


def test_a_template_is_of_the_category_that_the_draft_says() -> None:
    posing = Draft(Category.TRANSACTIONAL, "示例", template="t")
    with pytest.raises(RequestError) as refused:
        render(posing, template("大促"), {}, "")
    assert (refused.value.code, refused.value.field) == ("ARGUMENT_INVALID", "category")


def test_a_template_that_is_not_there_is_unknown() -> None:
    with pytest.raises(RequestError) as refused:
        render(draft("also a text", template="gone"), None, {}, "")
    assert refused.value.code == "UNKNOWN_TEMPLATE"


def test_content_is_signature_and_text_and_not_the_link() -> None:
    one, other = rendered("详见{link}"), rendered("详见{link}", link="https://m.example.com/c/zzz")
    assert one.content == other.content == hashlib.sha256("示例\0详见 ".encode()).hexdigest()
    assert one.text != other.text
    assert render(draft("详见{link}", signature="别家"), None, {}, LINK).content != one.content


@given(
    st.dictionaries(
        st.sampled_from("abc"),
        st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=20),
    ),
    st.booleans(),
)
def test_filled_places_hold_the_values_in_order(params: dict[str, str], with_link: bool) -> None:
    text = "始" + "·".join(f"{{{name}}}" for name in params) + ("{link}" if with_link else "")
    made = rendered(text, params)
    assert [made.bare[slice(*span)] for span in made.filled] == list(params.values())
    assert made.text.removeprefix("始") == "·".join(params.values()) + (LINK if with_link else "")


def test_the_variables_of_a_text_are_told_with_what_bounds_them() -> None:
    assert variables(draft("{b}{link}{a}{b}"), None) == {"b": 0, "a": 0}
    assert variables(draft(template="t"), template("{name}，{link}", name=3)) == {"name": 3}
    with pytest.raises(RequestError):
        variables(draft("{name"), None)
