"""Who acts in the demo, and what a scene is."""

from collections.abc import Mapping
from dataclasses import dataclass

import grpc

from fujie.app.client import RefusalDetail, Stubs, read_refusal
from fujie.app.demo.customers import SHOWN
from fujie.v1 import types_pb2 as types_v1

SUPPORT, MARKETER, COLLEAGUE, DESK, ADMIN, OFFICER, COMPLIANCE, SECOND, AUDITOR = (
    "support-agent",
    "marketer",
    "marketing-colleague",
    "consent-desk",
    "administrator",
    "privacy-officer",
    "compliance-officer",
    "second-officer",
    "auditor",
)
ROLES = {
    SUPPORT: "support",
    MARKETER: "marketer",
    COLLEAGUE: "marketer",
    DESK: "consent_desk",
    ADMIN: "administrator",
    OFFICER: "privacy_officer",
    COMPLIANCE: "compliance_officer",
    SECOND: "compliance_officer",
    AUDITOR: "auditor",
}
STORE = "crm"

Connections = Mapping[str, Stubs]


@dataclass(frozen=True, slots=True)
class Scene:
    """One act and what came of it. `asks` says what happens, `zh` the same in Chinese; `opened` is the outcome, `good`
    whether it is the expected one."""

    who: str
    asks: str
    zh: str
    opened: bool
    good: bool
    answers: tuple[str, ...]


def customer(number: str = SHOWN) -> types_v1.CustomerRef:
    """Return the reference of a customer of the demo's store."""
    return types_v1.CustomerRef(store_key=types_v1.StoreKey(store=STORE, customer_id=number))


def refused(who: str, words: tuple[str, str], error: grpc.RpcError) -> Scene:
    """Return the scene of a call that nobody expected to fail."""
    return Scene(who, *words, False, False, told(read_refusal(error)))


def told(detail: RefusalDetail) -> tuple[str, ...]:
    """Return what a refusal says to people."""
    if detail.detail is None or not detail.detail.reasons:
        return (f"{detail.reason or detail.code.name}  {detail.message}",)
    reason = detail.detail.reasons[0]
    lines = [f"{reason.code}  {', '.join(reason.basis)}", f"{reason.message.en} {reason.message.zh}"]
    if reason.remedy.en:
        lines.append(f"→ {reason.remedy.en} {reason.remedy.zh}")
    return tuple(lines)
