"""What an SMSC says is read whatever it is; what we say, smpplib reads as we meant it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smpplib import consts
from smpplib.smpp import parse_pdu

from fujie.adapters.providers.smpp_wire import Address, delivered, message_id, status_name, submissions
from fujie.model.message import MessageState

FROM, TO = Address("10690000", 0, 1), Address("8613800138000", 1, 1)


class _Client:
    """What smpplib's parser asks of its client."""

    @property
    def sequence(self) -> int:
        return 1

    def next_sequence(self) -> int:
        return 1


def _body(flags: int, coding: int, message: bytes, options: bytes = b"") -> bytes:
    return (
        b"\0\x01\x018613800138000\0\0\x0010690000\0"
        + bytes((flags, 0, 0)) + b"\0\0" + bytes((0, 0, coding, 0, len(message))) + message + options
    )  # fmt: skip


@given(st.binary(max_size=200))
def test_no_octets_of_an_smsc_raise(octets: bytes) -> None:
    delivered(octets)
    assert message_id(octets).isprintable()


@given(
    st.integers(0, 255),
    st.integers(0, 255),
    st.binary(max_size=160),
    st.lists(
        st.tuples(st.sampled_from([0x0424, 0x001E, 0x0427, 0x1501]), st.binary(max_size=40)), max_size=4
    ),
    st.integers(0, 400),
)
def test_no_deliver_sm_raises_however_it_is_cut(
    flags: int, coding: int, message: bytes, options: list[tuple[int, bytes]], end: int
) -> None:
    tail = b"".join(tag.to_bytes(2) + len(value).to_bytes(2) + value for tag, value in options)
    said = delivered(_body(flags, coding, message, tail)[:end])
    if said is not None and said.state is not None:
        assert len(said.code) <= 64
        assert said.message_id


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=400), st.integers(0, 255))
def test_smpplib_reads_the_text_that_we_wrote(text: str, reference: int) -> None:
    read = []
    for number, pdu in enumerate(submissions(text, FROM, TO, reference, is_payload=False)):
        pdu.sequence_num = number + 1
        theirs = parse_pdu(pdu.pdu(), client=_Client(), allow_unknown_opt_params=False)
        body = theirs.short_message
        if theirs.esm_class & consts.SMPP_GSMFEAT_UDHI:
            assert body[3] == reference
            body = body[6:]
        assert theirs.destination_addr == b"8613800138000"
        assert len(theirs.short_message) <= 160
        read.append(
            body.decode("utf-16-be") if theirs.data_coding == consts.SMPP_ENCODING_ISO10646 else None
        )
    if None not in read:
        assert "".join(part or "" for part in read) == text


@pytest.mark.parametrize("is_payload", [False, True])
def test_a_text_of_more_parts_than_a_header_can_count_is_refused(is_payload: bool) -> None:
    with pytest.raises(ValueError, match="parts"):
        submissions("长" * 67 * 256, FROM, TO, 0, is_payload=is_payload)
    assert submissions("长" * 67 * 255, FROM, TO, 0, is_payload=is_payload)[-1].pdu()


@pytest.mark.parametrize(
    ("stat", "state"),
    [
        (b"DELIVRD", MessageState.DELIVERED),
        (b"delivrd", MessageState.DELIVERED),
        (b"EXPIRED", MessageState.FAILED),
        (b"DELETED", MessageState.FAILED),
        (b"UNDELIV", MessageState.FAILED),
        (b"REJECTD", MessageState.FAILED),
        (b"MK:0012", MessageState.FAILED),
        (b"ACCEPTD", MessageState.SUBMITTED),
        (b"ENROUTE", MessageState.SUBMITTED),
        (b"UNKNOWN", MessageState.SUBMITTED),
    ],
)
def test_a_receipt_says_one_of_three_things(stat: bytes, state: MessageState) -> None:
    said = delivered(_body(4, 0, b"id:abc sub:001 stat:" + stat + b" err:001 text:stat:DELIVRD"))
    assert said is not None
    assert (said.state, said.message_id) == (state, "abc")


def test_an_intermediate_notice_ends_nothing() -> None:
    said = delivered(_body(0x20, 0, b"id:abc stat:UNDELIV err:001"))
    assert said is not None
    assert said.state is MessageState.SUBMITTED


@pytest.mark.parametrize(
    ("coding", "octets"), [(8, "退订".encode("utf-16-be")), (15, "退订".encode("gbk"))]
)
def test_a_refusal_is_read_in_either_coding_of_chinese_gateways(coding: int, octets: bytes) -> None:
    said = delivered(_body(0, coding, octets))
    assert said is not None
    assert said.text == "退订"


def test_the_header_of_a_long_reply_is_not_its_text() -> None:
    said = delivered(_body(0x40, 0, b"\x05\x00\x03\x07\x02\x01STOP"))
    assert said is not None
    assert (said.state, said.text) == (None, "STOP")


def test_a_status_has_a_name_of_the_grammar_of_codes() -> None:
    assert [status_name(status) for status in (0x58, 0x400)] == ["ESME_RTHROTTLED", "0x00000400"]
