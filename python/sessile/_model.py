"""A resident model."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, Literal, NamedTuple, TypeVar, cast, overload

import numpy as np
import numpy.typing as npt

from . import _native
from ._embeddings import Embeddings, Failure, ResidueEmbeddings
from ._errors import RecordError, UsageError
from ._inputs import Sequences, records
from ._progress import Progress
from ._resident import resident

Pooling = Literal["mean", "mean_all", "cls"]
Long = Literal["fail", "full", "windows", "truncate"]
Method = Literal["masked", "unmasked"]
OnError = Literal["raise", "skip"]

_T = TypeVar("_T")

#: Tokens of a block of :meth:`Model.iter_embed`: some batches for every core of a large machine.
_BLOCK_TOKENS = 1 << 18

#: Blocks of :meth:`Model.iter_embed` that are computed while an earlier one is used: with two, the
#: lanes go on with the next while the last sequences of one are computed.
_BLOCKS_AHEAD = 2


class Score(NamedTuple):
    """How likely a model finds a sequence."""

    log_likelihood: float
    """The sum of ``log_probabilities``."""
    pseudo_perplexity: float
    """exp of minus their mean: 1 is certain, 33 a guess among all tokens of ESM-2."""
    log_probabilities: npt.NDArray[np.float32]
    """Natural logarithm of the probability of each residue: ``[residues]``."""


class States(NamedTuple):
    """The structure states of a protein."""

    id: str
    """Its name."""
    three_di: str
    """A letter of 3Di for each residue, as Foldseek reads them."""
    probabilities: npt.NDArray[np.float32]
    """The probability of each letter: ``[residues]``."""
    twelve_state: str | None
    """A letter of the second alphabet, of models that have it."""


class Model:
    """A model that stays on its devices until nothing refers to it any more.

    ``name`` is a folder or file, ``org/name`` or ``org/name@revision`` on the hub, a short name
    such as ``esm2_t6_8M``, or ``demo``, which is built in and untrained. ``devices`` is ``auto``,
    ``cpu``, ``cuda:0``, ``cpu,cuda:1``; ``dtype`` is ``auto``, ``f32``, ``bf16`` or ``f16``.

    Models with the same arguments share one copy of the weights in a process, and threads share a
    model. A fork of the process cannot use it; pickling a model pickles its arguments, so that a
    process which is spawned loads it for itself.

    >>> import sessile
    >>> model = sessile.Model("demo")
    >>> model.dimension
    128
    """

    def __init__(
        self,
        name: str | os.PathLike[str],
        *,
        devices: str = "auto",
        dtype: str = "auto",
        threads: int | None = None,
        instances: int | None = None,
        token_budget: int | None = None,
        max_tokens: int | None = None,
        memory_reserve: int = 0,
        head: str | os.PathLike[str] | None = None,
        generation: dict[str, Any] | None = None,
        progress: bool = False,
    ) -> None:
        self._recipe: dict[str, Any] = {
            "name": os.fspath(name),
            "devices": devices,
            "dtype": dtype,
            "threads": threads,
            "instances": instances,
            "token_budget": token_budget,
            "max_tokens": max_tokens,
            "memory_reserve": memory_reserve,
            "head": None if head is None else os.fspath(head),
            "generation": None if generation is None else dict(generation),
        }
        self._native = resident(self._recipe, progress)
        self._info = self._native.info()

    def __reduce__(self) -> tuple[Callable[..., Model], tuple[dict[str, Any]]]:
        return _from_recipe, (self._recipe,)

    def __repr__(self) -> str:
        return f"sessile.Model({self.name!r}, {self.dtype}, {self._info['devices']})"

    @property
    def name(self) -> str:
        """The name it was opened by."""
        return cast(str, self._info["name"])

    @property
    def dtype(self) -> str:
        """The number format it computes in."""
        return cast(str, self._info["dtype"])

    @property
    def dimension(self) -> int:
        """Numbers of a vector."""
        return self._size("dimension")

    @property
    def layers(self) -> int:
        """Layers."""
        return self._size("layers")

    @property
    def max_tokens(self) -> int:
        """Longest sequence that is computed as a whole, in tokens, special ones included."""
        return self._size("max_tokens")

    @property
    def info(self) -> dict[str, Any]:
        """What is known of it: sizes, devices, kernels, how often its weights were loaded."""
        return dict(self._native.info())

    def _size(self, name: str) -> int:
        if name not in self._info:
            raise UsageError(f"{self.name} writes texts: it has no {name} of vectors")
        return cast(int, self._info[name])

    @overload
    def embed(
        self,
        sequences: Sequences,
        *,
        pooling: Pooling = "mean",
        layer: int = -1,
        per_residue: Literal[False] = False,
        long: Long = "fail",
        on_error: OnError = "raise",
        progress: bool = False,
    ) -> Embeddings: ...

    @overload
    def embed(
        self,
        sequences: Sequences,
        *,
        pooling: Pooling = "mean",
        layer: int = -1,
        per_residue: Literal[True],
        long: Long = "fail",
        on_error: OnError = "raise",
        progress: bool = False,
    ) -> ResidueEmbeddings: ...

    def embed(
        self,
        sequences: Sequences,
        *,
        pooling: Pooling = "mean",
        layer: int = -1,
        per_residue: bool = False,
        long: Long = "fail",
        on_error: OnError = "raise",
        progress: bool = False,
    ) -> Embeddings | ResidueEmbeddings:
        """A vector for every sequence, in their order; equal sequences have equal vectors.

        ``sequences`` is a list, a dict of names and sequences, pairs of them, a FASTA file or a
        column of a data frame. ``pooling`` is ``mean`` over the residues, ``mean_all`` over all
        tokens, or ``cls``, the first token; with ``per_residue`` there is a vector for every
        residue instead. ``layer`` counts from 0, the embeddings, to :attr:`layers`, or from the
        end with -1. ``long`` says what becomes of sequences longer than the model was made for:
        they ``fail``, only their beginning is read (``truncate``), or they are read in
        ``windows``; ``full`` needs ``max_tokens`` of the model. With ``on_error="skip"`` sequences
        that fail are listed in ``failures`` and the others go on.

        The vectors are float32, equal to the bytes of ``sessile embed``, whatever else is computed
        beside them.

        >>> import sessile
        >>> model = sessile.Model("demo")
        >>> embeddings = model.embed({"one": "MKTAYIAKQR", "two": "GASP"})
        >>> embeddings["two"].shape
        (128,)
        >>> model.embed(["MKV", "GASP"], per_residue=True)[1].shape
        (4, 128)
        """
        names: list[str] = []
        letters: list[str] = []
        for name, sequence in records(sequences):
            names.append(name)
            letters.append(sequence)
        return self._embed(
            names, letters, pooling, layer, per_residue, long, on_error, progress, None
        )

    def _embed(
        self,
        names: list[str],
        letters: list[str],
        pooling: str,
        layer: int,
        per_residue: bool,
        long: str,
        on_error: str,
        progress: bool,
        stop: _native.Stop | None,
    ) -> Embeddings | ResidueEmbeddings:
        if pooling == "per_residue":
            raise UsageError("pooling: there is no `per_residue`", "set per_residue=True")
        if per_residue and pooling != "mean":
            raise UsageError("`pooling` has no effect beside per_residue=True")
        if on_error not in ("raise", "skip"):
            raise UsageError(f"on_error: unknown choice `{on_error}` (raise or skip)")
        with Progress(progress, len(letters)) as show:
            try:
                values, starts, places, failed = self._native.embed(
                    letters,
                    pooling="per_residue" if per_residue else pooling,
                    layer=self._layer(layer),
                    long=long,
                    skip=on_error == "skip",
                    stop=stop,
                    progress=show,
                )
            except RecordError as error:
                raise error.of(names[error.index]) from None
        if failed:
            failures = [Failure(names[place], reason) for place, reason in failed]
            names = [names[place] for place in places]
        else:
            failures = []
        if per_residue:
            return ResidueEmbeddings(names, values, starts, failures)
        return Embeddings(names, values, failures)

    def _layer(self, layer: int) -> int | None:
        if layer == -1:
            return None
        layers = self.layers
        if not -layers - 1 <= layer <= layers:
            raise UsageError(f"{self.name} has layers 0 to {layers}, not {layer}")
        return layer if layer >= 0 else layers + 1 + layer

    def iter_embed(
        self,
        sequences: Sequences,
        *,
        batch_tokens: int = _BLOCK_TOKENS,
        pooling: Pooling = "mean",
        layer: int = -1,
        per_residue: bool = False,
        long: Long = "fail",
        on_error: OnError = "raise",
        progress: bool = False,
    ) -> Iterator[Embeddings | ResidueEmbeddings]:
        """The vectors of any number of sequences, in blocks of about ``batch_tokens`` tokens.

        Memory does not grow with the number of sequences: ``sequences`` may be a generator, and is
        read while earlier blocks are computed, two blocks ahead. The blocks depend on
        ``batch_tokens`` and the input only.

        >>> import sessile
        >>> model = sessile.Model("demo")
        >>> endless = ("MKV" for _ in range(1000))
        >>> sum(len(block) for block in model.iter_embed(endless, batch_tokens=500))
        1000
        """
        if batch_tokens < 1:
            raise UsageError(f"batch_tokens must be 1 or more, not {batch_tokens}")
        special = self._size("special_tokens")
        stop = _native.Stop()
        done = 0
        pending: deque[Future[Embeddings | ResidueEmbeddings]] = deque()
        with (
            Progress(progress, None) as show,
            ThreadPoolExecutor(_BLOCKS_AHEAD, "sessile block") as workers,
        ):
            try:
                blocks = _blocks(records(sequences), batch_tokens, special)
                while True:
                    for names, letters in islice(blocks, _BLOCKS_AHEAD + 1 - len(pending)):
                        settings = (pooling, layer, per_residue, long, on_error, False, stop)
                        pending.append(workers.submit(self._embed, names, letters, *settings))
                    if not pending:
                        return
                    block = pending.popleft().result()
                    done += len(block) + len(block.failures)
                    if show is not None:
                        show(done)
                    yield block
            finally:
                # Whoever breaks off waits for nothing.
                stop.set()
                for block_to_come in pending:
                    block_to_come.cancel()

    def logits(self, sequence: str) -> npt.NDArray[np.float32]:
        """Scores over the vocabulary for every token, special ones too: ``[tokens, vocabulary]``."""
        return self._native.logits(sequence)

    def contacts(self, sequence: str) -> npt.NDArray[np.float32]:
        """The probability that residues touch, for every pair: ``[residues, residues]``."""
        return self._native.contacts(sequence)

    def score(self, sequence: str, *, method: Method = "masked") -> Score:
        """How likely the model finds a sequence.

        ``masked`` hides one residue at a time, a pass for each; ``unmasked`` takes one pass.

        >>> import sessile
        >>> sessile.Model("demo").score("MKTAYIAKQR").log_probabilities.shape
        (10,)
        """
        values, log_likelihood, pseudo_perplexity = self._native.score(sequence, method)
        return Score(log_likelihood, pseudo_perplexity, values)

    def mutational_scan(
        self, sequence: str, *, method: Method = "masked", progress: bool = False
    ) -> npt.NDArray[np.float32]:
        """What every single mutation changes: ``[residues, 20]``.

        A row for each residue, a column for each of :attr:`RESIDUES`: log-probability of the
        column's residue less that of the sequence's own (Meier et al., 2021).

        >>> import sessile
        >>> scan = sessile.Model("demo").mutational_scan("MKV")
        >>> scan.shape, float(scan[1, sessile.Model.RESIDUES.index("K")])
        ((3, 20), 0.0)
        """
        total = len(sequence) if method == "masked" else 1
        with Progress(progress, total, "positions") as show:
            return self._native.mutational_scan(sequence, method, show)

    RESIDUES = _native.RESIDUES
    """The columns of :meth:`mutational_scan`."""

    def states(self, proteins: Sequences, *, progress: bool = False) -> list[States]:
        """The structure states (3Di) of proteins, in their order: of ProstT5 and ModernProst."""
        names, letters = _apart(proteins)
        with Progress(progress, len(names), "proteins") as show:
            try:
                found = self._native.states(letters, show)
            except RecordError as error:
                raise error.of(names[error.index]) from None
        return [
            States(name, three_di, probabilities, None if second is None else second[0])
            for name, (three_di, probabilities, second) in zip(names, found, strict=True)
        ]

    def summarize(self, articles: list[str], *, progress: bool = False) -> list[str]:
        """A summary of every article, in their order: of BART."""
        with Progress(progress, len(articles), "articles") as show:
            try:
                return self._native.summarize(articles, show)
            except RecordError as error:
                raise error.of(f"article {error.index}") from None

    async def aembed(self, sequences: Sequences, **settings: Any) -> Embeddings:
        """As :meth:`embed`, for asynchronous programs; cancelling the task stops the call."""
        names, letters = _apart(sequences)
        defaults: dict[str, Any] = {
            "pooling": "mean",
            "layer": -1,
            "per_residue": False,
            "long": "fail",
            "on_error": "raise",
            "progress": False,
        }
        for setting in settings:
            if setting not in defaults:
                raise TypeError(f"aembed() got an unexpected keyword argument {setting!r}")
        stop = _native.Stop()
        work = asyncio.to_thread(
            self._embed, names, letters, **(defaults | settings), stop=stop
        )
        try:
            return cast(Embeddings, await work)
        except asyncio.CancelledError:
            stop.set()
            raise

    async def aiter_embed(
        self, sequences: Sequences, **settings: Any
    ) -> AsyncIterator[Embeddings | ResidueEmbeddings]:
        """As :meth:`iter_embed`, for asynchronous programs."""
        blocks = self.iter_embed(sequences, **settings)
        try:
            while (block := await asyncio.to_thread(next, blocks, None)) is not None:
                yield block
        finally:
            blocks.close()  # type: ignore[attr-defined]

    async def ascore(self, sequence: str, *, method: Method = "masked") -> Score:
        """As :meth:`score`, for asynchronous programs."""
        return await asyncio.to_thread(self.score, sequence, method=method)

    async def amutational_scan(
        self, sequence: str, *, method: Method = "masked"
    ) -> npt.NDArray[np.float32]:
        """As :meth:`mutational_scan`, for asynchronous programs."""
        return await asyncio.to_thread(self.mutational_scan, sequence, method=method)

    async def acontacts(self, sequence: str) -> npt.NDArray[np.float32]:
        """As :meth:`contacts`, for asynchronous programs."""
        return await asyncio.to_thread(self.contacts, sequence)

    async def alogits(self, sequence: str) -> npt.NDArray[np.float32]:
        """As :meth:`logits`, for asynchronous programs."""
        return await asyncio.to_thread(self.logits, sequence)

    async def asummarize(self, articles: list[str]) -> list[str]:
        """As :meth:`summarize`, for asynchronous programs."""
        return await asyncio.to_thread(self.summarize, articles)


def _from_recipe(recipe: dict[str, Any]) -> Model:
    return Model(**recipe)


def _apart(sequences: Sequences) -> tuple[list[str], list[str]]:
    names: list[str] = []
    letters: list[str] = []
    for name, sequence in records(sequences):
        names.append(name)
        letters.append(sequence)
    return names, letters


def _blocks(
    sequences: Iterator[tuple[str, str]], batch_tokens: int, special: int
) -> Iterator[tuple[list[str], list[str]]]:
    """Names and sequences of blocks, of which only the last sequence may go beyond the tokens."""
    names: list[str] = []
    letters: list[str] = []
    tokens = 0
    for name, sequence in sequences:
        names.append(name)
        letters.append(sequence)
        tokens += len(sequence) + special
        if tokens >= batch_tokens:
            yield names, letters
            names, letters, tokens = [], [], 0
    if names:
        yield names, letters
