"""The ledger in SQL: subjects, aliases, consent events, principals, key checks, checkpoints."""

from fujie.adapters.ledger.checkpoints import Checkpoints, KeptCheckpoint
from fujie.adapters.ledger.keycheck import ConfiguredKey
from fujie.adapters.ledger.ledger import SQLLedger, open_ledger
from fujie.adapters.ledger.migrate import Tell, told_to_nobody, upgrade
from fujie.adapters.ledger.principals import Principals
from fujie.adapters.ledger.server import ServerAccess
from fujie.adapters.ledger.subjects import IndexKey

__all__ = [
    "Checkpoints",
    "ConfiguredKey",
    "IndexKey",
    "KeptCheckpoint",
    "Principals",
    "SQLLedger",
    "ServerAccess",
    "Tell",
    "open_ledger",
    "told_to_nobody",
    "upgrade",
]
