"""Whole tasks with their models."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _native
from ._inputs import Sequences
from ._model import Model, States
from ._progress import Progress

if TYPE_CHECKING:
    import pandas


def states(
    proteins: Sequences,
    *,
    model: str | os.PathLike[str] | Model,
    progress: bool = False,
    **settings: Any,
) -> list[States]:
    """The structure states (3Di) of proteins, in their order.

    ``model`` is ProstT5 with its head or a ModernProst model, by name or loaded; ``settings`` are
    those of :class:`Model`.

    >>> import sessile
    >>> sessile.states("proteins.fasta", model="Rostlab/ProstT5")  # doctest: +SKIP
    """
    return _model(model, settings).states(proteins, progress=progress)


def summarize(
    articles: list[str],
    *,
    model: str | os.PathLike[str] | Model,
    progress: bool = False,
    **settings: Any,
) -> list[str]:
    """A summary of every article, in their order.

    ``model`` is a BART model, by name or loaded; ``settings`` are those of :class:`Model`, such as
    ``generation={"num_beams": 1}``.

    >>> import sessile
    >>> sessile.summarize([text], model="facebook/bart-large-cnn")  # doctest: +SKIP
    """
    return _model(model, settings).summarize(articles, progress=progress)


class Viral(NamedTuple):
    """What a virus prediction came to."""

    output: Path
    """The folder of the results."""
    virus_chunks: int
    """Chunks that are viruses."""
    chunks: int
    """Chunks with a frame."""
    frames: int
    """Frames that were scored."""
    contigs: int
    """Contigs."""
    failed: int
    """Records and frames without a result, listed in ``failed.tsv``."""

    def to_pandas(self, table: str = "contigs") -> pandas.DataFrame:
        """The table of ``contigs``, ``chunks`` or ``frames``."""
        import pandas

        return pandas.read_csv(self.output / f"{table}.tsv", sep="\t")


def viral(
    inputs: str | os.PathLike[str] | list[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    classifier: str | os.PathLike[str],
    dnabert: str = "zhihan1996/DNABERT-S",
    esm: str = "esm2_t36_3B",
    chunk: int = 500,
    esm_layer: int | None = None,
    force: bool = False,
    devices: str = "auto",
    dtype: str = "auto",
    progress: bool = False,
) -> Viral:
    """Which contigs of FASTA files are viruses, as VirNucPro finds them.

    The results go to the folder ``output``, which a run that was stopped resumes.

    >>> import sessile
    >>> found = sessile.viral("contigs.fa", "out", classifier="model.pth")  # doctest: +SKIP
    >>> found.to_pandas()  # doctest: +SKIP
    """
    files = [inputs] if isinstance(inputs, (str, os.PathLike)) else list(inputs)
    with Progress(progress, None, "frames") as show:
        counts = _native.viral(
            [os.fspath(file) for file in files],
            os.fspath(output),
            os.fspath(classifier),
            dnabert,
            esm,
            chunk,
            esm_layer,
            force,
            devices,
            dtype,
            show,
        )
    return Viral(Path(output), *counts)


def _model(model: str | os.PathLike[str] | Model, settings: dict[str, Any]) -> Model:
    if not isinstance(model, Model):
        return Model(model, **settings)
    if settings:
        names = ", ".join(settings)
        raise TypeError(f"settings of a model that is loaded have no effect: {names}")
    return model
