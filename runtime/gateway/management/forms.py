"""Query strings and form bodies: strict, bounded, each name once."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from runtime.errors import CallerError, InvalidParameterError

_FIELDS_MAX = 2000
FORM_TYPE = "application/x-www-form-urlencoded"


def parse_form(text: str | bytes, *, part: str) -> dict[str, str]:
    """Decoded fields of a query string or form body; `part` names it for people.

    Raises CallerError for anything that two readers could read differently: bad UTF-8, a field without
    `=`, a name given twice."""
    if not text:
        return {}
    try:
        pairs = parse_qsl(
            text.decode() if isinstance(text, bytes) else text,
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_FIELDS_MAX,
        )
    except ValueError as error:
        raise CallerError("InvalidBody.Format", f"the {part} is no valid form: {error}") from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        _add(fields, name, value)
    return fields


def union(query: Mapping[str, str], body: Mapping[str, str]) -> dict[str, str]:
    """All parameters of a request, wherever they came (spec: management API §1).

    Raises InvalidParameterError when one came in both places."""
    parameters = dict(query)
    for name, value in body.items():
        _add(parameters, name, value)
    return parameters


def _add(fields: dict[str, str], name: str, value: str) -> None:
    if name in fields:
        raise InvalidParameterError(
            name, f"the parameter {name} is given more than once", code="InvalidParameter.Repeated"
        )
    fields[name] = value
