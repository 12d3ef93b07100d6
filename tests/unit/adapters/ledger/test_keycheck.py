"""A lost, swapped or renamed key closes (promise 12)."""

import hashlib
import hmac
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fujie.adapters.clock import SystemClock
from fujie.adapters.identifiers import SystemIdentifiers
from fujie.adapters.ledger import ConfiguredKey, IndexKey, SQLLedger, open_ledger
from fujie.model.errors import StartError

INDEX = ConfiguredKey("ledger_index", "i1", b"i" * 32)
SEAL = ConfiguredKey("seal", "s1", b"s" * 32)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SQLLedger]:
    identifiers = SystemIdentifiers(SystemClock())
    ledger = await open_ledger(
        f"sqlite:///{tmp_path}/ledger.db", IndexKey("i1", b"i" * 32), identifiers, str.encode
    )
    yield ledger
    await ledger.close()


async def refusal(ledger: SQLLedger, *keys: ConfiguredKey) -> str:
    with pytest.raises(StartError) as refused:
        await ledger.check_keys(keys)
    assert refused.value.code == "KEY_MISMATCH"
    return str(refused.value)


async def test_the_first_start_records_and_the_next_ones_agree(ledger: SQLLedger) -> None:
    for _ in range(3):
        await ledger.check_keys([INDEX, SEAL])


async def test_a_swapped_key_stops(ledger: SQLLedger) -> None:
    await ledger.check_keys([INDEX, SEAL])
    assert "seal" in await refusal(ledger, INDEX, ConfiguredKey("seal", "s1", b"t" * 32))
    assert "seal" in await refusal(ledger, INDEX, ConfiguredKey("seal", "s1", SEAL.secret[:-1] + b"t"))
    await ledger.check_keys([INDEX, SEAL])


async def test_a_missing_key_stops(ledger: SQLLedger) -> None:
    await ledger.check_keys([INDEX, SEAL])
    assert "seal" in await refusal(ledger, INDEX)
    assert await refusal(ledger)


async def test_a_new_name_for_a_key_stops_also_with_the_same_bytes(ledger: SQLLedger) -> None:
    await ledger.check_keys([SEAL])
    assert "'s2'" in await refusal(ledger, ConfiguredKey("seal", "s2", SEAL.secret))


async def test_keys_of_two_purposes_cannot_be_swapped(ledger: SQLLedger) -> None:
    await ledger.check_keys([ConfiguredKey("seal", "k", b"s" * 32), ConfiguredKey("token", "k", b"t" * 32)])
    message = await refusal(
        ledger, ConfiguredKey("seal", "k", b"t" * 32), ConfiguredKey("token", "k", b"s" * 32)
    )
    assert "seal" in message
    assert "token" in message


async def test_nothing_is_recorded_unless_everything_matches(ledger: SQLLedger) -> None:
    await ledger.check_keys([SEAL])
    await refusal(ledger, ConfiguredKey("seal", "s1", b"?" * 32), INDEX)
    await ledger.check_keys([SEAL, ConfiguredKey("ledger_index", "other", b"o" * 32)])


async def test_the_error_shows_no_key_and_no_check(ledger: SQLLedger) -> None:
    await ledger.check_keys([SEAL])
    swapped = ConfiguredKey("seal", "s1", b"t" * 32)
    message = await refusal(ledger, swapped)
    for secret in (SEAL.secret, swapped.secret, SEAL.check, swapped.check):
        assert secret.hex() not in message
        assert repr(secret) not in message


def test_the_check_is_the_documented_hmac() -> None:
    expected = hmac.new(b"s" * 32, b"fujie key check v1\0seal", hashlib.sha256).digest()
    assert SEAL.check == expected
