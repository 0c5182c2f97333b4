"""Embeddings of Ray data sets.

>>> import ray, sessile.ray
>>> proteins = ray.data.read_parquet("proteins/")  # doctest: +SKIP
>>> embedded = proteins.map_batches(  # doctest: +SKIP
...     sessile.ray.Embedder,
...     fn_constructor_kwargs={"model": "facebook/esm2_t33_650M_UR50D"},
...     batch_format="pyarrow",
...     batch_size=4096,
...     concurrency=4,
...     num_gpus=1,
... )

Every actor loads the model once. What a sequence's vector is does not depend on the blocks, the
number of actors or a retry, so that a run which lost a node gives the same bytes.

:func:`embed_folder` embeds a folder of FASTA shards to Parquet, a file for each shard, and resumes.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ._errors import UsageError
from ._model import Model

if TYPE_CHECKING:
    import pyarrow


class Embedder:
    """A callable for ``map_batches``: batches in, the same batches with a column of vectors out.

    Batches are Arrow tables (``batch_format="pyarrow"``) or mappings of NumPy arrays
    (``batch_format="numpy"``, Ray's default). ``column`` holds the sequences and ``output`` will
    hold the vectors, lists of fixed size in Arrow. The other settings are those of
    :class:`sessile.Model` (``devices``, ``dtype``, ``threads``…) and of
    :meth:`sessile.Model.embed` (``pooling``, ``layer``, ``long``).

    Ray gives an actor the GPUs that it may see, and with ``num_cpus`` it says how many threads the
    actor should have: set ``threads`` to the same number.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        column: str = "sequence",
        output: str = "embedding",
        pooling: Any = "mean",
        layer: int = -1,
        long: Any = "fail",
        **settings: Any,
    ) -> None:
        self._model = Model(model, **settings)
        self._column = column
        self._output = output
        self._embed = {"pooling": pooling, "layer": layer, "long": long}

    def __call__(self, batch: Any) -> Any:
        """The batch with the vectors of its sequences."""
        if isinstance(batch, Mapping):
            sequences = self._sequences(batch, list(batch))
            embeddings = self._model.embed(sequences.tolist(), **self._embed)
            return {**batch, self._output: embeddings.vectors}
        if hasattr(batch, "append_column"):
            return self._arrow(batch)
        raise UsageError(
            f"batches of {type(batch).__name__} cannot be embedded",
            'set batch_format="pyarrow" or "numpy"',
        )

    def _sequences(self, batch: Any, columns: list[str]) -> Any:
        if self._column not in columns:
            raise UsageError(
                f"there is no column {self._column!r} in {', '.join(columns)}",
                "name the column of the sequences with `column`",
            )
        return batch[self._column]

    def _arrow(self, table: pyarrow.Table) -> pyarrow.Table:
        sequences = self._sequences(table, table.column_names)
        embeddings = self._model.embed(sequences, **self._embed)
        vectors = embeddings.to_arrow().column("vector")
        return table.append_column(self._output, vectors)


def embed_folder(
    shards: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    model: str,
    concurrency: int = 1,
    num_cpus: float = 1,
    num_gpus: float = 0,
    pooling: Any = "mean",
    long: Any = "fail",
    **settings: Any,
) -> list[Path]:
    """Embeds a folder of FASTA shards to Parquet files of ``id`` and ``vector``, one for each.

    A shard's file has its name and appears when it is whole; shards whose file is there already
    are left alone, so that a run that was stopped resumes. A shard whose node is lost is computed
    again elsewhere and gives the same file. The folders must be reached from every node.

    >>> import sessile.ray
    >>> sessile.ray.embed_folder(  # doctest: +SKIP
    ...     "shards/", "vectors/", model="facebook/esm2_t6_8M_UR50D", concurrency=2
    ... )
    """
    import ray
    import ray.data

    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    files = sorted(path for path in Path(shards).iterdir() if _is_fasta(path))
    if not files:
        raise UsageError(f"{os.fspath(shards)}: there are no FASTA files in this folder")
    wanted = {path: folder / f"{path.name}.parquet" for path in files}
    missing = [path for path in files if not wanted[path].exists()]
    if missing:
        rows = [{"shard": str(path), "file": str(wanted[path].absolute())} for path in missing]
        tasks = ray.data.from_items(rows, override_num_blocks=len(rows))
        done = tasks.map_batches(
            _ShardEmbedder,
            fn_constructor_args=(model, pooling, long, settings),
            batch_size=1,
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(size=concurrency),
            num_cpus=num_cpus,
            num_gpus=num_gpus,
        )
        done.materialize()
        # What a node that was lost had begun.
        for path in missing:
            for begun in folder.glob(f"{glob.escape(wanted[path].name)}.*.part"):
                begun.unlink(missing_ok=True)
    return [wanted[path] for path in files]


def _is_fasta(path: Path) -> bool:
    name = path.name.lower()
    for compression in (".gz", ".bz2", ".xz", ".zst"):
        name = name.removesuffix(compression)
    return name.endswith((".fa", ".faa", ".fas", ".fasta", ".pep"))


class _ShardEmbedder:
    """Whole shards to files, in an actor that has its model."""

    def __init__(self, model: str, pooling: Any, long: Any, settings: dict[str, Any]) -> None:
        self._model = Model(model, **settings)
        self._embed = {"pooling": pooling, "long": long}

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        rows = [self._shard(str(shard), Path(str(file))) for shard, file in zip(*batch.values())]
        return {"rows": np.asarray(rows)}

    def _shard(self, shard: str, file: Path) -> int:
        import pyarrow
        import pyarrow.parquet

        rows = 0
        # Two attempts at one shard, one of them on a node that was taken for lost, do not meet.
        whole = file.with_name(f"{file.name}.{os.getpid()}-{os.urandom(4).hex()}.part")
        schema = pyarrow.schema(
            {
                "id": pyarrow.string(),
                "vector": pyarrow.list_(pyarrow.float32(), self._model.dimension),
            }
        )
        try:
            with pyarrow.parquet.ParquetWriter(whole, schema) as writer:
                for block in self._model.iter_embed(shard, **self._embed):
                    writer.write_table(block.to_arrow().cast(schema))
                    rows += len(block)
            os.replace(whole, file)
        finally:
            whole.unlink(missing_ok=True)
        return rows
