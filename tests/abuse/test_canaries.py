"""Canaries: what is known of a customer goes through every method, honest and broken, and is found nowhere afterwards.

Searched are the log, the server's own log, metrics, everything that a refused caller is told, the ledger's files and
temporary files; for the values, for hashes of them, and for what any key of the site makes of them. The digests of
aliases are what the ledger is searched by: they are in it, and in nothing else.
"""

import contextlib
import gzip
import hashlib
import hmac
import http.client
import json
import sqlite3
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import ahocorasick  # type: ignore[import-not-found]  # a compiled module without types
import grpc
import pytest
from google.protobuf.message import Message

from abuse.methods import METHODS, ON_THE_WIRE, about
from abuse.target import (
    ACKNOWLEDGE,
    ADD_RECIPIENTS,
    ADD_SUPPRESSION,
    APPROVALS,
    APPROVE,
    BATCH,
    CANCEL,
    CREATE_CAMPAIGN,
    EVENTS,
    EXPLAIN,
    EXPORT,
    EXPORT_EVIDENCE,
    GET_APPROVAL,
    GET_CAMPAIGN,
    GET_EXPORT,
    GET_MESSAGE,
    GET_PROCESSOR,
    GET_REPLY,
    GET_REQUEST,
    LOOKUP,
    MARK_REPLY,
    MERGE,
    OFFBOARD,
    OPEN_EXPORT,
    PAUSE,
    RECORD,
    REINSTATE,
    REJECT,
    REMOVE_SUPPRESSION,
    REPLIES,
    RESOLVE,
    REVOKE,
    REVOKE_EXPORT,
    SCREEN,
    SEARCH,
    SEND,
    SHOWN,
    SPLIT,
    START,
    SUPPRESSIONS,
    SUSPEND,
    TEXT,
    TRACE,
    TRANSFER,
    UPSERT,
    UPSERT_PROCESSOR,
    WATCH,
    WITHDRAW,
    Target,
    ask,
    batch,
    by_id,
    confirmed,
    consent,
    create_site,
    exporting,
    hired,
    marketing,
    merge,
    promotion,
    row_of,
    running,
    screening,
    search,
    split,
)
from abuse.test_repudiation import quiet
from e2e.server import INSTANCE
from fujie.adapters.keyfiles import read_key
from fujie.app.client import read_refusal
from fujie.audit.segment import TAIL
from fujie.v1 import approval_service_pb2 as approval_v1
from fujie.v1 import consent_service_pb2 as consent_v1
from fujie.v1 import customer_data_service_pb2 as customer_v1
from fujie.v1 import directory_service_pb2 as directory_v1
from fujie.v1 import export_service_pb2 as export_v1
from fujie.v1 import messaging_service_pb2 as messaging_v1
from fujie.v1 import policy_service_pb2 as policy_v1
from fujie.v1 import processor_service_pb2 as processor_v1
from fujie.v1 import subject_request_service_pb2 as request_v1
from fujie.v1 import types_pb2 as types_v1
from support.answers import WIRE_FREE
from support.certificates import authority, server, workload

CUSTOMERS = (SHOWN, "C00002", "C00020", "C00005", "C00009")
"""C00020 is a minor; C00009 is merged into C00005."""

TICKET = "canary-ticket-7d1f"
EVIDENCE = "canary-evidence-9b3e"
RECORDING = "canary-recording-5c2a"
WORKLOAD = "spiffe://example.com/ns/crm/sa/web"
CALLBACK = "canary-callback-3e8d0c5b1f"
CARRIER = {
    "kind": "http", "processor": "carrier", "endpoint": "http://127.0.0.1:9/send",
    "http": {
        "body": '{"to": "{phone}", "text": "{text}"}', "answer": {"accepted": ["200"]},
        "callback": {"phone": "from", "text": "text", "reply_id": "id"},
    },
}  # fmt: skip
"""Without an agreement, so it carries nothing; but customers answer through it."""

POLICIES = """\
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: hasty}
spec:
  match: {actions: [lookup], keys: [customer_id, phone]}
  roles: [hasty]
  purposes: [after_sales]
  fields: {phone: token, name: token}
  limits: {lookups_per_minute: 3, rows_per_hour: 2, distinct_customers_per_day: 1, rows_per_request: 3}
---
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: usage-is-watched}
spec:
  match: {actions: [lookup]}
  validations: [{name: no-sequence, expression: usage.sequence == WITHIN && usage.volume == WITHIN}]
  validationActions: [Audit]
---
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: the-watched-need-four-eyes}
spec:
  match: {actions: [lookup]}
  validations:
    - name: somebody-agrees
      expression: "!('watched' in principal.roles)"
      outcome: approval
      approval: {roles: [compliance_officer], count: 1, valid_for: 1h}
"""


@dataclass
class Told:
    """Everything that clients are told beside the answers that they may have."""

    target: Target
    trailers: list[bytes] = field(default_factory=list)
    allowed: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    secrets: list[str] = field(default_factory=list)
    evidence: list[tuple[bytes, bytes]] = field(default_factory=list)

    def call(self, who: str, method: str, request: Message | bytes) -> bytes:
        """Call; keep the metadata of the answer or the whole refusal, of which the answer is empty."""
        raw = request if isinstance(request, bytes) else request.SerializeToString()
        metadata = self.target.bearer(who) if who else ()
        stub: Any = self.target.channel.unary_unary(method)
        try:
            answer, call = stub.with_call(raw, metadata=metadata, timeout=30)
        except grpc.RpcError as error:
            call, answer = error, b""
            detail = read_refusal(error)
            self.refused.add(detail.reason or str(detail.code))
            if detail.detail and detail.detail.prompt.token:
                self.secrets.append(detail.detail.prompt.token)
        else:
            self.allowed.add(method)
            if method == EXPORT_EVIDENCE:
                self.evidence.append((raw, answer))
        self.trailers.append(repr((call.code(), call.details(), call.initial_metadata())).encode())
        for key, value in call.trailing_metadata() or ():
            self.trailers.append(key.encode() + (value if isinstance(value, bytes) else value.encode()))
        return bytes(answer)


def exercise(told: Told) -> None:
    target = told.target
    for method, (who, honest) in METHODS.items():
        raw = honest.SerializeToString()
        for asker in (who, "nobody", ""):
            for request in (raw, raw + b"\xd2\x85\xd8\xcc\x04\x05admin", b"\xff", b""):
                told.call(asker, method, request)
    for name in CUSTOMERS:
        number = row_of(target.site, name)[2]
        refs = [by_id(name), *(types_v1.CustomerRef(phone=form) for form in (number, f"+86 {number}"))]
        for ref in refs:
            of_customer(told, ref)
        misplaced(told, number)
    several(told)
    campaigning(told)
    answering(told)
    replying(told)
    four_eyes(told)
    leasing(told)
    leave_no_room(told)
    misfortunes(told)


def of_customer(told: Told, ref: types_v1.CustomerRef) -> None:
    """One customer, through every method that names one, by everybody."""
    more = {"ticket": TICKET, "basis_evidence": EVIDENCE}
    asked = ask("name", "phone", "address", "email", "customer_no", customer=ref, **more)
    told.call("agent", LOOKUP, asked)
    told.call("hasty", LOOKUP, ask("name", "phone", customer=ref, **more))
    for who in ("marketer", "nobody"):
        told.call(who, LOOKUP, ask("phone", customer=ref, purpose="marketing", basis="consent", **more))
    look = ask("name", "phone", customer=ref, purpose="marketing", basis="consent")
    told.call("officer", EXPLAIN, policy_v1.ExplainRequest(lookup=look, principal="marketer"))
    event = consent(ref)
    event.consent.evidence_ref = RECORDING
    told.call("desk", RECORD, event)
    listed = told.call(
        "desk",
        ADD_SUPPRESSION,
        consent_v1.AddSuppressionRequest(
            customer=ref, evidence_ref=RECORDING, scope=consent_v1.SuppressionScope(brand=RECORDING)
        ),
    )
    told.call("marketer", LOOKUP, marketing("phone", customer=ref.store_key.customer_id or SHOWN))
    told.call("agent", LOOKUP, ask("phone", customer=ref, approval="\n", **more))
    for method in METHODS:
        for who in (METHODS[method][0], "nobody"):
            if method not in (MERGE, SPLIT):
                told.call(who, method, about(method, ref))
    suppression = consent_v1.AddSuppressionResponse.FromString(listed).suppression
    lifted = consent_v1.RemoveSuppressionRequest(
        suppression_id=suppression.suppression_id, confirmation=confirmed()
    )
    told.call("desk", REMOVE_SUPPRESSION, lifted)
    for size in (1, 500):
        told.call("desk", EVENTS, consent_v1.ListConsentEventsRequest(customer=ref, page_size=size))
        told.call("desk", SUPPRESSIONS, consent_v1.ListSuppressionsRequest(page_size=size))
    withdrawal = consent_v1.WithdrawConsentRequest(
        customer=ref, purpose="marketing", evidence_ref=RECORDING
    )
    told.call("desk", WITHDRAW, withdrawal)


def misplaced(told: Told, number: str) -> None:
    """A number where none belongs."""
    for request in (
        ask("phone", customer=types_v1.CustomerRef(phone=f"{number}O")),
        ask("phone", customer=by_id(number), ticket=number),
        ask("phone", purpose=number, basis=number, basis_evidence=number, request_id=number),
        ask(f"f{number}"),
        ask("phone", customer=by_id(SHOWN, store=number)),
        ask("phone", on_behalf_of=number),
    ):
        told.call("agent", LOOKUP, request)
    told.call("chief", UPSERT, hired("x", "support", attributes={"phone": number}))
    told.call("", f"/fujie.v1.{number}/Look{number}", b"")
    guess = consent_v1.RemoveSuppressionRequest(suppression_id=number, confirmation=confirmed())
    told.call("desk", REMOVE_SUPPRESSION, guess)
    listed = directory_v1.ListPrincipalsRequest(role=number, department=number, page_token=number)
    told.call("chief", "/fujie.v1.DirectoryService/ListPrincipals", listed)
    told.call("desk", RECORD, consent_v1.RecordConsentRequest(prompt=number))


def several(told: Told) -> None:
    """Batches, searches, corrections, and an answer to a prompt."""
    names = [by_id(name) for name in CUSTOMERS]
    numbers = [row_of(told.target.site, name)[2] for name in CUSTOMERS]
    phones = [types_v1.CustomerRef(phone=number) for number in numbers]
    told.call("agent", BATCH, batch(*names, *phones, by_id("C99999"), fields=("name", "phone", "address")))
    told.call("agent", BATCH, batch(*names, types_v1.CustomerRef(phone=f"{numbers[0]}x")))
    for number in numbers:
        for digits in (number[-4:], number, number[-5:]):
            told.call("searcher", SEARCH, search(digits))
    corrected = merge(by_id("C00005"), by_id("C00009"))
    corrected.evidence_ref = RECORDING
    assert told.call("officer", MERGE, corrected)
    told.call("officer", MERGE, merge(phones[3], phones[4]))
    assert told.call("officer", SPLIT, split("C00009"))
    told.call("marketer", LOOKUP, marketing("phone", customer="C00007"))
    answer = consent_v1.RecordConsentRequest(
        prompt=told.secrets[-1], capture=WIRE_FREE,
        consent=consent_v1.ConsentRecord(type=consent_v1.CONSENT_EVENT_TYPE_GIVEN, evidence_ref=RECORDING),
    )  # fmt: skip
    for _ in range(2):
        told.call("marketer", RECORD, answer)


def campaigning(told: Told) -> None:
    """A campaign to every customer by every reference, from its draft to its end; messages alone; a processor."""
    numbers = [row_of(told.target.site, name)[2] for name in CUSTOMERS]
    refs = [*map(by_id, CUSTOMERS), *(types_v1.CustomerRef(phone=number) for number in numbers)]
    name = ""
    for attempt in range(20):  # it may be over before it is paused
        name = campaign(told, refs, f"{{name}}{attempt}{TEXT}", numbers[0])
        if {PAUSE, CANCEL} <= told.allowed:
            break
    told.call("sender", GET_CAMPAIGN, messaging_v1.GetCampaignRequest(name=name))
    for _ in range(20):  # while anything moves there is more than one answer, which is none to `call`
        told.call("sender", WATCH, messaging_v1.WatchCampaignRequest(name=name))
        if WATCH in told.allowed:
            break
    told.call("desk", RECORD, consent(by_id("C00050")))  # of the others each has opted out by now
    for ref in (by_id("C00050"), *refs):
        told.call("sender", SCREEN, screening(ref))
        raw = told.call("sender", SEND, promotion(ref))
        sent = messaging_v1.SendMessageResponse.FromString(raw).message.name
        told.call("sender", GET_MESSAGE, messaging_v1.GetMessageRequest(name=sent))
    named = METHODS[UPSERT_PROCESSOR][1]
    assert isinstance(named, processor_v1.UpsertProcessorRequest)
    told.call("registrar", UPSERT_PROCESSOR, named)
    told.call("registrar", GET_PROCESSOR, processor_v1.GetProcessorRequest(id=named.processor.id))


def campaign(told: Told, refs: Sequence[types_v1.CustomerRef], text: str, number: str) -> str:
    """Draft, fill, start, pause and cancel a campaign; return its name."""
    draft = promotion(refs[0])
    asked = messaging_v1.CreateCampaignRequest(
        context=draft.context,
        draft=messaging_v1.MessageDraft(category=draft.category, signature=draft.signature, text=text),
    )
    drafted = told.call("sender", CREATE_CAMPAIGN, asked)
    name = messaging_v1.CreateCampaignResponse.FromString(drafted).campaign.name
    rows = [messaging_v1.Recipient(customer=ref, params={"name": TICKET}) for ref in refs]
    rows.append(messaging_v1.Recipient(customer=types_v1.CustomerRef(phone=f"{number}O")))
    told.call("sender", ADD_RECIPIENTS, messaging_v1.AddRecipientsRequest(name=name, recipients=rows))
    told.call("sender", START, messaging_v1.StartCampaignRequest(name=name))
    told.call("sender", PAUSE, messaging_v1.PauseCampaignRequest(name=name))
    told.call("sender", CANCEL, messaging_v1.CancelCampaignRequest(name=name))
    return name


def four_eyes(told: Told) -> None:
    """Approvals about every customer by every reference: used, rejected, revoked."""
    told.call("chief", UPSERT, hired("watched", "support", "watched"))
    compliance, closings = "compliance", (REJECT, REVOKE, "")
    for name, closing in zip(CUSTOMERS, closings * 2, strict=False):
        for ref in (by_id(name), types_v1.CustomerRef(phone=row_of(told.target.site, name)[2])):
            asked = ask("name", "phone", customer=ref, ticket=TICKET, basis_evidence=EVIDENCE)
            told.call("watched", LOOKUP, asked)
            raw = told.call(compliance, APPROVALS, approval_v1.ListApprovalsRequest())
            for approval in approval_v1.ListApprovalsResponse.FromString(raw).approvals:
                for method in (GET_APPROVAL, APPROVE, *filter(None, [closing])):
                    told.call(compliance, method, approval_v1.GetApprovalRequest(name=approval.name))
                asked.context.approval = approval.name
                told.call("watched", LOOKUP, asked)


def answering(told: Told) -> None:
    """A request as the customers' page leaves it, which has no listener here: shown and resolved."""
    number = "f" * 32
    with (
        contextlib.closing(sqlite3.connect(told.target.site.root / "ledger.db", timeout=30)) as ledger,
        ledger,
    ):
        ledger.execute("UPDATE change_counter SET value = value + 1")
        ledger.execute(
            """INSERT INTO subject_request (request_id, sid, kind, state, sealed, received_at, due_at, resolved_by,
            outcome, evidence_ref, change_seq)
            SELECT ?, (SELECT min(sid) FROM subject), 'ERASURE', 'OPEN', x'', 1, 2, '', '', '', value FROM change_counter""",
            (number,),
        )
    done = request_v1.SUBJECT_REQUEST_OUTCOME_DONE
    for who in ("nobody", "officer"):
        told.call(who, GET_REQUEST, request_v1.GetRequestRequest(id=number))
        ending = request_v1.ResolveRequestRequest(id=number, outcome=done, evidence_ref=RECORDING)
        told.call(who, RESOLVE, ending)


def replying(told: Told) -> None:
    """What customers answered, by a provider's callback, with numbers in it: heard, listed, read, marked."""
    host, _, port = str(told.target.server.addresses["public"]).rpartition(":")
    for customer in CUSTOMERS:
        _, name, number, *_ = row_of(told.target.site, customer)
        said = {
            "from": f"+86{number}",
            "text": f"别再给我发了，我是{name}，号码{number}",
            "id": f"reply-{number}",
        }
        for secret, body in (
            (CALLBACK, json.dumps(said)),
            ("A" * 32, json.dumps(said)),
            (CALLBACK, number),
        ):
            connection = http.client.HTTPConnection(host, int(port), timeout=30)
            connection.request("POST", f"/callbacks/carrier/{secret}", body.encode())
            answer = connection.getresponse()
            told.trailers.append(str(answer.getheaders()).encode() + answer.read())
            connection.close()
    raw = told.call("officer", REPLIES, request_v1.ListRepliesRequest())
    names = [each.name for each in request_v1.ListRepliesResponse.FromString(raw).replies]
    assert len(names) == len(CUSTOMERS)
    for name in names:
        for who in ("officer", "agent", "nobody"):
            for is_whole in (False, True):
                told.call(who, GET_REPLY, request_v1.GetReplyRequest(name=name, whole=is_whole))
        marking = request_v1.MarkReplyRequest(name=name, outcome=request_v1.REPLY_OUTCOME_NONE)
        for who in ("nobody", "officer", "officer"):
            told.call(who, MARK_REPLY, marking)


def leasing(told: Told) -> None:
    """A leased file: exported, opened, traced, revoked. What is in it is what nobody else may find."""
    stub: Any = told.target.channel.unary_stream(EXPORT)
    call = stub(
        exporting(leased=True).SerializeToString(), metadata=told.target.bearer("exporter"), timeout=30
    )
    parts = [customer_v1.ExportCustomersResponse.FromString(raw) for raw in call]
    name = parts[0].header.export
    told.trailers.append(repr((call.initial_metadata(), call.trailing_metadata())).encode())
    for who in ("exporter", "compliance", "nobody"):
        told.call(who, GET_EXPORT, export_v1.GetExportRequest(name=name))
        raw = told.call(
            who, OPEN_EXPORT, export_v1.OpenExportRequest(name=name, context=ask("name").context)
        )
        keys = export_v1.OpenExportResponse.FromString(raw).keys
        assert len(keys) == (2 if who == "exporter" else 0)
    for customer in CUSTOMERS:
        for ref in (by_id(customer), types_v1.CustomerRef(phone=row_of(told.target.site, customer)[2])):
            told.call("auditor", TRACE, export_v1.TraceCustomerRequest(customer=ref))
    told.call("compliance", REVOKE_EXPORT, export_v1.RevokeExportRequest(name=name))
    told.call("exporter", OPEN_EXPORT, export_v1.OpenExportRequest(name=name, context=ask("name").context))


def leave_no_room(told: Told) -> None:
    """Limits that are used up; pseudonyms that were shown on the way."""
    told.call("chief", UPSERT, hired("hastier", "hasty"))
    told.call("chief", OFFBOARD, directory_v1.OffboardPrincipalRequest(id="hasty"))
    for name in CUSTOMERS:
        raw = told.call("hastier", LOOKUP, ask("name", "phone", customer=by_id(name)))
        shown = customer_v1.LookupCustomerResponse.FromString(raw).customer
        told.secrets += [str(value) for value in dict(shown).values()]
        told.call("hastier", BATCH, batch(by_id(name)))
    told.call("hastier", BATCH, batch(*map(by_id, CUSTOMERS)))
    told.call("chief", SUSPEND, directory_v1.SuspendPrincipalRequest(id="hastier"))
    told.call("chief", REINSTATE, directory_v1.ReinstatePrincipalRequest(id="hastier"))
    hand_over: Any = {"from": "hastier", "to": "agent"}
    raw = told.call("chief", TRANSFER, directory_v1.TransferCustomersRequest(**hand_over))
    order = directory_v1.TransferCustomersResponse.FromString(raw).order
    told.call("chief", ACKNOWLEDGE, directory_v1.AcknowledgeOrderRequest(order=order))


def misfortunes(told: Told) -> None:
    """A store that is gone; a workload without a token, for somebody."""
    for whom in ("agent", "nobody", "+8613800131234"):
        told.call("", LOOKUP, ask("name", "phone", on_behalf_of=whom, ticket=TICKET))
    store, aside = (told.target.site.root / name for name in ("crm.db", "aside.db"))
    store.rename(aside)
    until = time.monotonic() + 120
    while (
        "STORE_UNAVAILABLE" not in told.refused
    ):  # the path of a store is looked at every tenth of a second
        assert time.monotonic() < until
        told.call("agent", LOOKUP, ask("name", "phone", ticket=TICKET))
        time.sleep(0.02)
    told.call("agent", BATCH, batch(*map(by_id, CUSTOMERS)))
    told.call("searcher", SEARCH, search("1234"))
    told.call("desk", WITHDRAW, about(WITHDRAW, types_v1.CustomerRef(phone="13800131234")))
    aside.rename(store)


def outputs(told: Told) -> dict[str, bytes]:
    """Return everything that the server wrote or says to whoever asks, but answers that were allowed."""
    target = told.target
    quiet(target)  # until then files of the log are written aside and renamed
    found = {"its own log": target.server.output.read_bytes(), "to callers": b"\n".join(told.trailers)}
    for listener, path in (("metrics", "/metrics"), ("http", "/readyz"), ("http", "/healthz")):
        found[path] = target.server.get(listener, path)[1].encode()
    return found | files(target.site.root, target.server.output.name)


def files(root: Path, output: str) -> dict[str, bytes]:
    ours = {"crm.db", "fujie.yaml", "jwks.json", output}
    return {
        str(file.relative_to(root)): str(file.relative_to(root)).encode() + unpacked(file)
        for file in sorted(root.rglob("*"))
        if file.is_file() and file.name not in ours and file.parent.name != "keys"
    }


def unpacked(file: Path) -> bytes:
    """Return what is in it: a file that is compressed hides nothing."""
    return gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()


@dataclass(frozen=True)
class Person:
    """A customer of the store, in every form that must not be found."""

    name: str
    row: tuple[str, ...]

    @property
    def numbers(self) -> tuple[str, ...]:
        return (self.row[2], f"+86{self.row[2]}", f"86{self.row[2]}")

    @cached_property
    def plain(self) -> tuple[str, ...]:
        """The number in every spelling, the names, ids and addresses."""
        digits = self.row[2]
        wide = digits.translate({ord(str(n)): 0xFF10 + n for n in range(10)})
        parts = (digits[:3], digits[3:7], digits[7:])
        spaced = tuple(sign.join(parts) for sign in " -.\u200b")
        return (
            self.name,
            digits,
            wide,
            *spaced,
            *(v for v in self.row[1:9] if len(v) > 2 or not v.isascii()),
        )

    @property
    def hashes(self) -> Iterator[bytes]:
        for text in (*self.numbers, f"tel:+86{self.row[2]}"):
            for algorithm in ("sha256", "sha1", "md5"):
                yield hashlib.new(algorithm, text.encode(), usedforsecurity=False).digest()

    def keyed(self, key: bytes) -> Iterator[bytes]:
        """Yield what this key makes of the number, alone and under the labels of ledgers and store indexes."""
        labels = ("", "phone\0\0", "number\0\0", "phone\0", "fujie.store_index.v1:phone:", "tel:")
        for text in self.numbers:
            for label in labels:
                yield hmac.digest(key, f"{label}{text}".encode(), "sha256")

    def aliases(self, key: bytes) -> tuple[bytes, bytes]:
        """Return the digests that the ledger finds the number and the store key by."""
        messages = (f"phone\0\0+86{self.row[2]}", f"store_key\0crm\0{self.name}")
        return hmac.digest(key, messages[0].encode(), "sha256"), hmac.digest(
            key, messages[1].encode(), "sha256"
        )


def spelled(digest: bytes) -> Iterator[bytes]:
    """Yield a digest in every way that one is written."""
    yield digest
    yield digest.hex().encode()
    yield digest.hex().upper().encode()
    for encoded in (b64encode(digest), urlsafe_b64encode(digest)):
        yield encoded.rstrip(b"=")


def where(found: dict[str, bytes], secret: bytes) -> set[str]:
    """Return the kinds of output that hold it; the ledger's files are one."""
    return {
        "ledger" if name.startswith("ledger.db") else name for name, text in found.items() if secret in text
    }


def held(found: dict[str, bytes], secrets: Iterable[bytes]) -> Iterator[tuple[bytes, str]]:
    """Yield each of many secrets that some output holds, with where; in one pass."""
    wanted = ahocorasick.Automaton()
    for secret in secrets:
        wanted.add_word(secret.decode("latin-1"), secret)
    wanted.make_automaton()
    for name, text in found.items():
        for _, secret in wanted.iter(text.decode("latin-1")):
            yield secret, name


def test_the_search_for_many_finds_each_in_every_spelling() -> None:
    secrets = [*spelled(bytes(32)), *spelled(bytes(range(224, 256)))]
    assert {secret for secret, _ in held({"file": b"\xff".join(secrets)}, secrets)} == set(secrets)
    assert list(held({"file": b"".join(each[:-1] + b" " for each in secrets)}, secrets)) == []


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Told, dict[str, bytes]]]:
    """A server with mutual TLS that was called in every way; all it left, while it runs and after it ended."""
    directory = tmp_path_factory.mktemp("canaries")
    root = authority()
    certificate, key = server(root).files(directory, "server")
    ca, _ = root.files(directory, "ca")
    site = create_site(directory / "site")
    site.values["server"]["tls"] = {
        "certificate": str(certificate), "private_key": str(key), "client_ca": str(ca),
    }  # fmt: skip
    site.values["identity"]["spiffe"] = {"trust_domain": "example.com", "may_assert": [WORKLOAD]}
    secret = site.root / "keys" / "callback"
    secret.write_text(CALLBACK, "ascii")
    site.values["server"] |= {"public_listen": "127.0.0.1:0", "public_url": "https://p.example.com"}
    site.values["messaging"]["providers"]["carrier"] = CARRIER
    site.values["messaging"]["callbacks"] = {"carrier": {"secret_file": str(secret)}}
    site.write()
    (site.root / "policies" / "hasty.yaml").write_text(POLICIES, "utf-8")
    (site.root / "tmp").mkdir()
    site.environ = {"TMPDIR": str(site.root / "tmp"), "SQLITE_TMPDIR": str(site.root / "tmp")}
    own = workload(root, WORKLOAD)
    credentials = grpc.ssl_channel_credentials(ca.read_bytes(), own.key_pem, own.pem)
    with running(site, credentials) as target:
        target.call("chief", UPSERT, hired("hasty", "hasty"))
        told = Told(target)
        exercise(told)
        found = outputs(told)
        assert any(name.startswith("ledger.db-wal") for name in found)
        target.server.stop()
        found |= {
            f"{name} at the end": text for name, text in files(site.root, target.server.output.name).items()
        }
        found["its own log at the end"] = target.server.output.read_bytes()
        yield told, found


def test_every_method_and_every_misfortune_was_part_of_the_search(
    searched: tuple[Told, dict[str, bytes]],
) -> None:
    told, found = searched
    assert told.allowed == ON_THE_WIRE
    assert {
        "NO_GRANT", "CONSENT_MISSING", "CUSTOMER_OPTED_OUT", "LIMIT_EXCEEDED", "PHONE_INVALID", "ARGUMENT_INVALID",
        "UNKNOWN_PURPOSE", "UNKNOWN_STORE", "UNKNOWN_FIELD", "CUSTOMER_NOT_FOUND", "PROMPT_INVALID", "TEXT_INVALID",
        "SUPPRESSION_NOT_FOUND", "PRINCIPAL_UNKNOWN", "STORE_UNAVAILABLE", "DELEGATION_REFUSED",
        "APPROVAL_REQUIRED", "APPROVAL_NOT_FOUND", "EXPORT_NOT_FOUND", "EXPORT_CLOSED",
    } - told.refused == set()  # fmt: skip
    assert {
        "its own log",
        "/metrics",
        "to callers",
        "ledger.db",
        "ledger.db-wal",
        f"log/{INSTANCE}/w0/{TAIL}",
    } <= (found.keys())


@pytest.fixture(scope="module", params=CUSTOMERS)
def person(request: pytest.FixtureRequest, searched: tuple[Told, dict[str, bytes]]) -> Person:
    return Person(request.param, row_of(searched[0].target.site, request.param))


def test_no_output_holds_a_canary(searched: tuple[Told, dict[str, bytes]], person: Person) -> None:
    """Numbers in every spelling, names, ids of customers, addresses."""
    _, found = searched
    held = {secret: where(found, secret.encode()) for secret in person.plain}
    assert {secret: places for secret, places in held.items() if places} == {}


def test_no_output_holds_a_number_or_name_of_anybody_in_the_store(
    searched: tuple[Told, dict[str, bytes]],
) -> None:
    """Also of those whom nobody asked for by name: exports, searches, campaigns and scans pass by everybody."""
    told, found = searched
    with contextlib.closing(sqlite3.connect(told.target.site.root / "crm.db")) as store:
        everybody = store.execute("SELECT mobile, full_name FROM customer").fetchall()
    assert len(everybody) == 60
    everything = b"\n".join(found.values())
    assert [row for row in everybody for value in row if value.encode() in everything] == []


def test_no_output_holds_a_hash_of_a_number(
    searched: tuple[Told, dict[str, bytes]], person: Person
) -> None:
    """Whoever has the hash has the number: there are fewer than 10^10."""
    _, found = searched
    assert [
        digest.hex() for digest in person.hashes if any(where(found, each) for each in spelled(digest))
    ] == []


def test_what_the_keys_make_of_a_number_is_in_the_ledger_alone(
    searched: tuple[Told, dict[str, bytes]], person: Person
) -> None:
    told, found = searched
    keys = sorted((told.target.site.root / "keys").glob("*.key"))
    assert len(keys) >= 4
    index = read_key(told.target.site.root / "keys" / "ledger_index.key")
    for alias in person.aliases(index):
        assert where(found, alias) == {"ledger"}
        assert all(where(found, each) == set() for each in spelled(alias) if each != alias)
    known = set(person.aliases(index))
    made = {
        form: file.name
        for file in keys
        for key in (read_key(file), file.read_bytes().strip(), file.read_bytes())
        for digest in set(person.keyed(key)) - known
        for form in spelled(digest)
    }
    assert len(made) > 1_000
    assert {(made[secret], place) for secret, place in held(found, made)} == set()


def test_what_callers_brought_and_got_is_kept_nowhere(searched: tuple[Told, dict[str, bytes]]) -> None:
    """Tokens, tickets, evidence of a basis, prompts, pseudonyms; a recording is named in the ledger alone."""
    told, found = searched
    signatures = [token.split(".")[2] for token in told.target.tokens.values()]
    assert len(signatures) > 5
    assert len(set(told.secrets)) > 5
    for secret in (TICKET, EVIDENCE, CALLBACK, *signatures):
        assert where(found, secret.encode()) == set(), secret
    for secret in told.secrets:
        # A prompt is in the refusal that offers it: that is its answer, and to its asker alone.
        assert where(found, secret.encode()) <= {"to callers"}, secret
    assert where(found, RECORDING.encode()) == {"ledger"}


def test_exported_evidence_names_its_customer_only_as_he_was_asked_for(
    searched: tuple[Told, dict[str, bytes]], person: Person
) -> None:
    """It goes to carriers and regulators. Asked by id it holds no number, asked by number no id, and never a name."""
    told, _ = searched
    index = read_key(told.target.site.root / "keys" / "ledger_index.key")
    assert any(RECORDING.encode() in answer for _, answer in told.evidence)
    asked_for = {
        secret for secret in person.plain if any(secret.encode() in raw for raw, _ in told.evidence)
    }
    assert asked_for == {person.name, person.row[2]}
    for raw, answer in told.evidence:
        for secret in person.plain:
            named_in_full = secret == person.row[2] and person.row[2].encode() in raw.replace(b" ", b"")
            assert secret.encode() not in answer or secret.encode() in raw or named_in_full, secret
        for digest in (*person.hashes, *person.aliases(index)):
            assert not any(form in answer for form in spelled(digest))


def test_every_act_of_every_method_has_its_end_in_the_log(searched: tuple[Told, dict[str, bytes]]) -> None:
    """Else `fujie audit unfinished`, which is for what a crash cut off, would tell of acts that were done or refused."""
    told, _ = searched
    done = told.target.site.command("audit", "unfinished", str(told.target.site.log), "--output", "json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"unfinished": []})
