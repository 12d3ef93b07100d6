"""What can go wrong with the evidence log. Every message is free of personal data and of entry contents."""


class AuditError(Exception):
    """The log cannot do what it promises; the caller must refuse (DESIGN promise 2). `code` is the metric label."""

    code = "AUDIT_ERROR"


class LogUnavailable(AuditError):
    """Nothing can be made durable: a write or sync failed (final for this process), or the log is closed."""

    code = "LOG_UNAVAILABLE"


class LogLocked(AuditError):
    """Another process, or another writer in this one, holds the log."""

    code = "LOG_LOCKED"


class LogRolledBack(AuditError):
    """The log on disk ends before a size that was signed: an older volume was restored or entries were removed."""

    code = "LOG_ROLLED_BACK"


class LogForked(AuditError):
    """The log on disk has another history than the one that was signed, or is signed by another key."""

    code = "LOG_FORKED"


class EntryTooLarge(AuditError):
    """The canonical bytes exceed 65,535, the limit of a C2SP entry bundle. Refuse the request; never drop."""

    code = "ENTRY_TOO_LARGE"


class EntryInvalid(AuditError, ValueError):
    """A value has no place in an entry: it is outside the domain on which our bytes equal RFC 8785."""

    code = "ENTRY_INVALID"


class CheckpointInvalid(AuditError, ValueError):
    """Text that is no signed checkpoint or key of the expected form, or that the expected key did not sign."""

    code = "CHECKPOINT_INVALID"


class SealBroken(AuditError):
    """A ciphertext does not open under this key at this place. After erasure this is the expected answer."""

    code = "SEAL_BROKEN"


class ContainerInvalid(AuditError, ValueError):
    """A file that is no leased file of ours, or not as it was made."""

    code = "LEASED_FILE_INVALID"
