"""The line between server and worker: whole messages in order, and an end that both sides see."""

import socket

from hypothesis import given, settings
from hypothesis import strategies as st

from fujie.app.control import Control

CONTENT = st.dictionaries(
    st.text(max_size=5), st.text(max_size=200) | st.integers(-(2**53), 2**53), max_size=5
)


async def pair() -> tuple[Control, Control]:
    ours, theirs = socket.socketpair()
    return await Control.over(ours), await Control.over(theirs)


@settings(deadline=None)
@given(st.lists(CONTENT, max_size=5))
async def test_what_is_sent_arrives_in_order_and_then_the_end(contents: list[dict[str, str | int]]) -> None:
    one, other = await pair()
    for content in contents:
        one.send("said", content=content)
    one.close()
    for content in contents:
        assert await other.receive() == {"kind": "said", "content": content}
    assert await other.receive() is None
    other.close()


async def test_half_a_message_is_none() -> None:
    ours, theirs = socket.socketpair()
    other = await Control.over(theirs)
    ours.sendall(b'{"kind": "re')
    ours.close()
    assert await other.receive() is None
    other.send("ignored")  # nobody is there
    other.close()


async def test_a_message_as_long_as_all_metrics_fits() -> None:
    one, other = await pair()
    samples = [["fujie_stage_seconds_bucket", [["stage", "x" * 100]], 1.0]] * 20_000
    one.send("report", samples=samples)
    received = await other.receive()
    assert received is not None
    assert received["samples"] == samples
    one.close()
    other.close()
