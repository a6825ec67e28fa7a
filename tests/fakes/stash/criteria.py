"""Stash's filters as tests of one row, with SQL's three values: True, False, and None where a NULL was compared.

A row is found when its test is True. NOT of None is None, so a row without a date is found neither by a date criterion
nor by NOT of that criterion, as in the real server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from tests.fakes.stash.library import Library, StashFailure

Truth = bool | None
Test = Callable[[Any], Truth]
Criterion = Mapping[str, Any]


def all_of(tests: Sequence[Test]) -> Test:
    """Returns SQL's AND of the tests; True without any."""
    if len(tests) == 1:
        return tests[0]

    def test(row: Any) -> Truth:
        truth: Truth = True
        for one in tests:
            value = one(row)
            if value is False:
                return False
            if value is None:
                truth = None
        return truth

    return test


def any_of(tests: Sequence[Test]) -> Test:
    """Returns SQL's OR of the tests; False without any."""

    def test(row: Any) -> Truth:
        values = [one(row) for one in tests]
        return True if True in values else None if None in values else False

    return test


def not_(test: Test) -> Test:
    def negated(row: Any) -> Truth:
        value = test(row)
        return None if value is None else not value

    return negated


@lru_cache(1024)
def _like_pattern(pattern: str) -> re.Pattern[str]:
    parts = {"%": ".*", "_": "."}
    return re.compile("".join(parts.get(c, re.escape(c)) for c in pattern), re.DOTALL | re.IGNORECASE | re.ASCII)


def like(value: str | None, pattern: str) -> Truth:
    """SQLite's LIKE: case-insensitive for ASCII letters, % is any text, _ is any character."""
    return None if value is None else _like_pattern(pattern).fullmatch(value) is not None


def words(value: str) -> list[str]:
    """Returns the words of INCLUDES and EXCLUDES: split at blanks, or one phrase when in double quotes."""
    trimmed = value.strip()
    phrase = trimmed.strip('"')
    return [phrase] if phrase != trimmed else re.split(r"\s+", trimmed)


def _like_test(read: Callable[[Any], str | None], pattern: str) -> Test:
    return lambda row: like(read(row), pattern)


def _regex(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise StashFailure(f"error parsing regexp: {error}") from error


def text_test(criterion: Criterion, get: Callable[[Any], str | None]) -> Test:
    """StringCriterionInput over a column; an empty text is NULL."""
    value, modifier = criterion["value"], criterion["modifier"]

    def read(row: Any) -> str | None:
        return get(row) or None

    if modifier in {"IS_NULL", "NOT_NULL"}:
        return lambda row: not (read(row) or "").strip() if modifier == "IS_NULL" else bool((read(row) or "").strip())
    if modifier in {"MATCHES_REGEX", "NOT_MATCHES_REGEX"}:
        regex, wanted = _regex(value), modifier == "MATCHES_REGEX"
        return lambda row: (regex.search(read(row) or "") is not None and read(row) is not None) is wanted
    if modifier in {"EQUALS", "NOT_EQUALS"}:
        test = _like_test(read, value)
        return test if modifier == "EQUALS" else not_(test)
    if modifier in {"INCLUDES", "EXCLUDES"}:
        patterns = [f"%{word}%" for word in words(value)]
        tests = [_like_test(read, pattern) for pattern in patterns]
        return any_of(tests) if modifier == "INCLUDES" else all_of([not_(one) for one in tests])
    raise StashFailure("unsupported string filter modifier")


def joined_text_test(criterion: Criterion, get: Callable[[Any], Iterable[str]]) -> Test:
    """StringCriterionInput over a joined table (files, stash ids): found when one of the joined rows fits."""
    one = text_test(criterion, lambda value: value)

    def test(row: Any) -> Truth:
        values: list[str | None] = [*get(row)] or [None]
        truths = [one(value) for value in values]
        return True if True in truths else None if None in truths else False

    return test


def list_test(criterion: Criterion, get: Callable[[Any], Iterable[str]]) -> Test:
    """StringCriterionInput over a list of texts (urls, aliases): as joined rows, but EXCLUDES wants it in none."""
    if criterion["modifier"] != "EXCLUDES":
        return joined_text_test(criterion, get)
    return lambda row: not any(like(value, f"%{criterion['value']}%") for value in get(row))


_COMPARISONS: Mapping[str, Callable[[Any, Any, Any], bool]] = {
    "EQUALS": lambda value, low, _: bool(value == low),
    "NOT_EQUALS": lambda value, low, _: bool(value != low),
    "GREATER_THAN": lambda value, low, _: bool(value > low),
    "LESS_THAN": lambda value, low, _: bool(value < low),
    "BETWEEN": lambda value, low, high: bool(low <= value <= high),
    "NOT_BETWEEN": lambda value, low, high: not low <= value <= high,
}


def _comparison(criterion: Criterion, get: Callable[[Any], Any], high: Any) -> Test:
    """Returns the test of a number or a time; `high` is the upper end where the criterion names none."""
    modifier, low = criterion["modifier"], criterion["value"]
    upper = criterion.get("value2") or high
    if modifier in {"IS_NULL", "NOT_NULL"}:
        return lambda row: (get(row) in {None, ""}) is (modifier == "IS_NULL")
    if modifier not in _COMPARISONS:
        raise StashFailure(f"unsupported numeric modifier type {modifier}")
    compare = _COMPARISONS[modifier]

    def test(row: Any) -> Truth:
        value = get(row)
        return None if value is None else compare(value, low, upper)

    return test


def number_test(criterion: Criterion, get: Callable[[Any], float | None]) -> Test:
    """IntCriterionInput."""
    return _comparison(criterion, get, 0)


def time_test(criterion: Criterion, get: Callable[[Any], str | None], library: Library) -> Test:
    """TimestampCriterionInput and DateCriterionInput: TEXT is compared with TEXT, whatever offsets they are in."""
    return _comparison(criterion, get, library.text_time(library.clock() + 86_400))


def ids_test(criterion: Criterion, get: Callable[[Any], Iterable[int]]) -> Test:
    """MultiCriterionInput and HierarchicalMultiCriterionInput over ids that a row names."""
    modifier = criterion["modifier"]
    values = {int(i) for i in criterion.get("value") or ()}
    excluded = {int(i) for i in criterion.get("excludes") or ()}
    if modifier in {"IS_NULL", "NOT_NULL"}:
        return lambda row: (not tuple(get(row))) is (modifier == "IS_NULL")
    if modifier == "EXCLUDES":
        values, excluded = set(), excluded | values
    tests: dict[str, Callable[[set[int]], bool]] = {
        "INCLUDES": lambda own: bool(own & values),
        "INCLUDES_ALL": lambda own: values <= own,
        "EQUALS": lambda own: own == values,
        "EXCLUDES": lambda _: True,
    }
    if modifier not in tests:
        raise StashFailure("not equals modifier is not supported for multi criterion input")
    wanted = tests[modifier]

    def test(row: Any) -> bool:
        own = set(get(row))
        return (not values or wanted(own)) and not own & excluded

    return test


def stash_id_test(criterion: Criterion) -> Test:
    """StashIDCriterionInput and StashIDsCriterionInput: ids of the named endpoint only, when one is named."""
    endpoint, modifier = criterion.get("endpoint"), criterion["modifier"]
    single = criterion.get("stash_id") or ""
    several = [i for i in criterion.get("stash_ids") or () if i is not None]

    def own(row: Any) -> list[str]:
        return [i.stash_id for i in row.stash_ids if not endpoint or i.endpoint == endpoint]

    if modifier in {"IS_NULL", "NOT_NULL"}:
        return lambda row: bool(own(row)) is (modifier == "NOT_NULL")
    if "stash_ids" in criterion:
        if modifier not in {"EQUALS", "NOT_EQUALS"}:
            raise StashFailure(f"invalid modifier {modifier} for stash IDs criterion")
        return lambda row: bool(set(own(row)) & set(several)) is (modifier == "EQUALS")
    return joined_text_test({"value": single, "modifier": modifier}, own)
