"""What an expression reads is never hidden, and a state is never anything but itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.model.facts import UNREADABLE, Kind
from fujie.policy.cel import Checked, Engine
from support.bundles import FACTS

ENGINE = Engine(FACTS)
NAMES = {
    "variables.flag": Kind.BOOL,
    "variables.number": Kind.INT,
    "variables.text": Kind.STRING,
    "params.number": Kind.INT,
    "params.texts": Kind.STRINGS,
}


def codes(text: str) -> list[str]:
    found = ENGINE.check(text, NAMES)
    return [] if isinstance(found, Checked) else [problem.code for problem in found]


READS = {
    "customer.minor": {"customer.minor"},
    ".customer.minor": {"customer.minor"},
    "customer.`minor`": {"customer.minor"},
    "(customer).minor": {"customer.minor"},
    "customer\n// c\n.minor": {"customer.minor"},
    "true || customer.minor": {"customer.minor"},
    "false ? customer.minor : true": {"customer.minor"},
    "[1].exists(x, customer.minor)": {"customer.minor"},
    "[1].all(x, [x].exists(x, x == 1 && customer.minor))": {"customer.minor"},
    "customer.tags.exists(t, t == customer.owner)": {"customer.tags", "customer.owner"},
    "[[customer.minor]][0][0]": {"customer.minor"},
    "{'a': customer.minor}['a']": {"customer.minor"},
    "{customer.owner: true}['a']": {"customer.owner"},
    "customer.tags[customer.points] == ''": {"customer.tags", "customer.points"},
    "size(customer.tags) > size(customer.owner)": {"customer.tags", "customer.owner"},
    "customer.tags.filter(t, t != '').map(t, t + customer.owner).size() > 0": {
        "customer.tags",
        "customer.owner",
    },
    "customer.owner.matches(principal.department)": {"customer.owner", "principal.department"},
    "has({'a': customer.minor}.a)": {"customer.minor"},
    "customer.tags.exists_one(t, t == 'a')": {"customer.tags"},
    "consent.state == GIVEN": {"consent.state"},
    "consent.state != State.GIVEN": {"consent.state"},
    "fujie.facts.State.GIVEN == consent.state": {"consent.state"},
    "(consent.state) in [GIVEN, (NONE)]": {"consent.state"},
}


@pytest.mark.parametrize(("text", "reads"), READS.items())
def test_every_read_is_seen(text: str, reads: set[str]) -> None:
    checked = ENGINE.check(text)
    assert isinstance(checked, Checked), checked
    assert checked.reads == reads


def test_every_use_of_a_variable_is_seen() -> None:
    text = "variables.flag || [1].exists(x, x == variables . number) || 'a' in params.texts"
    checked = ENGINE.check(text, NAMES)
    assert isinstance(checked, Checked)
    assert checked.uses == {"variables.flag", "variables.number", "params.texts"}


@pytest.mark.parametrize("path", sorted(UNREADABLE))
@pytest.mark.parametrize(
    "text", ["'a' in {}", "{}.all(x, x == 'a')", "size({}) == 0", "[{}].size() == 1", "has({})"]
)
def test_what_the_decision_reads_by_itself_is_no_fact_for_rules(path: str, text: str) -> None:
    """Approvals are not facts: a rule that read them could ask for one and take another's."""
    assert codes(text.format(path)) == ["FACT_REFUSED"]


SMUGGLED = [
    "customer['minor']",
    "[customer][0].minor",
    "{'a': customer}['a'].minor",
    "(true ? customer : customer).minor",
    "[customer].exists(c, c.minor)",
    "customer == customer",
    "size([customer]) == 1",
    "customer.?minor",
    "customer[?'minor'].orValue(true)",
    "optional.of(customer).value().minor",
    "has(customer.minor)",
    "!has(customer.minor)",
    "Customer{}.minor",
    "fujie.facts.Customer{minor: true}.minor",
    ".fujie.facts.Customer{}.minor",
    "Customer{} == customer",
    "[Customer{minor: true}][0].minor",
    "Consent{state: 3}.state == 3",
    "google.protobuf.Struct{}.size() == 0",
    "google.protobuf.BoolValue{value: true}",
    "google.protobuf.Any{type_url: 'type.googleapis.com/fujie.facts.Customer', value: b''} == customer",
    "dyn(customer).minor",
    "dyn(customer.minor)",
    "type(customer.minor) == bool",
    "type(customer) == fujie.facts.Customer",
    "fujie.facts.Customer == fujie.facts.Consent",
    "bool == bool",
    "[bool].size() == 1",
    "[1].exists(customer, customer == 1)",
    "[1].exists(consent, true)",
    "[1].exists(variables, variables == 1)",
    "{'minor': false}.map(customer, true)[0]",
    "[{'minor': false}].exists(customer, customer.minor)",
    "cel.bind(c, customer, c.minor)",
    "cel.bind(s, consent.state, s == 3)",
    "variables == variables",
    "variables['flag']",
    "variables.unknown",
    "x",
]


@pytest.mark.parametrize("text", SMUGGLED)
def test_a_read_that_could_hide_is_refused(text: str) -> None:
    assert codes(text) != []


MISUSED = [
    "consent.state == 3",
    "3 == consent.state",
    "consent.state == UNSPECIFIED",
    "consent.state == ACTIVE",
    "ACTIVE == consent.state",
    "principal.employment != GIVEN",
    "consent.state in [GIVEN, ACTIVE]",
    "consent.state in [GIVEN, 3]",
    "consent.state in [GIVEN] + [NONE]",
    "consent.state in []",
    "consent.state in {GIVEN: true}",
    "consent.state in [consent.state]",
    "GIVEN in [consent.state]",
    "consent.state == consent.state",
    "consent.state == principal.employment",
    "principal.kind == principal.training",
    "consent.state > NONE",
    "consent.state + 0 == 3",
    "-consent.state == -3",
    "consent.state % 2 == 1",
    "int(consent.state) == 3",
    "string(consent.state) == '3'",
    "double(consent.state) == 3.0",
    "consent.state == int('3')",
    "consent.state == (true ? GIVEN : NONE)",
    "(true ? consent.state : NONE) == GIVEN",
    "[consent.state][0] == 3",
    "[consent.state] == [3]",
    "{'s': consent.state}.s == 3",
    "{consent.state: true}[3]",
    "[consent.state].exists(s, s == 3)",
    "[GIVEN].exists(s, s == consent.state)",
    "[3].exists(GIVEN, consent.state == GIVEN)",
    "[1, 2, 3].map(x, consent.state)[0] == 3",
    "time.hour == GIVEN",
    "GIVEN == 3",
    "GIVEN == GIVEN",
    "consent.state == variables.number",
    "variables.number == GIVEN",
    "consent.state == params.number",
    "size([GIVEN]) == 1",
    "timestamp(consent.state) == timestamp(3)",
]


@pytest.mark.parametrize("text", MISUSED)
def test_a_state_can_only_be_compared_with_its_own_constants(text: str) -> None:
    """States are integers to the engine: any other use would let two vocabularies meet."""
    assert set(codes(text)) == {"STATE_MISUSE"}


@given(
    st.sampled_from(MISUSED),
    st.sampled_from(["({})", "true || ({})", "[1].all(x, {})", "!({})", "({}) ? true : false"]),
)
def test_misuse_is_found_at_any_depth(text: str, wrapped: str) -> None:
    assert set(codes(wrapped.format(text))) == {"STATE_MISUSE"}


def test_a_loop_variable_may_carry_the_name_of_a_state() -> None:
    checked = ENGINE.check("customer.tags.exists(GIVEN, GIVEN == 'a')")
    assert isinstance(checked, Checked)
    assert checked.reads == {"customer.tags"}


PLACES = {
    "true &&\n  consent.state == 3": (2, 10, "STATE_MISUSE"),
    "'营销' == '𠮷' && has(customer.minor)": (1, 19, "HAS_REFUSED"),
    "true\n\n|| dyn(1) == 1": (3, 7, "FUNCTION_REFUSED"),
    "[customer]": (1, 2, "WHOLE_ROOT"),
    "true || Customer{}.minor": (1, 9, "MESSAGE_REFUSED"),
    "'中' != '' && customer.owner.matches('(')": (1, 37, "REGEX_INVALID"),
}


@pytest.mark.parametrize(("text", "place"), PLACES.items())
def test_a_problem_names_line_and_column_in_code_points(text: str, place: tuple[int, int, str]) -> None:
    found = ENGINE.check(text)
    assert not isinstance(found, Checked)
    assert (found[0].line, found[0].column, found[0].code) == place
