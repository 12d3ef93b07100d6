"""The bundle: every checked policy document in force, named by the digest of its content."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from fujie.model.approval import Requirement
from fujie.model.data_class import DataClass
from fujie.model.decision import ReasonHit
from fujie.model.facts import FactType
from fujie.model.limit import Cap, Limit
from fujie.model.message import Sender, Template
from fujie.model.notice import PrivacyNotice
from fujie.model.reason import LocalizedText, ReasonDefinition
from fujie.model.step import Ladder, Step
from fujie.model.vocabulary import SEARCHES, Action
from fujie.policy.cel import Engine


@dataclass(frozen=True, slots=True)
class Rule:
    """A checked boolean expression. `text` is as written, `expanded` has its variables in place.

    `reads` are the fact paths, those of its variables included; `where` is file:line:column.
    """

    text: str
    expanded: str
    reads: frozenset[str]
    where: str


@dataclass(frozen=True, slots=True)
class Purpose:
    """One purpose. `bases` maps an accepted basis to the evidence that it needs (empty: none).

    A consent for it expires after `consent_ttl` (None: when it says so itself).
    """

    id: str
    dpv: str
    label: LocalizedText
    bases: Mapping[str, str]
    consent_ttl: timedelta | None
    retention_days: int


@dataclass(frozen=True, slots=True)
class FieldClass:
    """A data class of the catalogue: sensitivity level 1 to 4, ladder, and the floor below which no grant opens."""

    data_class: DataClass
    level: int
    ladder: Ladder
    floor: Step


@dataclass(frozen=True, slots=True)
class Match:
    """What a grant or guard is about. An empty set means any."""

    actions: frozenset[Action]
    purposes: frozenset[str] = frozenset()
    stores: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()

    def covers(self, action: Action, purpose: str, store: str, key_kind: str) -> bool:
        """Tell whether a request of this scope is matched."""
        return (
            action in self.actions
            and (not self.purposes or purpose in self.purposes)
            and (not self.stores or store in self.stores)
            and (not self.keys or key_kind in self.keys)
        )


@dataclass(frozen=True, slots=True)
class Grant:
    """Opens: principals with one of `roles` may do what `match` says, seeing `fields` at their step."""

    name: str
    match: Match
    roles: frozenset[str]
    condition: Rule | None
    fields: Mapping[str, Step]
    limits: Mapping[Limit, int]
    where: str
    valid_from: datetime | None = None
    valid_until: datetime | None = None

    @property
    def counted_as(self) -> str:
        """Name under which its use is counted."""
        return f"grant:{self.name}"

    @property
    def is_timed(self) -> bool:
        """Tell whether its validity begins or ends."""
        return self.valid_from is not None or self.valid_until is not None

    def is_valid(self, now: datetime) -> bool:
        """Tell whether `now` lies in its validity: from the first instant on, up to before the last."""
        begun = self.valid_from is None or self.valid_from <= now
        return begun and (self.valid_until is None or now < self.valid_until)

    def opens(self, action: Action, purpose: str, store: str, key_kind: str) -> bool:
        """Tell whether a request of this scope is matched; a search only by a grant that names it."""
        named = key_kind not in SEARCHES or key_kind in self.match.keys
        return named and self.match.covers(action, purpose, store, key_kind)


@dataclass(frozen=True, slots=True)
class Validation:
    """One thing that must be true; `hit` is the reason when it is not. With `approval`, what is false there may be
    approved; what `defers` refuses for now."""

    name: str
    rule: Rule
    hit: ReasonHit
    approval: Requirement | None = None
    defers: bool = False


@dataclass(frozen=True, slots=True)
class Guard:
    """Closes: when every match condition is true, every validation must be.

    `enforced` guards deny; `warns` tells the asker, otherwise a guard that is not enforced is a
    shadow: recorded only. `frequency` caps how often one person gets messages.
    """

    name: str
    match: Match
    conditions: tuple[tuple[str, Rule], ...]
    validations: tuple[Validation, ...]
    fields: Mapping[str, Step]
    limits: Mapping[Limit, int]
    enforced: bool
    warns: bool
    where: str
    frequency: Mapping[Cap, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def counted_as(self) -> str:
        """Name under which its use is counted."""
        return f"guard:{self.name}"


class Severity(StrEnum):
    """What the review of a message does with a word of a lexicon."""

    DENY = "deny"
    WARN = "warn"


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Words of one `category` that messages may not use, or should not. `articles` say so, as `source` had them on
    `as_of`. `words` are in normal form (`policy.lexicon.normal`), sorted, each once; so are `exceptions`, texts that
    hold a word and mean something else."""

    name: str
    category: str
    articles: tuple[str, ...]
    severity: Severity
    source: str
    as_of: date
    words: tuple[str, ...]
    exceptions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """Where a document of the bundle came from."""

    kind: str
    name: str
    file: str


@dataclass(frozen=True, slots=True)
class Release:
    """How a signed bundle was given out: its revision, who of the trusted signed it, when it ends (None: never)."""

    revision: int
    signers: tuple[str, ...]
    expires: datetime | None


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """Everything that decides. `digest` is `sha256:<hex>` over the canonical content: formatting,
    comments, file names and the order of documents do not change it. `facts` types every path; the
    custom ones among them stand by name in `principal_attributes` and `customer_attributes`. `timed_grants`
    are those of `grants` whose validity begins or ends, `capped_guards` those of `guards` with a `frequency`.
    `senders` are by signature, `templates` by id."""

    digest: str
    purposes: Mapping[str, Purpose]
    fields: Mapping[str, FieldClass]
    facts: Mapping[str, FactType]
    principal_attributes: Mapping[str, FactType]
    customer_attributes: Mapping[str, FactType]
    grants: tuple[Grant, ...]
    guards: tuple[Guard, ...]
    reasons: Mapping[str, ReasonDefinition]
    documents: tuple[Document, ...]
    engine: Engine
    notices: Mapping[str, PrivacyNotice]
    timed_grants: tuple[Grant, ...]
    lexicons: Mapping[str, Lexicon]
    senders: Mapping[str, Sender]
    templates: Mapping[str, Template]
    capped_guards: tuple[Guard, ...]
    release: Release | None = field(default=None, kw_only=True)  # None: plain files, which nobody signed

    def notice_for(self, purpose: str, channel: str) -> PrivacyNotice | None:
        """Return the notice in force for a purpose: that of the channel, else the one of every channel."""
        covering = [notice for notice in self.notices.values() if notice.covers(purpose, channel)]
        return min(covering, key=lambda notice: channel not in notice.channels, default=None)

    @property
    def stores(self) -> Mapping[str, str]:
        """Store names that grants and guards name, with the place of one that does."""
        named = {store: grant.where for grant in self.grants for store in grant.match.stores}
        return MappingProxyType(
            {store: guard.where for guard in self.guards for store in guard.match.stores} | named
        )
