"""What the demo shows: real calls to a real server. Each scene knows what it expects, and checks it."""

import re
import shutil
from collections.abc import Generator, Mapping
from pathlib import Path

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from fujie.adapters.logfiles import verify_directory
from fujie.adapters.logstart import VKEY
from fujie.app.client import connect, read_refusal
from fujie.app.demo.campaign import Watching, sent, signed_reports, unwatched
from fujie.app.demo.cast import (
    ADMIN,
    DESK,
    MARKETER,
    OFFICER,
    ROLES,
    SUPPORT,
    Connections,
    Scene,
    customer,
    refused,
    told,
)
from fujie.app.demo.exports import exported
from fujie.app.demo.server import get
from fujie.app.demo.site import BOOTSTRAP, Site
from fujie.audit.checkpoint import parse_vkey
from fujie.audit.consent_bundle import Standing, verify
from fujie.v1 import consent_service_pb2 as consent_v1
from fujie.v1 import customer_data_service_pb2 as customer_v1
from fujie.v1 import directory_service_pb2 as directory_v1
from fujie.v1 import policy_service_pb2 as policy_v1
from fujie.v1 import types_pb2 as types_v1

_DECISIONS = re.compile(r'^fujie_decisions_total\{.*effect="(\w+)".*\} (\S+)$', re.MULTILINE)
_ASKED = ("name, phone for marketing, basis consent", "以同意为基础，为营销查询姓名和电话")
_AGAIN = ("the same call again", "再次查询")

Words = tuple[str, str]
"""What happens, in English and in Chinese."""


def scenes(site: Site, tampered: Path, watching: Watching = unwatched) -> Generator[Scene, None, None]:
    """Play the story against the server of `site`, which must be running and able to send (`campaign.let_send`).

    `tampered` is where a copy of the log may go; `watching` shows how far the campaign is.
    """
    connections = {name: connect(site.grpc, site.token(name)) for name in (BOOTSTRAP, *ROLES)}
    before = _counted(site)
    try:
        yield _staff(connections)
        yield _support(connections)
        marketing = _marketing_ask("name", "phone")
        yield _refused(connections, MARKETER, marketing, _ASKED, "CONSENT_MISSING")
        yield _explained(connections, marketing)
        yield _answered(connections, marketing)
        yield _shown(connections, MARKETER, marketing, _AGAIN, {"phone": "138*"}, ())
        yield _shown(
            connections,
            MARKETER,
            _marketing_ask("name", "id_card"),
            ("name and id_card for marketing", "为营销查询姓名和身份证号"),
            {},
            ("id_card",),
        )
        yield _proven(connections, site)
        yield from sent(connections, site, watching)
        yield from exported(connections, site)
        yield _refused(connections, MARKETER, marketing, _AGAIN, "PRINCIPAL_OFFBOARDED")
    finally:
        for stubs in connections.values():
            stubs.channel.close()
    yield _moved(site, before)
    yield _tampered(site, tampered)


def _staff(connections: Connections) -> Scene:
    """The bootstrap administrator registers an administrator, who registers the others: the first is void then."""

    def upsert(by: str, name: str) -> None:
        principal = directory_v1.Principal(
            id=name, kind=directory_v1.PRINCIPAL_KIND_EMPLOYEE, roles=[ROLES[name]], department="east",
            employment=directory_v1.EMPLOYMENT_ACTIVE, training=directory_v1.TRAINING_VALID,
        )  # fmt: skip
        connections[by].directory.UpsertPrincipal(directory_v1.UpsertPrincipalRequest(principal=principal))

    upsert(BOOTSTRAP, ADMIN)
    for name in ROLES:
        if name != ADMIN:
            upsert(ADMIN, name)
    try:
        upsert(BOOTSTRAP, MARKETER)
        void = ""
    except grpc.RpcError as error:
        void = read_refusal(error).reason
    answers = (f"{', '.join(ROLES)} registered", f"{BOOTSTRAP} is void from now on: {void}")
    words = (f"UpsertPrincipal × {len(ROLES)}", "登记员工及其角色")
    return Scene(ADMIN, *words, True, void == "PRINCIPAL_UNKNOWN", answers)


def _support(connections: Connections) -> Scene:
    context = types_v1.RequestContext(
        purpose="after_sales", basis="contract", basis_evidence="order 20261121-7", ticket="T-1042"
    )
    ask = customer_v1.LookupCustomerRequest(
        customer=customer(), context=context, read_mask=FieldMask(paths=["name", "phone", "address"])
    )
    return _shown(
        connections,
        SUPPORT,
        ask,
        (
            "name, phone, address for after_sales, basis contract",
            "以合同为基础，为售后查询姓名、电话和地址",
        ),
        {"phone": "138****1234"},
        (),
    )


def _marketing_ask(*fields: str) -> customer_v1.LookupCustomerRequest:
    return customer_v1.LookupCustomerRequest(
        customer=customer(),
        context=types_v1.RequestContext(purpose="marketing", basis="consent"),
        read_mask=FieldMask(paths=fields),
    )


def _shown(
    connections: Connections,
    who: str,
    ask: customer_v1.LookupCustomerRequest,
    words: Words,
    starts: Mapping[str, str],
    withheld: tuple[str, ...],
) -> Scene:
    try:
        reply = connections[who].customers.LookupCustomer(ask)
    except grpc.RpcError as error:
        return refused(who, words, error)
    fields = {name: value.string_value for name, value in sorted(reply.customer.fields.items())}
    held = tuple(
        f"{name}: {t.withheld_reason}" for name, t in sorted(reply.treatments.items()) if t.withheld_reason
    )
    good = all(fields.get(name, "").startswith(start) for name, start in starts.items())
    good = good and all(
        name not in fields and any(line.startswith(name) for line in held) for name in withheld
    )
    answers = "   ".join(f"{name} {value}" for name, value in fields.items())
    return Scene(who, *words, True, good, (answers, *(f"withheld  {line}" for line in held)))


def _refused(
    connections: Connections, who: str, ask: customer_v1.LookupCustomerRequest, words: Words, reason: str
) -> Scene:
    try:
        connections[who].customers.LookupCustomer(ask)
    except grpc.RpcError as error:
        detail = read_refusal(error)
        return Scene(who, *words, False, detail.reason == reason, told(detail))
    return Scene(who, *words, True, False, ("allowed",))


def _explained(connections: Connections, ask: customer_v1.LookupCustomerRequest) -> Scene:
    reply = connections[OFFICER].policy.Explain(policy_v1.ExplainRequest(lookup=ask, principal=MARKETER))
    failed = [rule for rule in reply.rules if rule.kind == "guard" and rule.outcome == "refused"]
    lines = []
    for rule in failed[:1]:
        lines.append(f"{rule.place}  {rule.name} {rule.part}: {rule.outcome}")
        leaves = [clause for clause in rule.clauses if clause.value == "false"]
        for clause in leaves[-1:]:
            values = ", ".join(f"{path} = {value}" for path, value in sorted(clause.reads.items()))
            lines.append(f"{clause.text}  is false, where {values}")
    words = ("Explain: why was that refused?", "为什么被拒绝？")
    return Scene(OFFICER, *words, True, len(lines) > 1, tuple(lines))


def _answered(connections: Connections, ask: customer_v1.LookupCustomerRequest) -> Scene:
    """The refusal says how to ask; the customer's yes goes back with its token, in one call."""
    words = (
        "shows the customer the notice of the refusal; RecordConsent: yes",
        "向客户出示告知书，客户同意并记录",
    )
    try:
        connections[MARKETER].customers.LookupCustomer(ask)
    except grpc.RpcError as error:
        detail = read_refusal(error).detail
    else:
        return Scene(MARKETER, *words, True, False, ("allowed",))
    if detail is None or not detail.prompt.token:
        return Scene(MARKETER, *words, False, False, ("the refusal carries no prompt",))
    answer = consent_v1.ConsentRecord(
        type=consent_v1.CONSENT_EVENT_TYPE_GIVEN, source="agent", collection_method="spoken, recorded",
        evidence_ref="call-recording-553", jurisdiction="CN",
    )  # fmt: skip
    reply = connections[MARKETER].consent.RecordConsent(
        consent_v1.RecordConsentRequest(
            prompt=detail.prompt.token,
            consent=answer,
            capture=consent_v1.Capture(preselected=False, bundled=False),
        )
    )
    notice, text = reply.consent.notice, detail.prompt.text
    return Scene(
        MARKETER, *words, True, bool(reply.consent.record_id) and notice.digest == detail.prompt.digest.zh,
        (text.en[:88] + "…", text.zh[:44] + "…",
         f"consent record {reply.consent.record_id[:13]}…, {notice.id} {notice.version}, text {notice.digest[:13]}…"),
    )  # fmt: skip


def _proven(connections: Connections, site: Site) -> Scene:
    """What a regulator gets, checked as he would: with the public key alone."""
    reply = connections[DESK].consent.ExportConsentEvidence(
        consent_v1.ExportConsentEvidenceRequest(customer=customer())
    )
    vkey = next(site.log.rglob(VKEY)).read_text()
    statements = verify(reply.evidence, [parse_vkey(vkey)])
    altered = verify(reply.evidence.replace(b'"given"', b'"other"'), [parse_vkey(vkey)])
    good = all(each.standing is Standing.PROVEN for each in statements)
    found = next((each.text for each in altered if each.standing is Standing.BROKEN), "")
    answers = (*(each.text for each in statements), f"with one word altered: {found}")
    words = ("ExportConsentEvidence, then fujie consent verify", "导出同意证据并离线验证")
    return Scene(DESK, *words, True, good and bool(found), answers)


def _tampered(site: Site, copy: Path) -> Scene:
    """Verify the log, then flip one byte of one entry in a copy: the verifier names origin and index."""
    sound = signed_reports(site)
    shutil.copytree(site.log, copy)
    bundles = [path for path in copy.rglob("*") if "entries" in path.parts and path.is_file()]
    changed = max(bundles, key=lambda path: path.stat().st_size)  # smaller ones are of earlier checkpoints
    content = bytearray(changed.read_bytes())
    at = content.index(b'"ALLOW"') + 1
    content[at] ^= 0x01
    changed.write_bytes(content)
    findings = [finding for report in verify_directory(copy) for finding in report.findings]
    size = sum(report.size for report in sound)
    clean = not any(report.findings for report in sound)
    answers = (
        f"{size} entries in {site.log}: {'every proof holds' if clean else 'findings'}",
        *(f"after one flipped byte in a copy: {finding}" for finding in findings[:1]),
    )
    words = ("fujie audit verify", "验证证据日志，并篡改一份副本")
    return Scene("auditor", *words, True, clean and size > 0 and bool(findings), answers)


def _moved(site: Site, before: Mapping[str, float]) -> Scene:
    after = _counted(site)
    moved = ", ".join(
        f"{effect} {before.get(effect, 0):.0f} → {after[effect]:.0f}" for effect in sorted(after)
    )
    good = all(after[effect] > before.get(effect, 0) for effect in ("ALLOW", "DENY") if effect in after)
    return Scene(
        "Prometheus",
        f"http://{site.metrics}/metrics",
        "监控指标",
        True,
        bool(after) and good,
        (f"fujie_decisions_total  {moved}",),
    )


def _counted(site: Site) -> dict[str, float]:
    counted: dict[str, float] = {}
    for effect, value in _DECISIONS.findall(get(site.metrics, "/metrics")):
        counted[effect] = counted.get(effect, 0) + float(value)
    return counted
