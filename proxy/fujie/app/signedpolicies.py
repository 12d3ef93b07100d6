"""Signed policies in force: from a source, through every check, with the last good bundle kept on disk.

Every worker follows the source by itself: one more conditional request per worker and minute costs less than a
fetcher of its own, which could die, lag or disagree with what a worker compiles. They share the state directory, so
that what one has in force is the floor for all.

What a bundle goes through, in this order: form and file digests; signatures; end; revision against the last one;
every problem of its policies; the digest that was signed; kept on disk; in force.
"""

from collections.abc import Callable
from datetime import datetime
from hashlib import sha256

from fujie.app.bundlestate import BundleState
from fujie.app.policies import Attributes, Keep, check_stores, compiled, giving_way
from fujie.app.policysource import Source
from fujie.app.problems import CannotStart, Problem
from fujie.app.signedbundle import Trust, parsed, trusted, unpacked
from fujie.decision.decider import Decider

_MENDED = ("POLICY_STATE", "BUNDLE_EXPIRED")
"""Refusals that may pass while the bundle stays as it is: the state is repaired, a clock that ran ahead is set back."""


class SignedPolicies:
    """`flows.gate.Policies` over one source of signed bundles. `attributes` holds what each configured store maps."""

    def __init__(
        self,
        source: Source,
        trust: Trust,
        state: BundleState,
        attributes: Attributes,
        now: Callable[[], datetime],
        keep: Keep = lambda _digest, _files: None,
    ) -> None:
        """Load from the source, else the bundle that is kept. Raises CannotStart with every problem of both."""
        self._source, self._trust, self._state, self._now, self._keep = source, trust, state, now, keep
        self.attributes = attributes
        self.is_refused = False
        self._closed = Decider(compiled({}))
        self._tag = ""
        self._held = self._seen = b""
        """Digests of the content in force, and of the content that was seen last."""
        self._away: tuple[Problem, ...] = ()
        self._refused: tuple[Problem, ...] = ()
        self._is_behind = True
        try:
            found = self._source("")
            self.current = self._taken(found.content or b"")
        except CannotStart as why:
            self.current = self._kept(why)
        else:
            self._hold(sha256(found.content or b"").digest(), found.tag)

    @property
    def current(self) -> Decider:
        """The decider of the bundle in force; once that has ended, one that grants nothing."""
        return self._closed if self.is_expired else self._current

    @current.setter
    def current(self, decider: Decider) -> None:
        release = decider.bundle.release
        self._current, self._expires = decider, release.expires if release else None

    @property
    def is_expired(self) -> bool:
        """Whether the bundle in force has ended, so that everything is refused (promise 1)."""
        return self._expires is not None and self._expires <= self._now()

    @property
    def in_order(self) -> bool:
        """Whether what the source holds is in force."""
        return not (self._is_behind or self._away or self._refused or self.is_expired)

    def changed(self) -> Decider | None:
        """Look at the source. Return the decider of a new good bundle, else None. Blocks: not for the loop.

        Raises:
            CannotStart: there is none to be had, or it was refused; said once, until that changes.

        """
        try:
            found = self._source(self._tag)
        except CannotStart as away:
            if away.problems == self._away:
                return None
            self._away = away.problems
            raise
        self._away = ()
        if found.content is None:
            self._hold(self._held, self._tag)
            return None
        digest = sha256(found.content).digest()
        if digest == self._seen:
            return None  # in force, or refused before and not worth compiling again
        self._seen, self._is_behind = digest, True
        try:
            with giving_way():
                decider = self._taken(found.content)
        except CannotStart as refused:
            if any(problem.code.startswith(_MENDED) for problem in refused.problems):
                self._seen = b""  # the next look tries again
            before, self._refused = self._refused, refused.problems
            if before == refused.problems:
                return None
            raise
        self._hold(digest, found.tag)
        return decider

    def _hold(self, digest: bytes, tag: str) -> None:
        self._held = self._seen = digest
        self._tag = tag
        self._refused, self._is_behind = (), False

    def _taken(self, content: bytes) -> Decider:
        archive = parsed(content)
        release = trusted(archive, self._trust, self._now())
        self._state.check(archive)
        bundle = unpacked(archive, release)
        check_stores(bundle, self.attributes)
        decider = Decider(bundle)
        self._state.keep(archive)
        self._keep(bundle.digest, archive.files)
        return decider

    def _kept(self, why: CannotStart) -> Decider:
        """Return the decider of the last good bundle, checked as if it were new; `why` the source's was not taken."""
        content = self._state.last()
        if content is None:
            raise why
        try:
            return self._taken(content)
        except CannotStart as refused:
            place = "the bundle kept in policy.state_dir"
            kept = [Problem(p.code, p.message, p.key, p.place or place, p.remedy) for p in refused.problems]
            raise CannotStart([*why.problems, *kept]) from None
