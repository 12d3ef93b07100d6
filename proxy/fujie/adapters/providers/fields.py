"""What providers write into the fields of their answers and callbacks, taken as what it may be and nothing else.

Codes become reasons, metric labels and log fields, so they are of a bounded vocabulary; ids are short and printable; numbers
go through the one normaliser. What does not fit is left out, never passed on.
"""

import hmac
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import orjson

from fujie.model.customer import Phone
from fujie.model.errors import RequestError
from fujie.model.phone import NotAPhoneNumber, normalise
from fujie.ports.providers import Acceptance, Submission

OTHER = "OTHER"
"""Stands for a code that is none."""

NOT_WRITABLE = Submission(Acceptance.REFUSED, code="NUMBER_AMBIGUOUS")
"""What becomes of a message whose number `national` can not write."""

CAMPAIGN = "c-"
"""Begins the id under which a provider knows all messages of a campaign, each told by its number. The ledger needs no answer to
find them by it, so that they are found also when the sender died before it wrote one down."""

MOST_CALLBACK_BYTES = 1 << 20
_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_NUMBER_LIKE = re.compile(r"[0-9]{7}")
_ID = re.compile(r"[A-Za-z0-9_.:^-]{1,128}")
_MAINLAND = re.compile(r"1[3-9][0-9]{9}")
_BETWEEN_DIGITS = re.compile(r"[\s().-]+")
_LONGEST_NUMBER = 32
_MOST_FORM_FIELDS = 200
_LONGEST_TEXT = 4_000
"""Far more than a message of many parts; what is longer is no reply of a person."""


def code_of(value: object) -> str:
    """Return a provider's code; OTHER for what is none, or might hold a phone number."""
    text = str(value) if isinstance(value, str | int) else ""
    return text if _CODE.fullmatch(text) and not _NUMBER_LIKE.search(text) else OTHER


def id_of(value: object) -> str:
    """Return a provider's id of a message; empty for what is none."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if _ID.fullmatch(text) else ""


def text_of(value: object) -> str | None:
    """Return a text that a person may have written; None for anything else. Half an emoji becomes a question mark; a NUL, which
    neither the log nor PostgreSQL takes, is left out."""
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        return None
    return value.encode("utf-8", "replace").decode().replace("\0", "")


def phone_of(value: object) -> Phone | None:
    """Return a number as providers write it: E.164 with or without its plus, or a mainland number alone. Eleven digits
    that a Chinese mobile has are one, though they may be a foreign number without its plus: see `other_reading`. Those that no
    Chinese mobile has (`14155552671`) are the foreign number; what is none with a plus (`013800000001`) is read as it is."""
    text = _number_in(value)
    is_foreign = text[:1].isdigit() and not text.startswith("00") and not _MAINLAND.fullmatch(text)
    for form in (f"+{text}", text) if is_foreign else (text, f"+{text}"):
        with suppress(NotAPhoneNumber):
            return Phone(normalise(form))
    return None


def _number_in(value: object) -> str:
    """Return a number without what is written between digits or around them: whose refusal it is must not hang on a blank."""
    text = str(value) if isinstance(value, str | int) else ""
    return _BETWEEN_DIGITS.sub("", unicodedata.normalize("NFKC", text[:_LONGEST_NUMBER]))


def other_reading(value: object) -> Phone | None:
    """Return the foreign number that the digits of a mainland one are too where their plus was left out (`13235551234` may be of
    Los Angeles); None where no plan of numbers has it."""
    text = _number_in(value)
    other = phone_of(f"+{text}") if _MAINLAND.fullmatch(text) else None
    return None if other == phone_of(value) else other


def is_mainland(phone: Phone) -> bool:
    """Tell whether it is a mobile of the Chinese mainland: what its providers take many of in one call."""
    return bool(_MAINLAND.fullmatch(phone.e164.removeprefix("+86")))


def national(phone: Phone) -> str:
    """Return a mainland mobile without its country code, another number without its plus; empty for a foreign one that would
    then be somebody's mainland mobile (`+13235551234`): the message would go to a stranger."""
    digits = phone.e164.removeprefix("+86" if is_mainland(phone) else "+")
    return digits if is_mainland(phone) or not _MAINLAND.fullmatch(digits) else ""


def of_campaign(context: str) -> str:
    """Return the campaign that a provider echoes of a call with several numbers (`c-<id>`); empty for anything else."""
    return context.removeprefix(CAMPAIGN) if context.startswith(CAMPAIGN) else ""


def moment_of(seconds: object) -> datetime | None:
    """Return UNIX seconds as a moment; None for what is none."""
    try:
        return datetime.fromtimestamp(int(str(seconds)[:12]), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def keyed(secret: str, *parts: str) -> str:
    """Return an id for what has none: the same for the same `parts`, and nobody without `secret` can try numbers."""
    return hmac.new(secret.encode(), "\0".join(parts).encode("utf-8", "replace"), "sha256").hexdigest()


def json_items(body: bytes) -> Sequence[object]:
    """Return what a callback's JSON array holds; an object alone is one item. Raises RequestError ARGUMENT_INVALID.

    What is JSON but for its characters (half an emoji, another encoding) is read all the same: one broken reply must not
    take the refusals of others with it, which the provider repeats a few times as they are, and then drops.
    """
    try:
        value = orjson.loads(_bounded(body))
    except orjson.JSONDecodeError:
        value = _leniently(body)
    if isinstance(value, dict | list):
        return value if isinstance(value, list) else [value]
    raise RequestError("the callback is neither an array nor an object")


def _leniently(body: bytes) -> object:
    try:
        return json.loads(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise RequestError("the callback is not JSON") from None


def form_fields(body: bytes) -> Sequence[tuple[str, str]]:
    """Return the fields of a form, in their order. Raises RequestError ARGUMENT_INVALID."""
    try:
        text = _bounded(body).decode("utf-8", "replace")
        return parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=_MOST_FORM_FIELDS)
    except ValueError:
        raise RequestError("the callback is not a form") from None


def mapping(value: object) -> Mapping[str, Any]:
    """Return an object of JSON; empty for anything else."""
    return value if isinstance(value, dict) else {}


def listed(value: object) -> Sequence[object]:
    """Return an array of JSON; empty for anything else."""
    return value if isinstance(value, list) else ()


def _bounded(body: bytes) -> bytes:
    if len(body) > MOST_CALLBACK_BYTES:
        raise RequestError("the callback is too long")
    return body
