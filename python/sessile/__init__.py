"""Sequence models that stay resident on every device and are fed without padding.

>>> import sessile
>>> model = sessile.Model("demo")
>>> vectors = model.embed(["MKTAYIAKQR", "GASP"])
>>> vectors.shape
(2, 128)

A model is loaded once for a process and shared by its threads; :class:`Model` says what it can do.
:func:`orfs`, :func:`entropy`, :func:`mutual_information` and :func:`read_fasta` need no model;
:func:`states`, :func:`summarize` and :func:`viral` are whole tasks. :mod:`sessile.ray` embeds the
blocks of a Ray data set. ``sessile`` is on the command line, too.
"""

from typing import TYPE_CHECKING

# Names are looked up when they are first used: the command line starts without NumPy.
_PLACES = {
    "DeviceError": "_errors",
    "Embeddings": "_embeddings",
    "Failure": "_embeddings",
    "Interrupted": "_errors",
    "Model": "_model",
    "ModelError": "_errors",
    "Orf": "_sequences",
    "Record": "_sequences",
    "RecordError": "_errors",
    "ResidueEmbeddings": "_embeddings",
    "Score": "_model",
    "SessileError": "_errors",
    "States": "_model",
    "UsageError": "_errors",
    "Viral": "_tasks",
    "entropy": "_sequences",
    "mutual_information": "_sequences",
    "orfs": "_sequences",
    "read_fasta": "_sequences",
    "states": "_tasks",
    "summarize": "_tasks",
    "viral": "_tasks",
}

__all__ = [
    "DeviceError",
    "Embeddings",
    "Failure",
    "Interrupted",
    "Model",
    "ModelError",
    "Orf",
    "Record",
    "RecordError",
    "ResidueEmbeddings",
    "Score",
    "SessileError",
    "States",
    "UsageError",
    "Viral",
    "entropy",
    "mutual_information",
    "orfs",
    "read_fasta",
    "states",
    "summarize",
    "viral",
]

if TYPE_CHECKING:
    from ._embeddings import Embeddings, Failure, ResidueEmbeddings
    from ._errors import (
        DeviceError,
        Interrupted,
        ModelError,
        RecordError,
        SessileError,
        UsageError,
    )
    from ._model import Model, Score, States
    from ._sequences import Orf, Record, entropy, mutual_information, orfs, read_fasta
    from ._tasks import Viral, states, summarize, viral

    __version__: str


def __getattr__(name: str) -> object:
    if name == "__version__":
        from ._native import VERSION

        return VERSION
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
