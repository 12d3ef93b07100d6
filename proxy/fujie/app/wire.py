"""THE composition root: which class stands behind which port. Nothing else constructs an adapter for the server.

Opening goes in this order, and what is wrong is listed at once as far as later steps can still be tried:
1. What is only read: keys, token issuers, policies, stores.
2. The ledger, migrated to this build; its key checks (promise 12).
3. The log, held against the last checkpoint that the ledger kept for it (no older or forked log is continued).
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from fujie.adapters.clock import SystemClock
from fujie.adapters.identifiers import SystemIdentifiers
from fujie.adapters.identity.jwks import source_of
from fujie.adapters.identity.jwt import TokenAuthenticator
from fujie.adapters.identity.keyset import Issuer
from fujie.adapters.identity.static import FirstOf, UnsafeStaticTokens
from fujie.adapters.keyfiles import read_key
from fujie.adapters.ledger import (
    ConfiguredKey,
    IndexKey,
    ServerAccess,
    SQLLedger,
    Tell,
    open_ledger,
    told_to_nobody,
)
from fujie.adapters.logstart import open_log
from fujie.adapters.metrics import PrometheusMetrics
from fujie.adapters.saturation import Saturation
from fujie.adapters.stores.store import SQLStore, open_store
from fujie.adapters.stores.table import PhoneFormat, StoreTable
from fujie.adapters.tilelog import TileLog
from fujie.app.bundlestate import BundleState
from fujie.app.callbacks import callback_urls, read_lines
from fujie.app.dispatching import END_S
from fujie.app.identity import Identity
from fujie.app.keeper import CheckpointKeeper
from fujie.app.keptpolicies import KeptPolicies
from fujie.app.logs import log_event
from fujie.app.notifysection import Notify
from fujie.app.policies import PolicyFiles
from fujie.app.policysource import source_of as bundle_source_of
from fujie.app.problems import CannotStart, Collector, Problem
from fujie.app.settings import Ledger, Settings
from fujie.app.shadow import tell
from fujie.app.signedbundle import Trust
from fujie.app.signedpolicies import SignedPolicies
from fujie.app.stores import Store
from fujie.audit.checkpoint import Signer, origin_of
from fujie.audit.errors import AuditError
from fujie.audit.sealing import KEY_BYTES, SealKey, wrap_key
from fujie.decision.tokens import Tokeniser
from fujie.flows.gate import Gate, Orders, Sending
from fujie.flows.shadow import Shadow
from fujie.model.errors import LedgerError, StartError
from fujie.model.suppression import ReplyScope
from fujie.ports import Authenticator
from fujie.ports.providers import Provider
from fujie.ports.requests import Rights
from fujie.transport.grpc.gathering import Gathering
from fujie.transport.grpc.services import Front

CALL_SECONDS = 5.0
"""The longest that a call may take whatever its deadline: a person waits for most of them."""

TOKEN_SCOPE = "fujie"  # noqa: S105 - a scope of pseudonyms, not a secret
"""All tokens of one deployment join with each other; a narrower scope is a later choice."""

_LOG_REMEDIES = {
    "LOG_LOCKED": "Stop the other process; one log has one writer.",
    "LOG_ROLLED_BACK": "Restore the newest log, or treat it as tampering. Never delete the ledger's checkpoint.",
    "LOG_FORKED": "Restore the log that this ledger and key belong to, or treat it as tampering.",
}


_STRANGE_LEDGER = ("LEDGER_STRANGE", "the log has entries, and the ledger has never heard of it")
_STRANGE_REMEDY = (
    "Restore the ledger that this log was written beside: an empty one knows no withdrawal and no opt-out. "
    "To begin anew on purpose, begin a new log too: move the log away, or change audit.instance."
)


@dataclass(frozen=True, slots=True, repr=False)
class OpenGate:
    """Everything that is open. `front` is what the transport serves."""

    front: Front
    policies: PolicyFiles | SignedPolicies
    ledger: SQLLedger
    log: TileLog
    keeper: CheckpointKeeper
    close: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which worker a gate is for. A shared ledger must have come to `change`, which others have seen; `tell` hears of its
    migration."""

    slot: int
    change: int = 0
    tell: Tell = told_to_nobody


async def open_gate(
    settings: Settings, metrics: PrometheusMetrics, clock: SystemClock, assigned: Assignment
) -> OpenGate:
    """Open everything that the settings name, checked; close it with `await gate.close()`. Must run in the event loop that
    will serve.

    Raises:
        CannotStart: with everything that is wrong, as far as it can be known together.

    """
    found = Collector()
    async with AsyncExitStack() as opened:
        keys = _keys(settings, found)
        authenticator = found.take(_authenticator, settings.identity, metrics, clock, opened)
        policies = found.take(_policies, settings, clock)
        stores = await _stores(settings.stores, keys or {}, clock, found, opened)
        ids = SystemIdentifiers(clock)
        ledger = None
        if keys is not None:
            with found.gathering():
                ledger = await _ledger(settings.ledger, keys, ids, clock, assigned.tell)
                opened.push_async_callback(ledger.close)
                await _check(ledger, tuple(keys.values()), assigned.change)
        found.finish()
        # What is missing was found above, and raised.
        assert keys is not None
        assert authenticator is not None
        assert policies is not None
        assert ledger is not None
        keeper = CheckpointKeeper(ledger.checkpoints, clock)
        opened.push_async_callback(keeper.catch_up)  # after the log has signed its last
        log = await _log(settings, keys["log"], keeper, ledger, assigned.slot)
        opened.push_async_callback(asyncio.to_thread, log.close)
        trust_domain, may_assert = _spiffe(settings.identity)
        gate = Gate(
            directory=ledger.directory,
            ledger=ledger,
            stores=stores,
            log=log,
            policies=policies,
            clock=clock,
            ids=ids,
            metrics=metrics,
            tokeniser=Tokeniser(keys["token"].secret, keys["token"].id, TOKEN_SCOPE),
            seal_key=SealKey(keys["seal"].id, keys["seal"].secret),
            zone=ZoneInfo(settings.policy.zone),
            rights=Rights(ledger.requests, ledger.disclosures),
            exports=ledger.exports,
            sessions=ledger.sessions,
            admins=frozenset(settings.bootstrap.admins),
            controller=settings.controller,
            may_assert=may_assert,
            shadow=_shadow(settings, metrics, clock, opened),
            sending=_sending(settings, ledger, clock, opened),
            notifications=ledger.notifications,
            orders=_orders(settings.notify),
        )
        gathering = _gathering(clock, metrics)
        front = Front(gate, authenticator, CALL_SECONDS, trust_domain=trust_domain, gathering=gathering)
        return OpenGate(front, policies, ledger, log, keeper, opened.pop_all().aclose)


def _gathering(clock: SystemClock, metrics: PrometheusMetrics) -> Gathering:
    return Gathering(Saturation(clock.monotonic, clock.cpu).is_reached, partial(metrics.stage, "gather"))


def _spiffe(identity: Identity) -> tuple[str, frozenset[str]]:
    """Return the trust domain of the workloads that certificates are asked of, and who may ask for somebody else."""
    spiffe = identity.spiffe
    return (spiffe.trust_domain, frozenset(spiffe.may_assert)) if spiffe else ("", frozenset())


def _shadow(
    settings: Settings, metrics: PrometheusMetrics, clock: SystemClock, opened: AsyncExitStack
) -> Shadow | None:
    if not settings.policy.has_shadow:
        return None
    shadow = Shadow(metrics, clock.monotonic, tell)
    opened.push_async_callback(shadow.close)
    return shadow


def _sending(settings: Settings, ledger: SQLLedger, clock: SystemClock, opened: AsyncExitStack) -> Sending:
    """Open the providers. Raises CannotStart."""
    messaging = settings.messaging
    providers: Mapping[str, Provider] = {}
    if messaging.providers:
        from fujie.app.providers import open_providers  # HTTP clients: 80 ms, for who sends

        urls = callback_urls(settings.server.public_base, read_lines(messaging.callbacks))
        providers = open_providers(messaging, clock, urls)
    for provider in providers.values():
        opened.push_async_callback(provider.close)
    replies = ReplyScope(messaging.replies.purposes, messaging.replies.by_signature)
    kinds = {name: each.kind for name, each in messaging.providers.items()}
    priced = {name: each.segment_price for name, each in messaging.providers.items()}
    prices = {name: price for name, price in priced.items() if price is not None}
    sending = Sending(
        ledger.outbox,
        ledger.processors,
        providers,
        settings.server.page_url,
        replies,
        kinds=kinds,
        prices=prices,
        confirmation=messaging.confirmation,
    )
    opened.push_async_callback(_finished, sending)
    return sending


def _orders(notify: Notify) -> Orders:
    return Orders(timedelta(hours=notify.wipe_within_hours), timedelta(hours=notify.transfer_within_hours))


async def _finished(sending: Sending) -> None:
    """Wait for messages that were sent by calls that are over."""
    if sending.under_way:
        await asyncio.wait(sending.under_way, timeout=END_S)


def _keys(settings: Settings, found: Collector) -> Mapping[str, ConfiguredKey] | None:
    """Read every key file; None when one is missing or bad. Keys are only ever read here (promise 12)."""
    named = {name: key for name, key in settings.keys if key is not None}
    read = {name: found.take(read_key, key.file) for name, key in named.items()}
    keys = {name: ConfiguredKey(name, named[name].id, secret) for name, secret in read.items() if secret}
    return keys if len(keys) == len(named) else None


def _policies(settings: Settings, clock: SystemClock) -> PolicyFiles | SignedPolicies:
    """Load the policies. Raises CannotStart."""
    configured = settings.policy
    attributes = {name: frozenset(store.attributes) for name, store in settings.stores.items()}
    keep = KeptPolicies(settings.audit.dir).keep
    if configured.paths is not None:
        return PolicyFiles(configured.paths, attributes, keep)
    assert configured.state_dir is not None
    state = BundleState(configured.state_dir, may_go_back=configured.unsafe_downgrade)
    trust = Trust.of(configured.trusted_keys, configured.signatures)
    return SignedPolicies(bundle_source_of(configured), trust, state, attributes, clock.now, keep)


def _authenticator(
    identity: Identity, metrics: PrometheusMetrics, clock: SystemClock, opened: AsyncExitStack
) -> Authenticator:
    issuers, places = [], {each.iss: place for place, each in enumerate(identity.issuers)}
    for each in identity.issuers:
        metrics.keys_read(places[each.iss], is_stale=False)
        reread, refresh_s = source_of(each.jwks)
        issuers.append(Issuer(each.iss, each.aud, each.algs, reread(), reread, refresh_s, each.prefix))

    def report(iss: str, code: str) -> None:
        metrics.keys_read(places[iss], is_stale=bool(code))
        _jwks_followed(iss, code)

    tokens = TokenAuthenticator(issuers, clock.monotonic, report)
    opened.push_async_callback(tokens.close)
    kinds: list[Authenticator] = [tokens]  # without issuers it refuses every token
    if identity.unsafe_static_tokens is not None:
        fixed = _mapping(identity.unsafe_static_tokens, yaml.safe_load, "STATIC_TOKENS_UNREADABLE")
        kinds.append(
            UnsafeStaticTokens({str(digest): str(principal) for digest, principal in fixed.items()})
        )
    return FirstOf(kinds) if len(kinds) > 1 else tokens


def _jwks_followed(iss: str, code: str) -> None:
    if code:
        log_event("jwks_stale", logging.WARNING, issuer=iss, code=code)
    else:
        log_event("jwks_followed", issuer=iss)


def _mapping(path: Path, parse: Callable[[str], Any], code: str) -> dict[str, Any]:
    try:
        parsed = parse(path.read_text("utf-8"))
    except OSError as error:
        raise StartError(code, f"{path}: {error.strerror}", "Check path and mode.") from None
    except (ValueError, yaml.YAMLError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise StartError(code, f"{path}: not an object", "Correct the file.")
    return parsed


async def _stores(
    configured: Mapping[str, Store],
    keys: Mapping[str, ConfiguredKey],
    clock: SystemClock,
    found: Collector,
    opened: AsyncExitStack,
) -> Mapping[str, SQLStore]:
    stores, index_key = {}, keys["store_index"].secret if "store_index" in keys else b""
    for name, store in configured.items():
        with found.gathering():
            stores[name] = is_open = await open_store(_table(name, store, index_key), clock)
            opened.push_async_callback(is_open.close)
    return MappingProxyType(stores)


def _table(name: str, store: Store, index_key: bytes) -> StoreTable:
    phone = store.phone
    return StoreTable(
        name,
        store.url,
        store.table,
        store.customer_id,
        phone.column if phone else None,
        PhoneFormat(phone.format) if phone else PhoneFormat.E164,
        MappingProxyType(dict(store.fields)),
        MappingProxyType(dict(store.attributes)),
        phone_hmac=phone.hmac_column if phone else None,
        last_four=phone.last_four_column if phone else None,
        last_four_hmac=phone.last_four_hmac_column if phone else None,
        index_key=index_key,
        password_file=store.password_file,
        replicas=store.replicas,
        connections=store.connections,
        is_plaintext=store.unsafe_plaintext,
    )


async def _ledger(
    configured: Ledger,
    keys: Mapping[str, ConfiguredKey],
    ids: SystemIdentifiers,
    clock: SystemClock,
    tell: Tell,
) -> SQLLedger:
    seal = SealKey(keys["seal"].id, keys["seal"].secret)
    index = IndexKey(keys["ledger_index"].id, keys["ledger_index"].secret)
    access = ServerAccess(configured.password_file, configured.unsafe_plaintext)

    def new_wrapped_key(sid: str) -> bytes:
        return wrap_key(os.urandom(KEY_BYTES), seal, sid, ids.nonce())

    return await open_ledger(configured.url, index, ids, new_wrapped_key, access, clock, tell)


async def _check(ledger: SQLLedger, keys: tuple[ConfiguredKey, ...], change: int) -> None:
    """Look whether the ledger has come to `change`, and knows these keys: before anything is written there."""
    remedy = "Restore the whole ledger, or enter again what the logs say; then restart the server."
    try:
        await ledger.follow(change)
        remedy = ""
        await ledger.check_keys(keys)
    except LedgerError as error:
        raise StartError(error.code, str(error), remedy) from None


async def _log(
    settings: Settings, key: ConfiguredKey, keeper: CheckpointKeeper, ledger: SQLLedger, slot: int
) -> TileLog:
    """Open the log of the worker `slot`. Raises CannotStart."""
    clock = SystemClock()
    origin = origin_of(settings.audit.instance, slot)
    try:
        kept = await ledger.checkpoints.last(origin)

        def open_and_sign() -> TileLog:
            signer = Signer(origin, key.secret)
            opened = open_log(settings.audit.dir, signer, kept.note if kept else None)
            if (
                kept is None and opened.frontier.size
            ):  # before anything is signed, which the ledger would keep
                opened.close()
                raise CannotStart([Problem(*_STRANGE_LEDGER, "ledger.url", origin, _STRANGE_REMEDY)])
            return TileLog(opened, clock=clock.monotonic, cpu=clock.cpu, keep=keeper)

        # In a thread: recovery reads and the first checkpoint writes.
        log = await asyncio.to_thread(open_and_sign)
        await keeper.catch_up()  # from its first entry on the ledger knows this log, whenever a crash comes
        return log
    except (AuditError, LedgerError) as error:
        problem = Problem(error.code, str(error), place=origin, remedy=_LOG_REMEDIES.get(error.code, ""))
    except OSError as error:
        remedy = "Check audit.dir: space, mode, and that it is a directory."
        problem = Problem("LOG_UNAVAILABLE", error.strerror or "", "audit.dir", origin, remedy)
    raise CannotStart([problem])
