"""Compare the results of two contestants."""

import math
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from benchmarks.contestants import CONTESTED, Results

TOLERANCE = 1e-9  # the relative tolerance for doubles


def differences(ours: Results, theirs: Results) -> list[str]:
    """Return a sentence for each difference; empty if the results are equal."""
    found = [
        f"{what}: ours are {dict(mine)}, theirs {dict(other)}"
        for what, mine, other in (
            ("accepted events by date", ours.accepted, theirs.accepted),
            ("rejected rows by reason", ours.rejected, theirs.rejected),
        )
        if dict(mine) != dict(other)
    ]
    for table in CONTESTED:
        found += _differences_of_tables(table.name, table.key, ours.kpis[table.name], theirs.kpis[table.name])
    return found


def _differences_of_tables(name: str, key: tuple[str, ...], ours: pa.Table, theirs: pa.Table) -> Iterator[str]:
    mine, other = _by_key(ours, key), _by_key(theirs, key)
    if not len(mine) == len(ours) == len(other) == len(theirs):
        yield f"{name}: ours has {len(ours):,} rows with {len(mine):,} keys, theirs {len(theirs):,} with {len(other):,}"
    for row_key in sorted(mine.keys() | other.keys(), key=str):
        if row_key not in mine or row_key not in other:
            yield f"{name} {row_key}: only {'theirs' if row_key in other else 'ours'} has it"
            continue
        for column in sorted(mine[row_key].keys() | other[row_key].keys()):
            values = mine[row_key].get(column), other[row_key].get(column)
            if not _equal(*values):
                yield f"{name} {row_key}: {column} is {values[0]!r} in ours, {values[1]!r} in theirs"


def _by_key(rows: pa.Table, key: tuple[str, ...]) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {tuple(row[column] for column in key): row for row in rows.to_pylist()}


def _equal(mine: object, other: object) -> bool:
    if isinstance(mine, float) and isinstance(other, float):
        return math.isclose(mine, other, rel_tol=TOLERANCE)
    return mine == other
