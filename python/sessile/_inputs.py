"""What people hand in, as names and sequences."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from ._errors import FileError, UsageError
from ._sequences import read_fasta

Sequences: TypeAlias = (
    "Iterable[str] | Mapping[str, str] | Iterable[tuple[str, str]] | str | os.PathLike[str] | Any"
)
"""A list of sequences, a mapping from names to sequences, pairs of names and sequences, a FASTA
file, or a column of a data frame (pandas, polars, PyArrow)."""


def records(sequences: Sequences) -> Iterator[tuple[str, str]]:
    """Names and sequences, one after the other. What has no names is named by its place, from 0."""
    if isinstance(sequences, (str, os.PathLike)):
        yield from _file(sequences)
    elif isinstance(sequences, Mapping):
        for name, sequence in sequences.items():
            yield _text(name, "name"), _text(sequence, name)
    else:
        index = _index(sequences)
        for place, item in enumerate(_items(sequences)):
            if isinstance(item, tuple):
                if len(item) not in (2, 3):
                    raise UsageError(f"item {place}: a pair of a name and a sequence is expected")
                yield _text(item[0], place), _text(item[-1], place)
            else:
                name = str(place) if index is None else str(index[place])
                yield name, _text(item, name)


def _file(path: str | os.PathLike[str]) -> Iterator[tuple[str, str]]:
    text = os.fspath(path)
    if isinstance(path, str) and not Path(text).exists() and text.isalpha():
        raise FileError(
            f"{text[:60]}: no such file",
            "a single sequence goes into a list: embed([sequence])",
        )
    for record in read_fasta(text):
        yield record.id, record.sequence


def _index(column: Any) -> Any:
    """The labels of a pandas column, unless they just count."""
    index = getattr(column, "index", None)
    if index is None or callable(index) or type(index).__name__ == "RangeIndex":
        return None
    return index


def _items(column: Any) -> Iterable[Any]:
    """The items of a list, an iterator or a column."""
    for method in ("to_pylist", "to_list", "tolist"):
        convert = getattr(column, method, None)
        if convert is not None:
            items: Iterable[Any] = convert()
            return items
    if not isinstance(column, Iterable):
        raise UsageError(
            f"sequences cannot be taken from {type(column).__name__}",
            "hand in a list, a dict, a FASTA file or a column of a data frame",
        )
    if hasattr(column, "columns"):
        raise UsageError(
            "a data frame has several columns", 'hand in the one of the sequences: frame["sequence"]'
        )
    return column


def _text(value: object, name: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("ascii", "replace")
    raise UsageError(f"{name}: a sequence is expected, not {type(value).__name__}")
