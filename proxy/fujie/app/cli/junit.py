"""Results of policy tests as JUnit XML: a suite a document, a test case a case."""

from collections.abc import Sequence
from itertools import groupby
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from fujie.app.cli.policy_results import diff_lines, trace_lines
from fujie.model.policy_test import CaseResult


def junit_of(results: Sequence[CaseResult]) -> str:
    """Return the XML. No times: a case takes less than a millisecond."""
    root = Element("testsuites", _counts(results))
    for document, found in groupby(results, key=lambda result: result.document):
        of_document = list(found)
        suite = SubElement(root, "testsuite", {"name": document, **_counts(of_document)})
        for result in of_document:
            _case(suite, result)
    indent(root)
    return tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: Element, result: CaseResult) -> None:
    cell = "/".join(filter(None, (result.principal, result.customer, result.request)))
    case = SubElement(
        suite,
        "testcase",
        {"classname": f"{result.document}.{result.test}", "name": cell, "file": result.where},
    )
    if not result.is_passed:
        message = "; ".join(
            f"{each.part}: expected {', '.join(each.expected) or 'none'}, got {', '.join(each.actual) or 'none'}"
            for each in result.differences
        )
        failure = SubElement(case, "failure", {"message": message})
        lines = [*diff_lines(result.differences), *trace_lines(result.trace)]
        failure.text = "\n".join(("", *(line.plain for line in lines), ""))


def _counts(results: Sequence[CaseResult]) -> dict[str, str]:
    failed = sum(not result.is_passed for result in results)
    return {"tests": str(len(results)), "failures": str(failed), "errors": "0"}
