"""What the edges must offer: Protocols that flows are written against and adapters satisfy.

Every method that can fail raises the error of its port (`StoreError`, `LedgerError`, for the log `audit.errors.AuditError`)
and nothing else; texts of errors hold no personal data. Here are those that every flow has; each of the other modules
serves one subject.
"""

from fujie.ports.clock import Clock, Identifiers
from fujie.ports.directory import Directory
from fujie.ports.evidence import EvidenceLog
from fujie.ports.identity import Authenticator
from fujie.ports.ledger import Ledger
from fujie.ports.metrics import Metrics
from fujie.ports.stores import CustomerStore

__all__ = [
    "Authenticator",
    "Clock",
    "CustomerStore",
    "Directory",
    "EvidenceLog",
    "Identifiers",
    "Ledger",
    "Metrics",
]
