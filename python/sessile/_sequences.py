"""What needs no model: FASTA files, reading frames, information."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from . import _native
from ._errors import UsageError


class Record(NamedTuple):
    """A record of a FASTA file."""

    id: str
    """The header up to its first blank."""
    description: str
    """The rest of the header."""
    sequence: str
    """The letters of all lines, with their case."""


class Orf(NamedTuple):
    """An open reading frame, from stop to stop."""

    frame: int
    """1, 2, 3, or -1, -2, -3 on the reverse complement."""
    start: int
    """First base, 1-based, on the strand that is read."""
    end: int
    """Last base of the stop codon; the length of the sequence + 1 where there is none."""
    protein: str
    """Residues, ``*`` at the end where there is a stop."""
    nucleotides: str
    """The translated bases, three for every residue."""


def read_fasta(*paths: str | os.PathLike[str]) -> Iterator[Record]:
    """The records of FASTA files, folders of them or patterns, compressed or not.

    One record is in memory at a time. A broken record raises :class:`ValueError`, and the iterator
    goes on behind it.

    >>> import sessile
    >>> for record in sessile.read_fasta("proteins.fasta.gz"):  # doctest: +SKIP
    ...     print(record.id, len(record.sequence))
    """
    for record in _native.read_fasta([os.fspath(path) for path in paths]):
        yield Record(*record)


def orfs(sequence: str, *, table: int = 11, min_length: int = 30) -> list[Orf]:
    """The open reading frames of a sequence of nucleotides, by frame (1 2 3 -1 -2 -3) and start.

    ``table`` is the NCBI genetic code; frames shorter than ``min_length`` residues, the stop
    counted, are left out.

    >>> import sessile
    >>> [orf.protein for orf in sessile.orfs("ATGAAATAG", min_length=3)]
    ['MK*', 'LFH']
    """
    if min_length < 1:
        raise UsageError(f"min_length must be 1 or more, not {min_length}")
    return [Orf(*orf) for orf in _native.orfs(sequence, table, min_length)]


def entropy(sequence: str) -> float:
    """Shannon entropy of the letters of a sequence, in bits per symbol; case does not matter.

    >>> import sessile
    >>> sessile.entropy("ACGTacgt")
    2.0
    """
    return _native.entropy(sequence)


def mutual_information(first: str, second: str) -> float:
    """Mutual information of two sequences of equal length, position by position, in bits.

    >>> import sessile
    >>> sessile.mutual_information("AACC", "GGTT")
    1.0
    """
    return _native.mutual_information(first, second)
