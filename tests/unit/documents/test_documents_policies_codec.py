from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.control_codec import space_from_document, space_to_document
from runtime.errors import OursError
from runtime.messages import CollectionPolicy, DatabaseConfig, PolicyName
from runtime.testing.control_samples import sample_space

policies = st.dictionaries(
    st.text(max_size=8),
    st.builds(CollectionPolicy, name=st.sampled_from(PolicyName), text=st.text(max_size=20)),
    max_size=4,
)


@given(policies)
def test_policies_go_there_and_back_in_their_order(
    given_policies: dict[str, CollectionPolicy],
) -> None:
    space = sample_space("mp-1", database=DatabaseConfig(policies=given_policies))
    read = space_from_document(space_to_document(space))
    assert read == space
    assert list(read.database.policies) == list(given_policies)


def test_an_old_document_has_no_policies() -> None:
    document = space_to_document(sample_space())
    del document["database"]
    assert space_from_document(document).database == DatabaseConfig()


@pytest.mark.parametrize(
    "stored",
    [
        None,
        [],
        {"policies": {}},
        {"policies": ["x"]},
        {"policies": [{"collection": "c", "name": "NEW", "text": "{}"}]},
        {"policies": [{"collection": "c", "text": "{}"}]},
        {"policies": [{"collection": "c", "name": "PRIVATE"}]},
        {"policies": [{"name": "PRIVATE", "text": "{}"}]},
        {"policies": [{"collection": 1, "name": "PRIVATE", "text": "{}"}]},
    ],
)
def test_what_is_no_policy_is_an_error(stored: Any) -> None:
    document = {**space_to_document(sample_space()), "database": stored}
    with pytest.raises(OursError, match="unreadable"):
        space_from_document(document)
