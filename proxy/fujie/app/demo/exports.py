"""A list leaves: refused to one alone, agreed to by a second person, sealed, opened, traced.

What people do at their desks goes through the real command line, and the log is asked whether it is true.
"""

import csv
from collections.abc import Iterator

from fujie.app.demo.cast import AUDITOR, COMPLIANCE, MARKETER, ROLES, STORE, Connections, Scene
from fujie.app.demo.desk import FILE, Desk, approves, fields_of, lines_of, registered
from fujie.app.demo.leaving import left
from fujie.app.demo.site import Site

_FIELDS = ("customer_no", "name", "phone", "address")
_ROWS = 240
"""Of one other person's agreement (25 to 249)."""
_PLAIN = "list.csv"


def exported(connections: Connections, site: Site) -> Iterator[Scene]:
    """Play the export of the marketer up to the end of his employment; who of the site agreed to marketing is on record."""
    desk = Desk(site)
    approval, scene = _alone(desk)
    yield scene
    yield _own(connections, approval)
    yield _previewed(desk, approval)
    yield _changed(desk, approval)
    name, scene = _sealed(desk, approval)
    yield scene
    number, scene = _opened(desk, name)
    yield scene
    yield _traced(desk, name, number)
    yield from left(connections, desk)


def _ask(rows: int = _ROWS, *more: str) -> tuple[str, ...]:
    fixed = ("export", "--store", STORE, "--purpose", "marketing", "--fields", ",".join(_FIELDS))
    return (*fixed, "--max-rows", str(rows), "--to-file", FILE, "--lease", "2h", "--opens", "3", *more)


def _alone(desk: Desk) -> tuple[str, Scene]:
    done = desk.fujie(MARKETER, *_ask())
    said = lines_of(done.stderr)
    approval = next((line.removeprefix("approval: ") for line in said if line.startswith("approval: ")), "")
    good = done.returncode == 4 and bool(approval) and not (desk.site.root / FILE).exists()
    basis, en, zh, *_ = [*said[-3].partition(": ")[2].split(" | "), "", "", ""]
    answers = (f"{said[0].partition(':')[0]}  {basis}", f"{en} {zh}", f"→ {approval}")
    return approval, Scene(
        MARKETER, " ".join(("fujie", *_ask())), "未经批准的批量导出", False, good, answers
    )


def _own(connections: Connections, approval: str) -> Scene:
    """He agrees to his own request; then with the role that may for others, which somebody gave him for a moment."""
    alone = approves(connections, MARKETER, approval)
    registered(connections, ROLES[MARKETER], ROLES[COMPLIANCE])
    with_role = approves(connections, MARKETER, approval)
    registered(connections, ROLES[MARKETER])
    good = alone.startswith("SELF_APPROVAL") and with_role.startswith("SELF_APPROVAL")
    answers = (alone, f"with the role {ROLES[COMPLIANCE]} 即使有审批角色: {with_role}")
    return Scene(MARKETER, "Approve, of his own request", "批准自己的申请", False, good, answers)


def _previewed(desk: Desk, approval: str) -> Scene:
    told = fields_of(desk.fujie(COMPLIANCE, "approval", "show", approval).stdout)
    seen = {name: told.get(name, "") for name in ("risk", "steps", "would_find", "consents")}
    seen["consents"] = seen["consents"].partition(",")[0]  # of a list for marketing all others are 0
    voted = desk.fujie(COMPLIANCE, "approval", "approve", approval, "--comment", "autumn list")
    good = all(seen.values()) and voted.returncode == 0 and "APPROVED" in voted.stdout
    answers = (*(f"{name:<10}  {value}" for name, value in seen.items()), "approves 批准")
    words = ("fujie approval show, then approve: counts, no customer", "查看预览（只有数量）后批准")
    return Scene(COMPLIANCE, *words, True, good, answers)


def _changed(desk: Desk, approval: str) -> Scene:
    """One byte of what was agreed to is another: 240 becomes 241."""
    done = desk.fujie(MARKETER, *_ask(_ROWS + 1, "--approval", approval))
    said = lines_of(done.stderr)
    told = [line.strip() for line in said if approval in line]
    good = (
        done.returncode == 4
        and "APPROVAL" in said[0]
        and [f"{approval}: does not hold" in line for line in told] == [True]
    )
    words = (f"the same with --max-rows {_ROWS + 1}: one byte changed", "已批准的请求改动一个字节")
    return Scene(MARKETER, *words, False, good, (said[0], *told))


def _sealed(desk: Desk, approval: str) -> tuple[str, Scene]:
    done = desk.fujie(MARKETER, *_ask(_ROWS, "--approval", approval), talks=True)
    told = fields_of(done.stdout)
    name = told.get("exports", "")
    ended = desk.ended(name)
    withheld = ended.facts["export.withheld"] if ended else ()
    assert isinstance(withheld, tuple)
    sealed = (desk.site.root / FILE).read_bytes() if done.returncode == 0 else b""
    good = ended is not None and str(ended.facts.get("export.rows")) == told.get("rows")
    good = good and bool(withheld) and not told.get("withheld")
    good = good and sealed.startswith(b"FJX") and b"****" not in sealed
    answers = (
        f"{told.get('rows')} rows in {FILE}, {len(sealed):,} bytes, sealed; the keys stay with fujie 文件已加密，密钥不离开 fujie",
        f"withheld (of a list that was cut the log alone tells) 未导出: {', '.join(withheld)}",
    )
    words = (f"… --max-rows {_ROWS} --approval {approval[:15]}…", "按批准的内容导出")
    return name, Scene(MARKETER, *words, True, good, answers)


def _opened(desk: Desk, name: str) -> tuple[str, Scene]:
    words = (f"fujie open {FILE} --out {_PLAIN}", "打开文件")
    done = desk.fujie(MARKETER, "open", FILE, "--out", _PLAIN)
    if done.returncode != 0:
        return "", Scene(MARKETER, *words, False, False, tuple(lines_of(done.stderr)))
    with (desk.site.root / _PLAIN).open(encoding="utf-8-sig", newline="") as plain:
        heading, *rows, last = csv.reader(plain)
    number, phone = heading.index("customer_no"), heading.index("phone")
    good = len(rows) == _ROWS and name in last[0] and all("******" in row[phone] for row in rows)
    answers = (*("   ".join(row) for row in rows[:3]), *last)
    return rows[0][number], Scene(MARKETER, *words, True, good, answers)


def _traced(desk: Desk, name: str, number: str) -> Scene:
    done = desk.fujie(AUDITOR, "trace", "--store", STORE, "--customer-id", number)
    *_, said = lines_of(done.stdout)
    of, _, by = said.partition("  ")
    opened_by = by.rpartition("  ")[2].strip()
    good = done.returncode == 0 and of == name and opened_by.startswith(MARKETER)
    words = (f"fujie trace --store {STORE} --customer-id {number}", "该客户在哪些导出中、谁打开过")
    return Scene(AUDITOR, *words, True, good, (f"in {of}, asked for by {MARKETER}; opened by {opened_by}",))
