"""Bundles made to hurt: refused, or loaded, with a message that says why, within bounds that are counted, not timed."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fujie.model.diagnostic import Diagnostic
from fujie.policy.bundle import Bundle
from fujie.policy.compile import compile_bundle
from fujie.policy.places import MOST_PROBLEMS, Report
from fujie.policy.source import MAX_BYTES, MAX_FILE_BYTES, MOST_NODES, documents
from support.bundles import CATALOGUE, document, grant, guard

MB = 2**20
MOST_MEMORY = 300 * MB
"""Bytes that any bundle may take while it is read and refused."""
MOST_TEXT = 5 * MB
"""Code points of all messages of a refusal together."""


def refused(files: dict[str, bytes]) -> tuple[Diagnostic, ...]:
    result = compile_bundle(files)
    assert not isinstance(result, Bundle)
    assert all(each.message and each.code for each in result)
    return result


def first_code(content: str | bytes) -> str:
    return refused({"f": content if isinstance(content, bytes) else content.encode()})[0].code


def bomb(levels: int = 12) -> str:
    """Return the billion laughs: each level is the one before, ten times."""
    lines = ["a0: &a0 [lol]"] + [
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)
    ]
    return "\n".join(lines)


def filled(unit: str, size: int = MAX_FILE_BYTES, before: str = "", after: str = "") -> str:
    room = size - len((before + after).encode())
    return before + unit * (room // len(unit.encode())) + after


NASTY: dict[str, tuple[Callable[[], str | bytes], str]] = {
    "an alias bomb": (bomb, "YAML_REFUSED"),
    "an alias to itself": (lambda: "a: &a [*a]", "YAML_REFUSED"),
    "a merge bomb": (lambda: "a: &a {x: 1}\nb: {<<: [" + ", ".join(["*a"] * 1_000) + "]}", "YAML_REFUSED"),
    "ten megabytes": (lambda: filled("# nothing to see here\n", 10 * MB), "FILE_TOO_LARGE"),
    "ten megabytes of brackets": (lambda: "[" * (10 * MB), "FILE_TOO_LARGE"),
    "ten megabytes that are no text": (lambda: b"\xff" * (10 * MB), "FILE_TOO_LARGE"),
    "a full file of brackets": (lambda: "[" * MAX_FILE_BYTES, "TOO_DEEP"),
    "a full file of one word": (lambda: "x" * MAX_FILE_BYTES, "WRONG_TYPE"),
    "a full file of one quoted text": (lambda: filled("x", before='a: "', after='"'), "MISSING_KEY"),
    "a full file of question marks": (lambda: "? " * (MAX_FILE_BYTES // 2), "TOO_DEEP"),
    "a full file of escapes": (lambda: filled("\\x41", before='a: "', after='"'), "MISSING_KEY"),
    "a full file of NUL": (lambda: b"\0" * MAX_FILE_BYTES, "TEXT_INVALID"),
    "a full file of tabs": (lambda: "\t" * MAX_FILE_BYTES, "YAML_SYNTAX"),
    "a tab that indents": (lambda: "kind:\n\t- Guard", "YAML_SYNTAX"),
    "a directive": (lambda: "%YAML 3.0\n---\na: b", "YAML_SYNTAX"),
    "an unknown escape": (lambda: 'a: "\\q"', "YAML_SYNTAX"),
    "bytes of UTF-32": (lambda: "kind: Guard".encode("utf-32"), "NOT_UTF8"),
    "overlong UTF-8": (lambda: b"kind: \xc0\xae", "NOT_UTF8"),
    "half a character": (lambda: "kind: 营".encode()[:-1], "NOT_UTF8"),
}


@pytest.mark.parametrize(("content", "code"), NASTY.values(), ids=NASTY.keys())
def test_a_file_that_is_made_to_hurt_is_refused_for_what_it_is(
    content: Callable[[], str | bytes], code: str
) -> None:
    assert first_code(content()) == code


def test_a_file_of_the_largest_size_is_read() -> None:
    text = filled("# a comment\n", before="\n---\n".join(CATALOGUE) + "\n", size=MAX_FILE_BYTES)
    assert isinstance(compile_bundle({"f": text.encode()}), Bundle)
    assert first_code((text + "#" * 20).encode()) == "FILE_TOO_LARGE"


def test_files_that_are_too_large_together_are_refused_before_any_is_read() -> None:
    files = {f"f{i}": b"# \n" * (MAX_BYTES // 30) for i in range(11)}
    (found,) = refused(files)
    assert found.code == "BUNDLE_TOO_LARGE"
    assert str(sum(map(len, files.values()))) in found.message


@pytest.mark.parametrize(
    "unit", ["&a b, ", "*a, ", "!t c, ", "{k: v, k: v}, "], ids=["anchor", "alias", "tag", "key"]
)
def test_a_flood_of_problems_is_cut_and_that_is_said(unit: str) -> None:
    text = filled(unit, size=MB // 4, before="a: [", after="]")
    report = Report()
    list(documents("f", text.encode(), report))
    found = report.problems
    if unit.startswith("{"):  # a mapping inside is read when its key is taken
        found = list(
            refused(
                {"f": document("Purposes", "p", {"purposes": []}).replace("[]", f"[{text[4:]}").encode()}
            )
        )
    assert len(found) == MOST_PROBLEMS + 1
    assert "TOO_MANY_PROBLEMS" in {each.code for each in found}
    assert sum(len(str(each)) for each in found) < MOST_TEXT


def test_messages_that_would_list_thousands_of_names_are_cut() -> None:
    label = {"zh": "目的", "en": "purpose"}
    purposes = [{"id": f"purpose_{i}", "label": label, "bases": {"consent": {}}} for i in range(5_000)]
    bad = grant("g", purposes=[f"gossip_{i}" for i in range(500)])
    found = refused(
        {
            "f": "\n---\n".join(
                (*CATALOGUE, document("Purposes", "more", {"purposes": purposes}), bad)
            ).encode()
        }
    )
    assert len(found) == 500
    assert sum(len(each.message) for each in found) < MOST_TEXT


@pytest.mark.parametrize(
    "number",
    [
        "9" * 100_000,
        "0x" + "f" * 100_000,
        "1_" * 50_000 + "1",
        "1:" * 50_000 + "1",
        "1e999999999",
        ".inf",
        "-9" * 9,
    ],
)
def test_a_number_of_any_length_is_only_out_of_range(number: str) -> None:
    """Python's own int() takes quadratic time, and refuses beyond 4,300 digits by an exception."""
    text = document(
        "Reasons", "r", {"reasons": [{"code": "X_A", "message": {"zh": "一", "en": "a"}, "priority": 777}]}
    )
    found = refused({"f": text.replace("777", number).encode()})
    assert {each.code for each in found} <= {"OUT_OF_RANGE", "WRONG_TYPE"}
    assert sum(len(str(each)) for each in found) < 1_000


def test_ten_thousand_policies_load_from_ten_thousand_files() -> None:
    """From one file they do in test_compile.py."""
    written = [*CATALOGUE, *(grant(f"grant-{i}", roles=(f"role{i}",)) for i in range(10_000))]
    bundle = compile_bundle({f"{i}.yaml": text.encode() for i, text in enumerate(written)})
    assert isinstance(bundle, Bundle)
    assert len(bundle.grants) == 10_000


def test_thousands_of_documents_of_one_name_are_each_refused() -> None:
    found = refused(
        {f"{i}": grant("same").encode() for i in range(2_000)} | {"c": "\n---\n".join(CATALOGUE).encode()}
    )
    assert [each.code for each in found] == ["DUPLICATE_NAME"] * 1_999


DENSE: dict[
    str, Callable[[int], str]
] = {  # texts of so many nodes at most; those that took most of all that were tried
    "a mapping": lambda n: filled("a,", size=n, before="a: {", after="a}"),
    "keys of their own": lambda n: "\n".join(f"{i}k: v" for i in range(n // 2 - 1)),
    "names of one line": lambda n: grant("g", purposes=[f"p{i}" for i in range(n - 100)]),
    "documents": lambda n: (
        "--- {apiVersion: fujie.dev/v1, kind: Grant, metadata: {name: a}, spec: {a}}\n" * (n // 13)
    ),
}
READ_IN_A_CHILD = """
import pathlib, re, sys
def most():  # since it began: `ru_maxrss` begins with that of the tests, which it was forked from
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1])
from fujie.policy.compile import compile_bundle
files = {name: pathlib.Path(name).read_bytes() for name in sys.argv[1:]}
before = most()
found = compile_bundle(files)
print(most() - before, ",".join(sorted({each.code for each in found})))
"""


def read_in_a_child(tmp_path: Path, *texts: str) -> tuple[int, str]:
    """Return by how many bytes a process grew that refused the files, and the codes."""
    for number, text in enumerate(texts):
        (tmp_path / f"f{number}").write_text(text, "utf-8")
    names = [str(tmp_path / f"f{number}") for number in range(len(texts))]
    done = subprocess.run(
        [sys.executable, "-c", READ_IN_A_CHILD, *names], capture_output=True, text=True, check=True
    )
    grown, codes = done.stdout.split()
    return int(grown) * 1024, codes


@pytest.mark.parametrize("dense", DENSE.values(), ids=DENSE.keys())
def test_the_densest_files_take_a_bounded_memory(dense: Callable[[int], str], tmp_path: Path) -> None:
    """As many nodes as may be, on top of as many bytes as may be, in short lines."""
    text = dense(MOST_NODES)
    room = MAX_FILE_BYTES - len(text.encode())
    grown, codes = read_in_a_child(
        tmp_path, text + "\n" + "#a\n" * (room // 3 - 1), "#b\n" * (MAX_FILE_BYTES // 3)
    )
    assert "TOO_MANY_NODES" not in codes
    assert grown < MOST_MEMORY


def test_one_node_more_than_may_be_is_refused_before_any_is_kept(tmp_path: Path) -> None:
    files = ["a: [" + "a," * (MOST_NODES // 2) + "]"] * 2
    grown, codes = read_in_a_child(tmp_path, *files)
    assert "TOO_MANY_NODES" in codes
    assert grown < MOST_MEMORY
    (found,) = refused({"f": ("a: [" + "[]," * MOST_NODES + "]").encode(), "g": b"a: b"})
    assert (found.file, found.code) == ("f", "TOO_MANY_NODES")


NESTED = {
    "brackets": lambda n: "(" * n + "true" + ")" * n,
    "negations": lambda n: "!" * n + "true",
    "lists": lambda n: "[" * n + "]" * n + " == []",
    "conditionals": lambda n: "true ? true : " * n + "true",
    "a chain of or": lambda n: "true || " * n + "true",
    "a sum": lambda n: "1" + " + 1" * n + " > 0",
    "selections": lambda n: "consent" + ".state" * n + " == GIVEN",
    "loops": lambda n: "".join(f"[1].all(x{i}, " for i in range(n)) + "true" + ")" * n,
    "quotes": lambda n: "'" * n,
}


@pytest.mark.parametrize("nested", NESTED.values(), ids=NESTED.keys())
@pytest.mark.parametrize("n", [20, 200, 3_000, 100_000])
def test_an_expression_that_is_nested_without_end_ends_in_a_verdict(
    nested: Callable[[int], str], n: int
) -> None:
    """A stack that overflows in the engine would end the process, and this test with it."""
    result = compile_bundle({"f": "\n---\n".join((*CATALOGUE, guard("g", nested(n)))).encode()})
    assert isinstance(result, Bundle) or {each.code for each in result} <= {
        "EXPRESSION_TOO_LONG", "EXPRESSION_TOO_DEEP", "EXPRESSION_INVALID", "NOT_BOOLEAN", "STATE_MISUSE",
    }  # fmt: skip


def test_variables_that_double_each_other_end_in_a_verdict() -> None:
    content = json.loads(guard("g", "variables.v19 == 'x'"))
    content["spec"]["variables"] = [{"name": "v0", "expression": "customer.owner"}] + [
        {"name": f"v{i}", "expression": f"variables.v{i - 1} + variables.v{i - 1}"} for i in range(1, 20)
    ]
    found = refused({"f": "\n---\n".join((*CATALOGUE, json.dumps(content))).encode()})
    assert "EXPRESSION_TOO_LONG" in {each.code for each in found}


def test_thousands_of_attributes_are_read_in_one_pass() -> None:
    attributes = {"customer": {f"a{i}": {"type": "bool"} for i in range(5_000)}}
    assert isinstance(
        compile_bundle({"f": document("FieldCatalog", "f", {"attributes": attributes}).encode()}), Bundle
    )
    attributes["customer"]["a_1"] = {"type": "bool"}
    found = refused({"f": document("FieldCatalog", "f", {"attributes": attributes}).encode()})
    assert [each.code for each in found] == ["DUPLICATE_NAME"]
