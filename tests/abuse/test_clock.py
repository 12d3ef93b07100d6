"""A clock that jumps: the wall clock of the real process is set back and forward while it serves.

libfaketime stands between the process and the wall clock; its monotonic clock goes on as it is. One server for all:
under libfaketime a start costs three times as much as any test here, and at the end its log has seen every jump.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from abuse.methods import about
from abuse.target import (
    GET_CONSENT,
    LOOKUP,
    RECORD,
    UPSERT,
    WITHDRAW,
    Target,
    ask,
    by_id,
    consent,
    create_site,
    entries,
    hired,
    marketing,
    running,
)
from e2e.server import AUDIENCE, ISSUER, Site
from fujie.adapters.logfiles import verify_directory
from fujie.app.client import read_refusal
from fujie.app.tokens import mint
from fujie.v1 import consent_service_pb2 as consent_v1
from fujie.v1 import customer_data_service_pb2 as customer_v1

LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
MOST = 5
LIMITED = f"""\
apiVersion: fujie.dev/v1
kind: Grant
metadata: {{name: limited}}
spec:
  match: {{actions: [lookup], keys: [customer_id]}}
  roles: [limited]
  purposes: [after_sales]
  fields: {{phone: "keep(3,4)"}}
  limits: {{rows_per_hour: {MOST}}}
"""


@dataclass
class Jumping:
    """A running server whose wall clock is `offset` from ours."""

    target: Target
    file: Path
    offset: timedelta = timedelta()

    def jump(self, offset: timedelta) -> None:
        """Set the clock; from now on everybody has tokens of that time."""
        self.offset = offset
        beside = self.file.with_suffix(".new")
        beside.write_text(f"{offset.total_seconds():+.0f}")
        beside.replace(self.file)
        self.target.tokens.clear()

    def has_token(self, who: str) -> None:
        site = self.target.site
        content = {"iss": ISSUER, "aud": AUDIENCE, "sub": who}
        self.target.tokens[who] = mint(
            site.signing_key, content, site.kid, 3600, datetime.now(UTC) + self.offset
        )

    def outcome(self, who: str, asked: customer_v1.LookupCustomerRequest) -> str:
        """Return the reason of the refusal, or nothing."""
        self.has_token(who)
        try:
            self.target.lookup(who, asked)
        except grpc.RpcError as error:
            return read_refusal(error).reason
        return ""

    def act(self, who: str, method: str, request: Message) -> None:
        self.has_token(who)
        self.target.call(who, method, request)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    if not LIBRARY.exists():
        if os.environ.get("CI"):
            pytest.fail("CI must have libfaketime")
        pytest.skip("NOT TESTED: no libfaketime, so no clock can jump")
    site = create_site(tmp_path_factory.mktemp("clock") / "site")
    (site.root / "policies" / "limited.yaml").write_text(LIMITED, "utf-8")
    return site


@pytest.fixture(scope="module")
def served(site: Site) -> Iterator[Jumping]:
    file = site.root / "offset"
    file.write_text("+0")
    site.environ |= {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with running(site) as target:
        yield Jumping(target, file)


@pytest.fixture
def jumping(served: Jumping) -> Jumping:
    """The server, at the right time."""
    served.jump(timedelta())
    return served


LIMITED_ASK = ask("phone", customer=by_id("C00003"))
JUMPS = {"back": timedelta(hours=-3), "far back": timedelta(days=-400), "forward": timedelta(days=3)}


@pytest.mark.parametrize("by", JUMPS.values(), ids=JUMPS)
def test_whatever_the_clock_does_the_log_goes_on_in_order_and_tokens_hold_in_their_time(
    site: Site, jumping: Jumping, by: timedelta
) -> None:
    before = len(entries(site))
    assert jumping.outcome("agent", ask("phone")) == ""
    old = jumping.target.tokens["agent"]
    jumping.jump(by)
    jumping.target.tokens["agent"] = old
    assert jumping.target.refused("agent", LOOKUP, ask("phone")).reason == "TOKEN_EXPIRED"
    assert [jumping.outcome("agent", ask("phone")) for _ in range(3)] == [""] * 3
    jumping.jump(timedelta())
    assert [jumping.outcome("agent", ask("phone")) for _ in range(3)] == [""] * 3
    found = entries(site)
    ids = [entry.uid for entry in found]
    assert ids == sorted(set(ids))
    times = [entry.time for entry in found[before:]]
    assert times != sorted(times)


def test_a_clock_that_is_set_back_opens_no_limit_and_one_that_goes_on_gives_the_room_back_once(
    jumping: Jumping,
) -> None:
    jumping.act("chief", UPSERT, hired("limited", "limited"))

    def several() -> list[str]:
        return [jumping.outcome("limited", LIMITED_ASK) for _ in range(MOST + 1)]

    assert several() == [""] * MOST + ["LIMIT_EXCEEDED"]
    for back in (timedelta(hours=-3), timedelta(days=-400)):
        jumping.jump(back)
        assert set(several()) == {"LIMIT_EXCEEDED"}
    jumping.jump(timedelta())
    assert set(several()) <= {"", "LIMIT_EXCEEDED"}
    jumping.jump(timedelta(hours=2))
    assert several() == [""] * MOST + ["LIMIT_EXCEEDED"]
    jumping.jump(timedelta(hours=1, minutes=30))
    assert set(several()) == {"LIMIT_EXCEEDED"}


def test_what_was_withdrawn_stays_so_and_what_has_ended_stays_so_whatever_the_clock_says(
    jumping: Jumping,
) -> None:
    for name in ("C00001", "C00002"):
        given = consent(by_id(name))
        end = Timestamp()
        end.FromDatetime(datetime.now(UTC) + timedelta(days=2))
        given.consent.valid_until.CopyFrom(end)
        jumping.act("desk", RECORD, given)
    jumping.act("desk", WITHDRAW, about(WITHDRAW, by_id("C00002")))

    def states() -> list[str]:
        return [jumping.outcome("marketer", marketing("phone", customer=n)) for n in ("C00001", "C00002")]

    assert states() == ["", "CONSENT_WITHDRAWN"]
    for offset in (timedelta(hours=-3), timedelta(days=-400)):
        jumping.jump(offset)
        assert states()[1] == "CONSENT_WITHDRAWN"
        # Said before he withdrew, as that clock has it.
        jumping.act("desk", RECORD, consent(by_id("C00002")))
        assert states()[1] == "CONSENT_WITHDRAWN"
    jumping.jump(timedelta(days=3))
    assert states() == ["CONSENT_MISSING", "CONSENT_WITHDRAWN"]
    jumping.has_token("desk")
    asked = consent_v1.GetConsentRequest(customer=by_id("C00001"), purpose="marketing")
    told = consent_v1.GetConsentResponse.FromString(jumping.target.call("desk", GET_CONSENT, asked))
    assert told.state == consent_v1.CONSENT_STATE_EXPIRED
    jumping.jump(timedelta())
    assert states() == ["", "CONSENT_WITHDRAWN"]


def test_the_log_of_all_these_jumps_is_in_order_and_verifies(site: Site, jumping: Jumping) -> None:
    """The last one: it ends the server."""
    for by in (*JUMPS.values(), timedelta()):
        jumping.jump(by)
        assert jumping.outcome("agent", ask("phone")) == ""
    jumping.target.server.stop()
    ids = [entry.uid for entry in entries(site)]
    assert ids == sorted(set(ids))
    assert not any(report.findings for report in verify_directory(site.log))
