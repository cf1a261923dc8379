"""A client's token stands for one owner for as long as it is used; how many there are is bounded."""

from __future__ import annotations

import pytest

from workers.front_end.owners import SHARED, STDIO, Owners

A, B, C = ("a" * 16, "b" * 64, "-_0Z" * 32)


def test_the_same_token_stands_for_the_same_owner() -> None:
    owners = Owners(10)
    first = owners.of(A, 1.0)
    assert owners.of(B, 2.0) != first
    assert owners.of(A, 3.0) == first


def test_all_without_a_token_share_an_owner() -> None:
    owners = Owners(10)
    assert owners.of("", 1.0) == owners.of("", 99.0) == SHARED
    assert len(owners) == 0


def test_no_two_owners_have_one_number() -> None:
    owners = Owners(10)
    numbers = [STDIO, SHARED, owners.new(), owners.of(A, 1.0), owners.new(), owners.of(B, 1.0), owners.of(C, 1.0)]
    assert len(set(numbers)) == len(numbers)


def test_a_token_that_was_not_used_for_long_stands_for_a_new_owner() -> None:
    owners = Owners(10)
    old = owners.of(A, 1.0)
    kept = owners.of(B, 2.0)
    assert owners.of(B, 11.5) == kept
    assert len(owners) == 1
    assert owners.of(A, 11.6) not in (old, kept)
    assert owners.of(B, 21.5) == kept


def test_the_token_that_comes_is_old_as_well() -> None:
    owners = Owners(10)
    old = owners.of(A, 1.0)
    assert owners.of(A, 11.1) != old


def test_without_a_bound_on_time_a_token_is_never_forgotten() -> None:
    owners = Owners(0)
    number = owners.of(A, 1.0)
    assert owners.of(A, 1e9) == number


def test_of_too_many_tokens_the_one_not_used_for_longest_is_forgotten() -> None:
    owners = Owners(0, most=2)
    first, second = owners.of(A, 1.0), owners.of(B, 2.0)
    assert owners.of(A, 3.0) == first
    owners.of(C, 4.0)
    assert len(owners) == 2
    assert owners.of(A, 5.0) == first
    assert owners.of(B, 6.0) != second


@pytest.mark.parametrize("text", ["short", "a" * 15, "a" * 129, "ä" * 20, "a" * 16 + "\n", "a b" * 10, "a=" * 10])
def test_what_cannot_be_a_token_is_refused_without_repeating_it(text: str) -> None:
    owners = Owners(10)
    with pytest.raises(ValueError, match="16 to 128") as caught:
        owners.of(text, 1.0)
    assert text not in str(caught.value)
    assert len(owners) == 0
