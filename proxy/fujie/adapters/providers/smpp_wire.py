"""SMPP 3.4 on the wire: what is said by the library's PDUs, what is heard by a reader of our own.

aiosmpplib (0.7.4) writes what we hand it. Its session, and its reader of deliver_sm, are not used, for at most once is
the promise: the session keeps what it was given in a queue over a lost line and sends it after the next bind, has no
way to ask whether a message was written, cuts GSM-7 texts by characters instead of septets, writes whole messages into
its logs and knows no TLS; the reader ends the session at a receipt whose `err` is not decimal, and refuses receipts
without text for ever. Here whatever cannot be read is skipped.
"""

import re
from dataclasses import dataclass
from itertools import count
from types import MappingProxyType

from aiosmpplib import NPI, TON, PhoneNumber, SmppCommandStatus, SubmitSm
from aiosmpplib.codec import GSM7BitCodec

from fujie.model.message import MessageState
from fujie.model.segments import is_gsm7, parts, septets

HEADER = 16
MOST_BYTES = 70_000
"""No PDU is longer: a message_payload has at most 64 KiB."""

DELIVER_SM, UNBIND, ENQUIRE_LINK = 0x05, 0x06, 0x15
GENERIC_NACK = RESPONSE = 0x80000000

OK = 0
NOT_KNOWN = 0x03
"""ESME_RINVCMDID: a command that we do not speak."""

NOT_NOW = 0x64
"""ESME_RX_T_APPN: deliver it again later."""

THROTTLED = frozenset({0x58, 0x14})
"""ESME_RTHROTTLED and ESME_RMSGQFUL: not taken, this time."""

_UDH = 0x40
_MOST_PARTS = 255
_PAYLOAD, _RECEIPTED_ID, _STATE = 0x0424, 0x001E, 0x0427
_RECEIPT, _INTERMEDIATE = 0x04, 0x20  # bits 5 to 2 of esm_class
_NO_CODE = re.compile(r"[^A-Za-z0-9_.:-]")
_FIELD = re.compile(rb"\b(id|stat|err):([^ \x00]+)", re.IGNORECASE)

_STATES = MappingProxyType(
    {
        1: "ENROUTE",
        2: "DELIVRD",
        3: "EXPIRED",
        4: "DELETED",
        5: "UNDELIV",
        6: "ACCEPTD",
        7: "UNKNOWN",
        8: "REJECTD",
    }
)
_UNDER_WAY = frozenset({"ENROUTE", "ACCEPTD", "UNKNOWN"})


@dataclass(frozen=True, slots=True)
class Address:
    """A number or name with its type of number and numbering plan."""

    number: str
    ton: int
    npi: int


@dataclass(frozen=True, slots=True, repr=False)
class Delivered:
    """A deliver_sm. For a receipt `state` and `code` say what became of `message_id`; else `text` is what was said."""

    source: Address
    state: MessageState | None = None
    message_id: str = ""
    code: str = ""
    text: str = ""


def submissions(
    text: str, source: Address, destination: Address, reference: int, *, is_payload: bool
) -> list[SubmitSm]:
    """Return the PDUs that carry `text`, which begins with the signature: one for each part, joined by a header that
    names `reference` (0 to 255); with `is_payload` always one, whose length is the SMSC's business.

    A receipt is asked for with the last one alone: one message has one receipt, by the id of its last part.

    Raises:
        ValueError: the text needs more than 255 parts. Carries no part of the text.

    """
    is_basic = is_gsm7(text)
    cut = parts(text)
    if len(cut) > _MOST_PARTS:
        raise ValueError("more parts than a message may have")
    if is_payload:
        cut = (text,)
    pdus = []
    for number, part in zip(count(1), cut):
        pdu = SubmitSm(
            message_payload=part if is_payload else "",
            short_message="" if is_payload else part,
            source=_phone_number(source),
            destination=_phone_number(destination),
            esm_class=_UDH if len(cut) > 1 else 0,
            registered_delivery=int(number == len(cut)),
            encoding=None if is_basic else "ucs2",
        )
        if not is_payload:
            header = bytes((5, 0, 3, reference, len(cut), number)) if len(cut) > 1 else b""
            pdu.set_encoded_message(header + (septets(part) if is_basic else part.encode("utf-16-be")))
        pdus.append(pdu)
    return pdus


def sender(text: str) -> Address:
    """Return the source address that a number (`+86...`, or a service number) or a name is."""
    if text.startswith("+"):
        return Address(text.removeprefix("+"), 1, 1)
    return Address(text, 0, 0) if text.isdigit() else Address(text, 5, 0)


def status_name(status: int) -> str:
    """Return the name of a command_status, in hexadecimal where SMPP has none."""
    try:
        return str(SmppCommandStatus(status).name)
    except ValueError:
        return f"0x{status:08X}"


def message_id(body: bytes) -> str:
    """Return the id of a submit_sm_resp; empty when there is none of printable ASCII."""
    found = body.partition(b"\0")[0][:65]
    return found.decode() if found.isascii() and found.decode().isprintable() else ""


def delivered(body: bytes) -> Delivered | None:
    """Read a deliver_sm. None for what is no receipt and no message, or cannot be read."""
    try:
        return _delivered(body)
    except (ValueError, IndexError):
        return None


def _delivered(body: bytes) -> Delivered | None:
    reader = _Reader(body)
    reader.text()  # service_type
    source = reader.address()
    reader.address()
    flags = reader.byte()
    reader.skip(2)  # protocol_id, priority_flag
    for _ in ("schedule_delivery_time", "validity_period"):
        reader.text()
    reader.skip(2)  # registered_delivery, replace_if_present_flag
    coding = reader.byte()
    reader.skip(1)  # sm_default_msg_id
    message = reader.take(reader.byte())
    options = reader.options()
    message = message or options.get(_PAYLOAD, b"")
    kind = flags & 0x3C
    if kind in (_RECEIPT, _INTERMEDIATE):
        return _receipt(source, message, options, is_final=kind == _RECEIPT)
    if kind:
        return None  # an acknowledgement by a handset's user: neither delivery nor words
    if flags & _UDH and message:
        message = message[1 + message[0] :]
    return Delivered(source, text=_decoded(message, coding))


def _receipt(
    source: Address, message: bytes, options: dict[int, bytes], *, is_final: bool
) -> Delivered | None:
    fields = reversed(
        _FIELD.findall(message)
    )  # the first of a name counts: the text of the message comes last
    said = {name.lower().decode(): value.decode("ascii", "replace") for name, value in fields}
    found = options.get(_RECEIPTED_ID, b"").rstrip(b"\0").decode("ascii", "replace") or said.get("id", "")
    number = options.get(_STATE, b"\0")[-1:]
    state = _STATES.get(number[0] if number else 0) or said.get("stat", "").upper()
    if not (found and state):
        return None
    is_under_way = state in _UNDER_WAY or not is_final
    became = MessageState.DELIVERED if state.startswith("DELIV") else MessageState.FAILED
    code = _NO_CODE.sub("", f"{state}:{said['err']}" if "err" in said else state)[:64]
    return Delivered(source, MessageState.SUBMITTED if is_under_way else became, found[:65], code)


def _decoded(message: bytes, coding: int) -> str:
    if coding == 8:
        return message.decode("utf-16-be", "replace")
    if coding == 15:  # reserved in SMPP; GBK in CMPP, from which Chinese gateways take it over
        return message.decode("gb18030", "replace")
    if coding in (0, 1) and not any(octet & 0x80 for octet in message):
        return str(GSM7BitCodec().decode(message, "replace")[0])
    return message.decode("latin-1")


def _phone_number(address: Address) -> PhoneNumber:
    return PhoneNumber(address.number, TON(address.ton), NPI(address.npi))


class _Reader:
    """Reads a body from front to back; raises IndexError or ValueError where it ends too early."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def byte(self) -> int:
        self._at += 1
        return self._body[self._at - 1]

    def skip(self, octets: int) -> None:
        self._at += octets

    def take(self, octets: int) -> bytes:
        taken = self._body[self._at : self._at + octets]
        if len(taken) < octets:
            raise ValueError("the body ends within a field")
        self._at += octets
        return taken

    def text(self) -> str:
        end = self._body.index(0, self._at)
        found = self._body[self._at : end].decode("ascii")
        self._at = end + 1
        return found

    def address(self) -> Address:
        ton, npi = self.byte(), self.byte()
        return Address(self.text(), ton, npi)

    def options(self) -> dict[int, bytes]:
        found = {}
        while self._at < len(self._body):
            tag, length = int.from_bytes(self.take(2)), int.from_bytes(self.take(2))
            found[tag] = self.take(length)
        return found
