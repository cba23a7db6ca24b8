"""Tags: derived, short enough, and readable again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.values import Role
from agent.errors import Broken
from agent.orders.tags import Tag, instance_of, parse_tag, tag_of


@given(
    host=st.text(max_size=20), home=st.text(max_size=40), trade=st.integers(1, 36**6 - 1),
    role=st.sampled_from(Role), attempt=st.integers(0, 36**2 - 1),
)  # fmt: skip
def test_a_tag_is_at_most_twenty_alphanumerics_and_comes_back(
    host: str, home: str, trade: int, role: Role, attempt: int
) -> None:
    instance = instance_of(host, home)
    tag = tag_of(instance, trade, role, attempt)
    assert len(tag) <= 20
    assert tag.isascii()
    assert tag.isalnum()
    assert parse_tag(tag) == Tag(instance, trade, role, attempt)


@pytest.mark.parametrize("text", [None, "", "by hand", "RTa1b2000025Q03", "XXa1b2000025X03", "RT"])
def test_what_is_not_ours_is_nobody(text: str | None) -> None:
    assert parse_tag(text) is None


def test_another_home_is_another_instance_and_the_same_is_the_same() -> None:
    assert instance_of("host", "/a") == instance_of("host", "/a")
    assert instance_of("host", "/a") != instance_of("host", "/b")
    assert instance_of("host", "/a") != instance_of("other", "/a")


def test_what_does_not_fit_is_our_bug() -> None:
    with pytest.raises(Broken):
        tag_of("abc", 1, Role.ENTRY, 0)
    with pytest.raises(Broken):
        tag_of("abcd", 36**6, Role.ENTRY, 0)
