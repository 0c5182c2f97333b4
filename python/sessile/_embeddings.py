"""Vectors with the names of their sequences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt


if TYPE_CHECKING:
    import pandas
    import pyarrow

Vectors = npt.NDArray[np.float32]


class Failure(NamedTuple):
    """A sequence without a vector."""

    id: str
    reason: str


class _Named:
    """What has names."""

    ids: list[str]
    failures: list[Failure]

    def __init__(self, ids: list[str], failures: list[Failure]) -> None:
        self.ids = ids
        self.failures = failures
        self._places: dict[str, int] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def _place(self, key: str | int) -> int:
        if not isinstance(key, str):
            return key
        if self._places is None:
            # The first of equal names.
            self._places = {name: place for place, name in reversed(list(enumerate(self.ids)))}
        try:
            return self._places[key]
        except KeyError:
            raise KeyError(f"there is no vector of {key!r}") from None


class Embeddings(_Named):
    """A vector for every sequence, in the order of the input.

    ``np.asarray(embeddings)`` and ``torch.from_dlpack(embeddings)`` share its memory; scikit-learn
    takes it as it is.
    """

    vectors: Vectors
    """``[sequences, dimension]``"""

    def __init__(self, ids: list[str], vectors: Vectors, failures: list[Failure]) -> None:
        super().__init__(ids, failures)
        self.vectors = vectors

    @property
    def shape(self) -> tuple[int, int]:
        """Sequences, dimension."""
        rows, dimension = self.vectors.shape
        return rows, dimension

    def __getitem__(self, key: str | int) -> Vectors:
        """The vector of a sequence, by its name or place."""
        vector: Vectors = self.vectors[self._place(key)]
        return vector

    def __iter__(self) -> Iterator[Vectors]:
        return iter(self.vectors)

    def __repr__(self) -> str:
        return f"<{len(self)} vectors of {self.shape[1]} numbers>"

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        if dtype is not None and np.dtype(dtype) != self.vectors.dtype:
            if copy is False:
                raise ValueError(f"another type than {self.vectors.dtype} takes a copy")
            return self.vectors.astype(dtype)
        return self.vectors.copy() if copy else self.vectors

    def __dlpack__(self, **options: Any) -> Any:
        return self.vectors.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        device: tuple[int, int] = self.vectors.__dlpack_device__()
        return device

    def to_pandas(self) -> pandas.DataFrame:
        """A data frame with the names as index and a column for each number."""
        import pandas

        index = pandas.Index(self.ids, name="id")
        frame: pandas.DataFrame = pandas.DataFrame(self.vectors, index=index, copy=False)
        return frame

    def to_arrow(self) -> pyarrow.Table:
        """A table of ``id`` and ``vector``, lists of fixed size over the memory of the vectors."""
        import pyarrow

        flat = pyarrow.array(self.vectors.reshape(-1))
        vectors = pyarrow.FixedSizeListArray.from_arrays(flat, self.shape[1])
        return pyarrow.table({"id": pyarrow.array(self.ids, pyarrow.string()), "vector": vectors})


class ResidueEmbeddings(_Named):
    """A vector for every residue of every sequence, as views of one block.

    ``embeddings["P12345"]`` is ``[residues, dimension]``.
    """

    block: Vectors
    """``[residues of all sequences, dimension]``"""

    starts: npt.NDArray[np.int64]
    """The rows of sequence *i* are ``starts[i]:starts[i + 1]``."""

    def __init__(
        self,
        ids: list[str],
        block: Vectors,
        starts: npt.NDArray[np.int64],
        failures: list[Failure],
    ) -> None:
        super().__init__(ids, failures)
        self.block = block
        self.starts = starts

    @property
    def vectors(self) -> list[Vectors]:
        """For each sequence ``[residues, dimension]``, views of :attr:`block`."""
        return list(self)

    def __getitem__(self, key: str | int) -> Vectors:
        """The vectors of a sequence, by its name or place: ``[residues, dimension]``."""
        place = range(len(self))[self._place(key)]
        return self.block[self.starts[place] : self.starts[place + 1]]

    def __iter__(self) -> Iterator[Vectors]:
        for place in range(len(self)):
            yield self[place]

    def __repr__(self) -> str:
        rows, dimension = self.block.shape
        return f"<{rows} vectors of {dimension} numbers for the residues of {len(self)} sequences>"

    def to_arrow(self) -> pyarrow.Table:
        """A table of ``id`` and ``vectors``, lists of vectors over the memory of the block."""
        import pyarrow

        flat = pyarrow.array(self.block.reshape(-1))
        rows = pyarrow.FixedSizeListArray.from_arrays(flat, self.block.shape[1])
        vectors = pyarrow.LargeListArray.from_arrays(pyarrow.array(self.starts), rows)
        return pyarrow.table({"id": pyarrow.array(self.ids, pyarrow.string()), "vectors": vectors})

    def to_pandas(self) -> pandas.DataFrame:
        """A data frame with ``id`` and ``residue`` (from 1) as index."""
        import pandas

        lengths = np.diff(self.starts)
        ids = np.repeat(np.asarray(self.ids, dtype=object), lengths)
        residues = np.concatenate([np.arange(1, length + 1) for length in lengths] or [lengths])
        index = pandas.MultiIndex.from_arrays([ids, residues], names=["id", "residue"])
        frame: pandas.DataFrame = pandas.DataFrame(self.block, index=index, copy=False)
        return frame


