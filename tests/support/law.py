"""Which article is kept by which guards, grants and built-in reasons, and which cases show it: docs/law-coverage.md."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from fujie.decision.policy_tests import settle
from fujie.model.decision import Decision, ReasonHit
from fujie.model.policy_test import Case
from fujie.model.reasons import BUILT_IN_REASONS
from fujie.policy.lint_sheet import read_sheets
from fujie.policy.places import Report
from fujie.policy.source import documents
from support.shipped import PACKS, bundle, decider, files, policy_tests

SOURCES = Path(__file__).parents[2] / "docs" / "law-sources.yaml"
SERVES = "law.fujie.dev/serves"
"""The annotation of a grant or guard whose whole scope keeps an article, without a validation that cites it."""

NEEDS: Mapping[str, tuple[str, str]] = {
    "processor": ("第三方清单与公示", "lists of third parties, and their publication"),
    "region": ("存储与接收方所在地、数量累计", "where stores and recipients stand, yearly volumes"),
    "request": ("客户请求的办理", "requests of customers, with their clocks"),
    "retention": ("保存期限的执行", "retention that is carried out"),
    "audit": ("审计计划", "a schedule of audits"),
    "incident": ("安全事件的处置", "how incidents are handled"),
    "text": ("标准原文未读", "the text of the standard, which was not read"),
}
STATUS = {
    "read": "已读原文 read",
    "provider": "服务商文档 provider",
    "secondary": "二手来源 secondary",
    "unverified": "未核实 unverified",
}


@dataclass(frozen=True, slots=True, order=True)
class Kept:
    """One thing that keeps an article: `pack`, what it is, whether it only warns, and the tests that show it."""

    pack: str
    name: str
    warns: bool
    cases: int
    tests: tuple[str, ...]

    def __str__(self) -> str:
        shown = ", ".join(self.tests[:2]) + (f" +{len(self.tests) - 2}" if len(self.tests) > 2 else "")
        warns = "，仅提示 warns" if self.warns else ""
        return f"{self.pack}: `{self.name}`{warns} ({self.cases}: {shown})"


@cache
def sources() -> Mapping[str, Any]:
    found: Mapping[str, Any] = yaml.safe_load(SOURCES.read_text("utf-8"))
    return found


@cache
def articles() -> Mapping[str, Mapping[str, Any]]:
    return {article["id"]: article for article in sources()["articles"]}


@cache
def settled() -> tuple[tuple[Case, Decision], ...]:
    return tuple(
        (case, settle(decider(PACKS), case).decision) for test in policy_tests(PACKS) for case in test.cases
    )


def _pack_of(where: str) -> str:
    parts = where.split("/")
    return parts[1] if parts[0] == "packs" else parts[0]


def _kept(pack: str, name: str, shown: Iterable[Case], *, warns: bool = False) -> Kept:
    cases = list(shown)
    tests = tuple(sorted({f"{case.document}/{case.test}" for case in cases}))
    return Kept(pack, name, warns, len(cases), tests)


def _refused(hit: ReasonHit) -> Iterator[Case]:
    """Yield the cases in which the validation of `hit` refuses, warns or asks for an approval; facts are not missing."""
    return (case for case, decision in settled() if hit in (*decision.reasons, *decision.warnings))


def _of_validations() -> Iterator[tuple[str, Kept]]:
    for guard in bundle(PACKS).guards:
        for validation in guard.validations:
            shown = list(_refused(validation.hit))
            name = f"{guard.name}/{validation.name}"
            for article in validation.hit.basis:
                yield article, _kept(_pack_of(guard.where), name, shown, warns=not guard.enforced)


def _of_built_in() -> Iterator[tuple[str, Kept]]:
    for code, reason in BUILT_IN_REASONS.items():
        shown = [
            case for case, made in settled() if any(h.code == code and not h.guard for h in made.reasons)
        ]
        for article in reason.basis if shown else ():
            yield article, _kept("fujie", code, shown)


def serving() -> Iterator[tuple[str, str, str, str]]:
    """Yield article, kind, name and file of every document that is annotated with what it serves."""
    whole, report = files(PACKS), Report()
    for sheet in read_sheets(whole, report):
        for document in documents(sheet.name.place.file, whole[sheet.name.place.file], Report()):
            metadata = document.fields("metadata")
            name, kind = metadata.text("name") if metadata else None, document.text("kind")
            notes = metadata.fields("annotations", required=False) if metadata else None
            served = notes.text(SERVES, required=False) if notes else None
            if served and name and kind and (kind.text, name.text) == (sheet.kind, sheet.name.text):
                for article in served.text.split(", "):
                    yield article, kind.text, name.text, name.place.file


def _of_annotations() -> Iterator[tuple[str, Kept]]:
    guards = {guard.name: guard for guard in bundle(PACKS).guards}
    for article, kind, name, file in serving():
        if kind == "Grant":
            shown = [case for case, decision in settled() if name in decision.grants]
        else:
            match = guards[name].match
            shown = [
                case
                for case, decision in settled()
                if (
                    decision.fields.keys() & guards[name].fields.keys()
                    and case.ask.request.purpose in match.purposes
                )
                or any(hit.guard == name and hit.code == "FREQUENCY_EXCEEDED" for hit in decision.reasons)
            ]
        yield article, _kept(_pack_of(file), name, shown)


@cache
def coverage() -> Mapping[str, tuple[Kept, ...]]:
    """Return article to all that keeps it."""
    found: dict[str, set[Kept]] = defaultdict(set)
    for article, kept in (*_of_validations(), *_of_built_in(), *_of_annotations()):
        found[article].add(kept)
    return {article: tuple(sorted(kept)) for article, kept in found.items()}


def group(article: Mapping[str, Any]) -> str:
    """Return how an article is kept: policies, fujie itself, or not."""
    if article["id"] in coverage():
        return "policies"
    return "built_in" if "built_in" in article else "open"


def page() -> str:
    """Return docs/law-coverage.md."""
    return "\n".join((_HEAD, *_numbers(), *_tables(), *_gaps(), ""))


_HEAD = """# Law coverage 法规覆盖

Generated from `docs/law-sources.yaml`, the shipped policies and their tests; a test compares it. It is software, not legal
advice. 本页由 `docs/law-sources.yaml`、随附策略及其测试生成，并由测试核对；仅为软件说明，不构成法律意见。

A guard denies only on what was **read**, and on what the documents of a **provider**, which are no law, say that it refuses
by itself; the rest of these warns, and so does what rests on a **secondary** or **unverified** source, and says so. In brackets: how many cases show the refusal, warning or grant, and in which tests (`document/test`). A guard of a pack keeps an
article for the purposes of its pack, where that pack is loaded and the store says what it reads; of a ticket or an evidence
it sees that it is there, not what it says. 守则仅依据已读原文，或服务商文档载明会自行拒发的情形拒绝；服务商的其他要求、二手或未核实的来源只作提示。括号内为展示该结果的用例数及所在测试。
行业包的守则仅在加载该包、数据源提供所需属性时，对该包的目的生效；单号和证据只检查有无，不检查内容。
"""


def _numbers() -> Iterator[str]:
    yield "## 数字 In numbers"
    yield "| 来源状态 source | 条目 articles | 由策略 kept by policies | 由程序 by fujie itself | 未覆盖 not covered |"
    yield "|---|---|---|---|---|"
    for status, label in STATUS.items():
        found = [group(article) for article in articles().values() if article["status"] == status]
        counts = " | ".join(str(found.count(each)) for each in ("policies", "built_in", "open"))
        yield f"| {label} | {len(found)} | {counts} |"
    whole = bundle(PACKS)
    yield ""
    yield (
        f"{len(whole.grants)} grants, {len(whole.guards)} guards, "
        f"{sum(len(guard.validations) for guard in whole.guards)} validations, {len(settled())} cases: "
        f"base and {', '.join(PACKS)}."
    )


def _tables() -> Iterator[str]:
    for law, name in sources()["laws"].items():
        mine = [article for article in articles().values() if article["id"].partition("-")[0] == law]
        shown = [article for article in mine if group(article) != "open"]
        if not shown:
            continue
        yield ""
        yield f"## {law} {name['zh']}"
        yield f"{name['en']}"
        yield ""
        yield "| 条文 article | 要求 asks for | 状态 source | 由何保障 kept by (cases: tests) |"
        yield "|---|---|---|---|"
        for article in shown:
            lines = [str(kept) for kept in coverage().get(article["id"], ())]
            if own := article.get("built_in"):
                lines.append(f"fujie: {own['zh']} {own['en']}")
            asks = f"{article['zh']}<br>{article['en']}"
            yield f"| {article['id']} | {asks} | {STATUS[article['status']]} | {'<br>'.join(lines)} |"


def _gaps() -> Iterator[str]:
    yield ""
    yield "## 未覆盖 Not covered"
    yield "No guard claims these. 下列条目没有守则声称覆盖。"
    yield ""
    yield "| 条文 article | 要求 asks for | 状态 source | 可机检 checkable | 缺少 needs |"
    yield "|---|---|---|---|---|"
    for article in articles().values():
        if group(article) == "open":
            zh, en = NEEDS[article["needs"]]
            checkable = "是 yes" if article["checkable"] else "否 no"
            asks = f"{article['zh']}<br>{article['en']}"
            yield f"| {article['id']} | {asks} | {STATUS[article['status']]} | {checkable} | {zh}<br>{en} |"
