"""What the shipped policies say of the law is so, and docs/law-coverage.md says it. Run this file to write the page anew."""

from pathlib import Path

from fujie.model.reasons import BUILT_IN_REASONS
from support.law import NEEDS, STATUS, articles, coverage, group, page, serving, settled, sources
from support.shipped import PACKS, bundle

PAGE = Path(__file__).parents[3] / "docs" / "law-coverage.md"


def test_the_page_is_that_of_the_policies_and_their_tests() -> None:
    assert PAGE.read_text("utf-8") == page(), "run this file to write the page anew"


def test_guards_deny_only_on_what_was_read() -> None:
    denying = [guard for guard in bundle(PACKS).guards if guard.enforced]
    assert {
        (guard.name, article)
        for guard in denying
        for validation in guard.validations
        for article in validation.hit.basis
        if articles()[article]["status"] != "read" and not articles()[article].get("refuses")
    } == set()
    assert denying


def test_only_providers_refuse_by_themselves() -> None:
    refused = [article for article in articles().values() if article.get("refuses")]
    assert refused
    assert {article["status"] for article in refused} == {"provider"}


def test_a_warning_that_rests_on_nothing_that_was_read_says_so() -> None:
    warning = [guard for guard in bundle(PACKS).guards if guard.warns]
    for guard in warning:
        for validation in guard.validations:
            assert all(articles()[article]["status"] != "read" for article in validation.hit.basis)
            assert "仅提示" in validation.hit.message.zh
            assert "Warning only" in validation.hit.message.en
    assert len(warning) >= 5


def test_every_validation_cites_and_every_citation_is_a_source() -> None:
    cited = {article for article, *_ in serving()}
    for guard in bundle(PACKS).guards:
        for validation in guard.validations:
            assert validation.hit.basis, f"{guard.name}/{validation.name}"
            cited |= set(validation.hit.basis)
    for reason in BUILT_IN_REASONS.values():
        cited |= set(reason.basis)
    assert cited <= articles().keys()


def test_every_validation_and_every_serving_rule_is_shown_by_a_case() -> None:
    assert [kept for every in coverage().values() for kept in every if not kept.cases] == []
    assert settled()


def test_every_source_is_kept_or_says_what_is_missing() -> None:
    assert {article.partition("-")[0] for article in articles()} == set(sources()["laws"])
    assert len(articles()) == len(sources()["articles"])
    for name, article in articles().items():
        assert article["zh"]
        assert article["en"]
        assert article["status"] in STATUS
        assert ("needs" in article) == (group(article) == "open"), name
        assert article.get("needs", "text") in NEEDS


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
