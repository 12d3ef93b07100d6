"""Opening a store whose driver, or whose server, is not there."""

import sys

import pytest

from fujie.adapters.clock import SystemClock
from fujie.adapters.stores.store import open_store
from fujie.adapters.stores.table import StoreTable
from fujie.model.errors import StartError

SECRET = "hunter2-secret"


async def refused(url: str, **changes: object) -> StartError:
    with pytest.raises(StartError) as error:
        await open_store(StoreTable("crm", url, "customers", "id", **changes), SystemClock())  # type: ignore[arg-type]  # any of them
    assert SECRET not in str(error.value)
    return error.value


async def test_a_missing_driver_is_named_with_the_extra_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pymysql", None)
    monkeypatch.delitem(sys.modules, "fujie.adapters.stores.mysql", raising=False)
    error = await refused(f"mysql://u:{SECRET}@127.0.0.1/d")
    assert error.code == "STORE_DRIVER_MISSING"
    assert "fujie[mysql]" in error.remedy


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
async def test_a_server_that_is_not_there_is_told_without_its_password(scheme: str) -> None:
    assert (await refused(f"{scheme}://u:{SECRET}@127.0.0.1:1/d")).code == "STORE_MISMATCH"


async def test_a_replica_of_another_kind_is_refused() -> None:
    error = await refused("postgresql://u@127.0.0.1:1/d", replicas=("mysql://u@127.0.0.1:1/d",))
    assert error.code == "STORE_MISMATCH"
