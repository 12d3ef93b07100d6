"""Pages on the wire: which part of a list is asked for."""

from fujie.model.errors import RequestError
from fujie.model.page import MOST_ON_A_PAGE, USUAL_ON_A_PAGE, Slice
from fujie.transport.grpc import text


def part(page_size: int, page_token: str) -> Slice:
    """Return the slice: 1 to 500 rows, 100 when none are named; the token is read by the flow that gave it."""
    if not 0 <= page_size <= MOST_ON_A_PAGE:
        raise RequestError(f"1 to {MOST_ON_A_PAGE} rows", field="page_size")
    return Slice(text.clean(page_token, "page_token", text.FREE), page_size or USUAL_ON_A_PAGE)
