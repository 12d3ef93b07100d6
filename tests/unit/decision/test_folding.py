"""Folding: however a text is dressed up it reads the same, and folding what is folded changes nothing."""

from hypothesis import given
from hypothesis import strategies as st

from fujie.decision.folding import fold

ANY = st.text(st.characters(), max_size=60)


@given(ANY)
def test_folding_again_changes_nothing(text: str) -> None:
    folded = fold(text)
    assert fold(folded.plain).plain == folded.plain
    assert fold(folded.compact).compact == folded.compact


@given(ANY)
def test_every_character_knows_its_place_and_marks_only_ever_grow(text: str) -> None:
    folded = fold(text)
    assert "".join(folded.plain[place] for place in folded.places) == folded.compact
    assert list(folded.places) == sorted(set(folded.places))
    assert list(folded.clauses) == sorted(folded.clauses)
    assert len(folded.clauses) == len(folded.compact)


@given(ANY, ANY)
def test_a_blank_between_two_texts_folds_to_both_of_them(left: str, right: str) -> None:
    assert fold(f"{left} {right}").compact == fold(left).compact + fold(right).compact


def test_disguises_of_a_word_are_that_word() -> None:
    for dressed in (
        "最佳",
        "最 佳",
        "最.佳",
        "最\u200b佳",
        "最\ufe0f佳",
        "最😀佳",
        "朂佳",
        "最\u0336佳",
        "【最】佳",
        "最\n佳",
    ):
        assert fold(dressed).compact == "最佳"
    for dressed in ("國家級", "囯家級", "⼤".replace("⼤", "国家级"), "国 家 级", "國\u2063家\u00ad级"):
        assert fold(dressed).compact == "国家级"
    for dressed in (
        "best",
        "ＢＥＳＴ",
        "bеѕt",
        "BÉST",
        "b\u0301e\u200dst",
        "В.Е.S.Т",
        "𝐛𝐞𝐬𝐭",
        "ⓑⓔⓢⓣ",
        "ʙᴇꜱᴛ",
    ):
        assert fold(dressed).compact == "best"


def test_a_share_is_not_its_number() -> None:
    assert fold("１００％").compact == "100%"
    assert fold("100 % 最%佳").compact == "100最佳"


def test_what_can_not_be_encoded_or_seen_is_folded_all_the_same() -> None:
    assert fold("最\ud800佳\0").compact == "最佳"
    assert fold("").compact == fold("\u200b，。 ").compact == ""
