"""One error tree. A refusal is a value (a decision); an exception means "could not decide or act".

Every error carries a code of `model.reason`; its text is for operators and holds no personal data.
"""


class FujieError(Exception):
    """Something that stopped a request. `code` is a row of `BUILT_IN_REASONS`."""

    code = "INTERNAL"

    def __init__(self, detail: str = "", *, code: str = "") -> None:
        super().__init__(detail or code or self.code)
        self.detail = detail
        if code:
            self.code = code


class RequestError(FujieError):
    """The caller's fault. `field` is the path in the request message, for a field violation."""

    code = "ARGUMENT_INVALID"

    def __init__(self, detail: str = "", *, code: str = "", field: str = "") -> None:
        super().__init__(detail, code=code)
        self.field = field


class CredentialError(FujieError):
    """The caller could not be authenticated."""

    code = "TOKEN_INVALID"


class StoreError(FujieError):
    """A customer store failed or did not answer in time."""

    code = "STORE_UNAVAILABLE"


class LedgerError(FujieError):
    """The ledger could not be read or written."""

    code = "LEDGER_UNAVAILABLE"


class StartError(Exception):
    """The server must not start. `code` is UPPER_SNAKE, `remedy` says what to do next."""

    def __init__(self, code: str, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.remedy = remedy
