import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.model.workload import MOST_ID_CHARS, trust_domain_of

ID = "spiffe://example.com/crm"


@pytest.mark.parametrize(
    "spiffe_id",
    [
        ID,
        "spiffe://example.com/ns/crm/sa/web-1",
        "spiffe://example.com/A.b_c-9/..a/a..",
        "spiffe://example.com/...",
        "spiffe://example.com/" + "a" * (MOST_ID_CHARS - len("spiffe://example.com/")),
    ],
)
def test_a_workload_has_a_trust_domain(spiffe_id: str) -> None:
    assert trust_domain_of(spiffe_id) == "example.com"


@pytest.mark.parametrize(
    "other",
    [
        "",
        "example.com/crm",
        "SPIFFE://example.com/crm",
        "Spiffe://example.com/crm",
        "spiffe:/example.com/crm",
        "spiffe:///crm",
        "spiffe://example.com",
        "spiffe://example.com/",
        "spiffe://example.com/crm/",
        "spiffe://example.com//crm",
        "spiffe://example.com/./crm",
        "spiffe://example.com/a/../crm",
        "spiffe://example.com/..",
        "spiffe://Example.com/crm",
        "spiffe://example.com:443/crm",
        "spiffe://user@example.com/crm",
        "spiffe://user:pass@example.com/crm",
        "spiffe://[::1]/crm",
        "spiffe://exämple.com/crm",
        "spiffe://example.com/crm?x=1",
        "spiffe://example.com/crm#x",
        "spiffe://example.com/%63rm",
        "spiffe://example.com/c r m",
        "spiffe://example.com/crm\n",
        "spiffe://example.com/crm\0",
        "spiffe://example.com/crmé",
        "spiffe://example.com/\u0430",  # a Cyrillic a
        " " + ID,
        ID + " ",
        "spiffe://" + "a" * 256 + "/crm",
        "spiffe://example.com/" + "a" * (MOST_ID_CHARS - len("spiffe://example.com/") + 1),
        "https://example.com/crm",
        "urn:spiffe://example.com/crm",
    ],
)
def test_what_only_looks_like_one_is_none(other: str) -> None:
    with pytest.raises(ValueError, match=r"^not the SPIFFE id of a workload$"):
        trust_domain_of(other)


@given(st.text(alphabet="spife:/.%@?#\0 aA-_9é", max_size=30))
def test_an_id_has_one_spelling_alone(tail: str) -> None:
    """What is accepted is the domain, a slash, and plain segments: nothing that another reader could fold."""
    try:
        domain = trust_domain_of("spiffe://" + tail)
    except ValueError:
        return
    head, slash, path = tail.partition("/")
    assert (domain, slash) == (head, "/")
    assert all(segment not in ("", ".", "..") for segment in path.split("/"))
    assert tail.isascii()
    assert not set(tail) & set(":%@?#\0 ")
    assert head == head.lower()
