"""The extension module: what the typed layer beside it is made of."""

from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from typing import Any, TypedDict, final

import numpy as np
import numpy.typing as npt

__all__ = [
    "RESIDUES",
    "VERSION",
    "Model",
    "Records",
    "Stop",
    "command",
    "entropy",
    "mutual_information",
    "orfs",
    "read_fasta",
    "viral",
]

RESIDUES: str
VERSION: str

_Progress = Callable[[int], object]

class _Generation(TypedDict):
    num_beams: int | None
    length_penalty: float | None
    min_length: int | None
    max_length: int | None
    no_repeat_ngram_size: int | None
    do_sample: bool | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    seed: int | None

@final
class Stop:
    def __new__(cls) -> Stop: ...
    def set(self) -> None: ...
    def is_set(self) -> bool: ...

@final
class Model:
    def __new__(
        cls,
        name: str,
        *,
        devices: str,
        dtype: str,
        threads: int | None,
        instances: int | None,
        token_budget: int | None,
        max_tokens: int | None,
        memory_reserve: int,
        head: str | PathLike[str] | None,
        generation: _Generation | None,
        progress: Callable[[str, int, int | None], object] | None,
    ) -> Model: ...
    def info(self) -> dict[str, Any]: ...
    def embed(
        self,
        sequences: Sequence[str],
        *,
        pooling: str,
        layer: int | None,
        long: str,
        skip: bool,
        stop: Stop | None,
        progress: _Progress | None,
    ) -> tuple[
        npt.NDArray[np.float32],
        npt.NDArray[np.int64],
        npt.NDArray[np.int64],
        list[tuple[int, str]],
    ]: ...
    def logits(self, sequence: str) -> npt.NDArray[np.float32]: ...
    def contacts(self, sequence: str) -> npt.NDArray[np.float32]: ...
    def score(
        self, sequence: str, method: str
    ) -> tuple[npt.NDArray[np.float32], float, float]: ...
    def mutational_scan(
        self, sequence: str, method: str, progress: _Progress | None
    ) -> npt.NDArray[np.float32]: ...
    def states(
        self, proteins: Sequence[str], progress: _Progress | None
    ) -> list[
        tuple[str, npt.NDArray[np.float32], tuple[str, npt.NDArray[np.float32]] | None]
    ]: ...
    def summarize(
        self, articles: Sequence[str], progress: _Progress | None
    ) -> list[str]: ...

@final
class Records:
    def __iter__(self) -> Iterator[tuple[str, str, str]]: ...
    def __next__(self) -> tuple[str, str, str]: ...

def command(arguments: Sequence[str]) -> int: ...
def entropy(sequence: str) -> float: ...
def mutual_information(first: str, second: str) -> float: ...
def orfs(sequence: str, table: int, min_length: int) -> list[tuple[int, int, int, str, str]]: ...
def read_fasta(paths: Sequence[str | PathLike[str]]) -> Records: ...
def viral(
    inputs: Sequence[str | PathLike[str]],
    output: str | PathLike[str],
    classifier: str | PathLike[str],
    dnabert: str,
    esm: str,
    chunk: int,
    esm_layer: int | None,
    force: bool,
    devices: str,
    dtype: str,
    progress: _Progress | None,
) -> tuple[int, int, int, int, int]: ...
