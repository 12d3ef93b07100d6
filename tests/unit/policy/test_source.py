"""YAML to nodes with places: nothing is guessed, every problem stands where it is."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fujie.model.diagnostic import Diagnostic
from fujie.policy.bundle import Bundle
from fujie.policy.compile import compile_bundle
from fujie.policy.places import Report
from fujie.policy.source import MAX_DEPTH, Fields, documents


def refused(content: str | bytes) -> tuple[Diagnostic, ...]:
    result = compile_bundle({"f": content if isinstance(content, bytes) else content.encode()})
    assert not isinstance(result, Bundle)
    return result


def first(content: str | bytes) -> tuple[int, int, str]:
    found = refused(content)[0]
    return found.line, found.column, found.code


def read(content: str) -> Fields:
    report = Report()
    (fields,) = documents("f", content.encode(), report)
    assert report.problems == []
    return fields


def rule(written: str) -> str:
    """A guard for look-ups with one validation whose expression is written so."""
    return (
        "apiVersion: fujie.dev/v1\n"
        "kind: Guard\n"
        "metadata: {name: g}\n"
        "spec:\n"
        "  match: {actions: [lookup]}\n"
        "  validations:\n"
        "    - name: v\n"
        f"      expression: {written}\n"
    )


PLACES = {
    "plain": ("time.hour == GIVNE", 8, 32),
    "plain over lines": ("time.hour\n        == GIVNE", 9, 12),
    "single quotes": ("'time.hour == GIVNE'", 8, 33),
    "single quotes with two of them": ("'request.basis == ''a'' && GIVNE'", 8, 46),
    "double quotes": ('"time.hour == GIVNE"', 8, 33),
    "double quotes with escapes": ('"request.basis == \\"\\x61\\" && GIVNE"', 8, 49),
    "double quotes with an escaped blank": ('"time.hour\\x20==\\tGIVNE"', 8, 37),
    "double quotes with a continued line": ('"time.hour == \\\n        GIVNE"', 9, 9),
    "double quotes over lines": ('"time.hour ==\n        GIVNE"', 9, 9),
    "literal block": ("|\n        time.hour ==\n          GIVNE", 10, 11),
    "literal block behind a comment": ("| # why\n        time.hour == GIVNE", 9, 22),
    "literal block with its own indent": ("|2-\n          time.hour == GIVNE", 9, 24),
    "literal block behind an empty line": ("|\n\n        time.hour == GIVNE", 10, 22),
    "folded block": (">\n        time.hour ==\n        GIVNE", 10, 9),
    "folded block behind empty lines": (">-\n\n        time.hour\n\n        == GIVNE", 12, 12),
    "full-width characters": ("\"request.basis == '营销' && GIVNE\"", 8, 45),
    "characters beyond the basic plane": ("\"request.basis == '𠮷' && GIVNE\"", 8, 44),
    "a tab": ("time.hour ==\tGIVNE", 8, 32),
    "a comment in the expression": ("|\n        // why\n        time.hour == GIVNE", 10, 22),
}


@pytest.mark.parametrize(("written", "line", "column"), PLACES.values(), ids=PLACES.keys())
@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["", "BOM"])
def test_a_problem_inside_an_expression_stands_where_it_is_written(
    written: str, line: int, column: int, newline: str, mark: str
) -> None:
    content = mark + rule(written).replace("\n", newline)
    found = refused(content)
    assert [(d.line, d.column, d.code) for d in found] == [(line, column, "EXPRESSION_INVALID")]
    assert found[0].source[column - 1 :].startswith("GIVNE")


def test_a_problem_at_the_end_of_an_expression_stands_behind_it() -> None:
    assert first(rule("true &&")) == (8, 26, "EXPRESSION_INVALID")
    assert first(rule("|\n        true &&\n\n")) == (9, 16, "EXPRESSION_INVALID")


@given(st.text(st.sampled_from("ab '\"\\\n\t中𠮷"), min_size=1), st.data())
def test_every_position_of_a_double_quoted_text_is_found_again(text: str, data: st.DataObject) -> None:
    """Written as escapes, half of the time: counting must take each for one character."""
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"}
    pieces = [f"\\U{ord(c):08x}" if data.draw(st.booleans()) else escapes.get(c, c) for c in text]
    content = '中: "' + "".join(pieces) + '"'
    located = read(content).text("中") if text.strip() else None
    if located is None:
        return
    line = column = 1
    for index, character in enumerate(text):
        if character not in " \n\t":
            at = located.at(line, column)
            assert (at.line, at.column) == (1, 5 + len("".join(pieces[:index])))
        line, column = (line + 1, 1) if character == "\n" else (line, column + 1)


REFUSED = {
    "not UTF-8": (b"a: \xff", 1, 1, "NOT_UTF8"),
    "UTF-16": ("a: b".encode("utf-16"), 1, 1, "NOT_UTF8"),
    "a lone surrogate in bytes": (b"a: \xed\xa0\x80", 1, 1, "NOT_UTF8"),
    "NUL": (b"a: b\n b\0c", 2, 3, "TEXT_INVALID"),
    "an escape sequence": ("中: \x1b[31m", 1, 4, "TEXT_INVALID"),
    "a second byte order mark": ("\ufeff\ufeffa: b", 1, 1, "TEXT_INVALID"),
    "a line break that editors do not show": ("a: b\u2028c: d", 1, 5, "TEXT_INVALID"),
    "next line": ("a: b\x85c: d", 1, 5, "TEXT_INVALID"),
    "a lone carriage return": ("a: b\rc: d", 1, 5, "TEXT_INVALID"),
    "a right-to-left override": ("a: b # \u202e", 1, 8, "TEXT_INVALID"),
    "a right-to-left mark": ("a: b\u200fc", 1, 5, "TEXT_INVALID"),
    "a blank of no width": ("a: blocked\u200b", 1, 11, "TEXT_INVALID"),
    "a soft hyphen": ("a: b\u00adc", 1, 5, "TEXT_INVALID"),
    "a word joiner": ("a: b\u2060c", 1, 5, "TEXT_INVALID"),
    "a letter that nobody sees": ("a: b\u3164", 1, 5, "TEXT_INVALID"),
    "a tag character": ("a: b\U000e0061", 1, 5, "TEXT_INVALID"),
    "an unfinished quote": ('a: "b', 1, 6, "YAML_SYNTAX"),
    "an escaped surrogate": ('a: "\\ud800"', 1, 7, "YAML_SYNTAX"),
    "an indenting tab": ("a:\n\tb: c", 2, 1, "YAML_SYNTAX"),
    "an anchor": ("a: &x b", 1, 4, "YAML_REFUSED"),
    "an alias": ("a: b\nc: *x", 2, 4, "YAML_REFUSED"),
    "a tag": ("a: !!python/object/apply:os.system [ls]", 1, 4, "YAML_REFUSED"),
    "a list": ("- a", 1, 1, "WRONG_TYPE"),
    "a text": ("a", 1, 1, "WRONG_TYPE"),
    "null": ("~", 1, 1, "WRONG_TYPE"),
    "a second document that is a list": ("---\n---\n- a", 3, 1, "WRONG_TYPE"),
    "a merge key": ("<<: {a: b}", 1, 1, "KEY_NOT_TEXT"),
    "on as a key": ("on: b", 1, 1, "KEY_NOT_TEXT"),
    "a number as a key": ("1: b", 1, 1, "KEY_NOT_TEXT"),
    "a list as a key": ("? [a]\n: b", 1, 3, "KEY_NOT_TEXT"),
    "a key twice": ("kind: Guard\nkind: Grant", 2, 1, "DUPLICATE_KEY"),
    "a key twice, quoted differently": ("kind: Guard\n'kind': Grant", 2, 1, "DUPLICATE_KEY"),
}


@pytest.mark.parametrize(("content", "line", "column", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_yaml_that_could_be_read_in_two_ways_is_refused_at_its_place(
    content: str | bytes, line: int, column: int, code: str
) -> None:
    assert (line, column, code) in [(d.line, d.column, d.code) for d in refused(content)]


SAID = {
    "a negation without quotes": ("a:\n  b: !customer.minor\n", "begins with `!` stands in quotes"),
    "the same in braces": ("a: {b: !customer.minor}", "begins with `!` stands in quotes"),
    "an anchor by mistake": ("a: &&b", "begins with `&` or `*` stands in quotes"),
    "an alias by mistake": ("a: *.b", "begins with `&` or `*` stands in quotes"),
    "an indenting tab": ("a:\n\tb: c", "a tab can not indent: use spaces"),
    "a sign that begins nothing": ("a: @b", "begins with `@` stands in quotes"),
    "a colon inside a text": ("a: b: c", "put the text in quotes"),
    "text behind a quoted one": ("a: 'b' == c", "put a text with `: `, `#` or quotes in quotes"),
    "a line too far in": ("a:\n  b: c\n   d: e", "mind the indentation"),
    "a list too far out": ("a:\n  - b\n  c: d", "mind the indentation"),
    "a bracket that is not closed": ("a: [b, c\nd: e", "closing bracket is missing"),
    "a list that is not closed": ("a: [b, # c", "a bracket above is not closed"),
    "a quote that is not closed": ("a: 'b", "a quote or bracket is not closed"),
    "an escape that YAML has not": ('a: "\\d+"', "a backslash is written twice"),
    "a key without a colon": ("a: b\nkind", "a `:` is missing"),
    "nothing where text is meant": ("kind:", "text is meant, not nothing"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "said"), SAID.values(), ids=SAID.keys())
def test_a_mistake_that_people_make_is_answered_with_what_to_write(content: str, said: str) -> None:
    assert any(said in each.message for each in refused(content)), refused(content)


def test_every_anchor_alias_and_tag_is_reported_at_once() -> None:
    assert [d.column for d in refused("a: [&x b, *x, !t c]")] == [5, 11, 15]


@pytest.mark.parametrize("nothing", ["", " \n\n", "# only a comment\n", "---\n---\n", "\ufeff"])
def test_a_file_without_documents_is_an_empty_bundle(nothing: str) -> None:
    result = compile_bundle({"f": nothing.encode()})
    assert isinstance(result, Bundle)
    assert (result.grants, result.guards) == ((), ())


@pytest.mark.parametrize(
    "opening", ["[", "{a: ", "- ", "? ", "[{a: "], ids=["list", "mapping", "dash", "complex key", "mixed"]
)
def test_nesting_that_would_end_the_process_is_a_problem(opening: str) -> None:
    """The reader composes by recursion in C: 100,000 brackets are a segmentation fault, not an exception."""
    (found,) = refused("a: " * (opening[0] not in "-?") + opening * 100_000)
    assert found.code == "TOO_DEEP"


def test_nesting_up_to_the_bound_is_read() -> None:
    assert [d.code for d in refused("a: " + "[" * MAX_DEPTH + "]" * MAX_DEPTH)] == ["TOO_DEEP"]
    at_bound = refused("a: " + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1))
    assert "UNKNOWN_KEY" in [d.code for d in at_bound]


WHERE_TEXT_IS_MEANT = [
    "on",
    "yes",
    "no",
    "true",
    "1",
    "1.5",
    "0x1",
    "~",
    "null",
    "2026-01-01",
    "=",
    "[a]",
    "{a: b}",
    "",
]


@pytest.mark.parametrize("value", WHERE_TEXT_IS_MEANT)
def test_yaml_that_is_not_text_where_text_is_meant_is_refused(value: str) -> None:
    report = Report()
    (fields,) = documents("f", f"a: {value}".encode(), report)
    assert fields.text("a") is None
    assert [(p.line, p.code) for p in report.problems] == [(1, "WRONG_TYPE")]


@pytest.mark.parametrize("value", ['""', "' '", '"\\n"', "|\n\n"])
def test_an_empty_text_is_refused(value: str) -> None:
    """`evidence: ""` would otherwise mean that no evidence is needed."""
    report = Report()
    (fields,) = documents("f", f"a: {value}".encode(), report)
    assert fields.text("a") is None
    assert [p.code for p in report.problems] == ["EMPTY_TEXT"]


@pytest.mark.parametrize("value", ["\\0", "\\e", "\\x07", "\\u202e", "\\uFEFF"])
def test_control_characters_can_not_come_in_by_escapes(value: str) -> None:
    report = Report()
    (fields,) = documents("f", f'a: "b{value}"'.encode(), report)
    assert fields.text("a") is None
    assert [p.code for p in report.problems] == ["TEXT_INVALID"]


@pytest.mark.parametrize("value", ["\\0", "\\e", "\\x07", "\\u202e", "\\uFEFF", "\\u200b"])
def test_nor_in_a_key(value: str) -> None:
    report = Report()
    (fields,) = documents("f", f'{{a: b, "c{value}": d}}'.encode(), report)
    fields.skip("a")
    fields.finish()
    assert [(p.code, p.column) for p in report.problems] == [("TEXT_INVALID", 8)]
    assert all(p.message.isprintable() for p in report.problems)


@pytest.mark.parametrize("value", ["yes", "on", "True", "TRUE", "1", '"true"'])
def test_only_true_and_false_are_booleans(value: str) -> None:
    report = Report()
    (fields,) = documents("f", f"a: {value}".encode(), report)
    assert fields.flag("a") is False
    assert [p.code for p in report.problems] == ["WRONG_TYPE"]


@pytest.mark.parametrize("value", ["0", "11", "-1", "+5", "05", "0b1", "0x5", "1_0", "9" * 5000, "1:1"])
def test_only_plain_decimal_numbers_in_range_are_numbers(value: str) -> None:
    report = Report()
    (fields,) = documents("f", f"a: {value}".encode(), report)
    assert fields.integer("a", 7, 1, 10) == 7
    assert [p.code for p in report.problems] == ["OUT_OF_RANGE"]


def test_an_empty_list_is_refused() -> None:
    """None of a list of stores would be read as any store."""
    report = Report()
    (fields,) = documents("f", b"a: []", report)
    assert fields.texts("a") == ()
    assert [(p.column, p.code) for p in report.problems] == [(4, "EMPTY_LIST")]


def test_an_item_twice_in_a_list_is_refused_where_it_stands_again() -> None:
    report = Report()
    (fields,) = documents("f", b"a: [b, c, b]", report)
    fields.texts("a")
    assert [(p.column, p.code) for p in report.problems] == [(11, "DUPLICATE_ITEM")]


def test_keys_that_nobody_takes_are_named_with_those_that_are_known() -> None:
    report = Report()
    (fields,) = documents("f", b"one: a\ntow: b\n", report)
    fields.text("one")
    fields.text("two", required=False)
    fields.finish()
    assert [(p.line, p.code, p.message) for p in report.problems] == [
        (2, "UNKNOWN_KEY", "`tow` is not known here; known: one, two")
    ]


@given(st.binary(max_size=200))
@example(b"\xef\xbb\xbf")
@example(b"%YAML 9.9\n---\na: b")
def test_no_bytes_make_the_reader_raise(content: bytes) -> None:
    result = compile_bundle({"f": content})
    assert isinstance(result, Bundle) or all(
        d.file == "f" and d.line >= 1 and d.column >= 1 for d in result
    )


@given(st.text(st.sampled_from("ab:- \n[]{}'\"|>#&*!%\\?,\t"), max_size=60))
def test_no_yaml_soup_makes_the_reader_raise(content: str) -> None:
    result = compile_bundle({"f": content.encode()})
    assert isinstance(result, Bundle) or all(map(str, result))


def test_a_diagnostic_carries_no_escape_sequence_to_the_terminal() -> None:
    for content in ("a: \x1b[31m", '"\\e[31m": b'):
        assert "\x1b" not in "\n".join(map(str, refused(content)))


def test_the_caret_stands_under_the_place() -> None:
    shown = str(Diagnostic("f", 1, 5, "X", "m", "中\té: b")).splitlines()
    assert shown == ["f:1:5: X: m", "  中\té: b", "  \u3000\t  ^"]


def test_a_line_too_long_to_read_is_not_repeated() -> None:
    assert str(Diagnostic("f", 1, 5, "X", "m", "x" * 100_000)) == "f:1:5: X: m"
