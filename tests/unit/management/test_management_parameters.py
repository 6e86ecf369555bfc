"""Reading of typed parameters, forms and pages."""

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import CallerError, InvalidParameterError
from runtime.gateway.management.forms import parse_form, union
from runtime.gateway.management.parameters import LIST_MAX, Page, Parameters


def test_a_needed_text_that_is_absent_or_empty_is_missing() -> None:
    for values in ({}, {"SpaceId": ""}):
        with pytest.raises(InvalidParameterError) as caught:
            Parameters(values).needed("SpaceId")
        assert caught.value.code == "MissingSpaceId"
    assert Parameters({"SpaceId": "x"}).needed("SpaceId") == "x"


def test_an_optional_text_tells_absent_from_empty() -> None:
    assert Parameters({}).text("Desc") is None
    assert Parameters({"Desc": ""}).text("Desc") == ""


@pytest.mark.parametrize(
    ("text", "number"),
    [("5", 5), ("-3", -3), ("+7", 7), ("007", 7), ("999999999999999", 10**15 - 1)],
)
def test_integers(text: str, number: int) -> None:
    assert Parameters({"N": text}).integer("N") == number


@pytest.mark.parametrize(
    "text", ["x", "1.0", "1e3", "0x10", "٣", "1_000", " 5", "5 ", "--5", "1" * 16, "true"]
)
def test_what_is_no_integer_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        Parameters({"N": text}).integer("N")
    assert caught.value.code == "InvalidParameter.N"


def test_integer_bounds_hold_at_both_ends() -> None:
    parameters = Parameters({"N": "5"})
    assert parameters.integer("N", lowest=5, highest=5) == 5
    for bounds in ({"lowest": 6}, {"highest": 4}):
        with pytest.raises(InvalidParameterError):
            parameters.integer("N", **bounds)
    assert Parameters({}).integer("N", lowest=1) is None
    assert Parameters({"N": ""}).integer("N", lowest=1) is None


@pytest.mark.parametrize("text", ["true", "True", "TRUE"])
def test_true_in_any_case(text: str) -> None:
    assert Parameters({"B": text}).boolean("B") is True


@pytest.mark.parametrize("values", [{"B": "false"}, {"B": "False"}, {"B": ""}, {}])
def test_false_in_any_case_or_absent(values: dict[str, str]) -> None:
    assert Parameters(values).boolean("B") is False


@pytest.mark.parametrize("text", ["1", "yes", "[object Object]"])
def test_what_is_no_boolean_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameterError):
        Parameters({"B": text}).boolean("B")


def test_lists_of_both_packages() -> None:
    assert Parameters({"X": "a,b"}).texts("X") == ["a", "b"]
    assert Parameters({"X.2": "b", "X.10": "c", "X.1": "a"}).texts("X") == ["a", "b", "c"]
    assert Parameters({"X.1": "a,b"}).texts("X") == ["a,b"]
    assert Parameters({"X": " a ,,b,"}).texts("X") == ["a", "b"]
    assert Parameters({"X.0": "a", "X.x": "b", "XX.1": "c", "X.1.Y": "d"}).texts("X") == []


def test_a_list_is_bounded() -> None:
    most = ",".join(["a"] * LIST_MAX)
    assert len(Parameters({"X": most}).texts("X")) == LIST_MAX
    with pytest.raises(InvalidParameterError):
        Parameters({"X": most + ",a"}).texts("X")


def test_a_choice_in_any_case() -> None:
    choices = {"PAUSED": 1, "RUNNING": 2}
    assert Parameters({"S": "paused"}).one_of("S", choices) == 1
    assert Parameters({}).one_of("S", choices) is None
    with pytest.raises(InvalidParameterError, match="PAUSED, RUNNING"):
        Parameters({"S": "GONE"}).one_of("S", choices)


def test_pages() -> None:
    assert Parameters({}).page() == Page(number=1, size=10)
    page = Parameters({"PageNum": "3", "PageSize": "20"}).page()
    assert page.offset == 40
    assert page.paginator(41) == {"PageNum": 3, "PageSize": 20, "Total": 41, "PageCount": 3}
    assert page.paginator(0)["PageCount"] == 0
    assert page.paginator(40)["PageCount"] == 2


@pytest.mark.parametrize(
    "values",
    [{"PageNum": "0"}, {"PageSize": "0"}, {"PageSize": "101"}, {"PageNum": "1000001"}],
)
def test_pages_are_bounded(values: dict[str, str]) -> None:
    with pytest.raises(InvalidParameterError):
        Parameters(values).page(size_max=100)


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])),
        st.text(st.characters(exclude_categories=["Cs"])),
    )
)
def test_any_form_that_was_encoded_is_read_back(fields: dict[str, str]) -> None:
    assert parse_form(urlencode(fields), part="query") == fields
    assert parse_form(urlencode(fields).encode(), part="body") == fields


@pytest.mark.parametrize(
    "text", [b"a=%ff", b"\xff=1", b"a", b"a=1&&b=2", b"a=1&b", b"&".join([b"a=1"] * 3000)]
)
def test_a_malformed_form_is_refused(text: bytes) -> None:
    with pytest.raises(CallerError) as caught:
        parse_form(text, part="body")
    assert caught.value.code == "InvalidBody.Format"


def test_a_name_given_twice_is_refused_wherever_it_came() -> None:
    with pytest.raises(InvalidParameterError) as caught:
        parse_form("a=1&b=2&a=1", part="query")
    assert caught.value.code == "InvalidParameter.Repeated"
    with pytest.raises(InvalidParameterError):
        union({"a": "1"}, {"a": "1"})
    assert union({"a": "1"}, {"b": "2"}) == {"a": "1", "b": "2"}
