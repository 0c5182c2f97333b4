"""How far a call is, where somebody looks."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any


class Bar:
    """A progress bar on standard error: tqdm's if it is there, else a line that counts."""

    def __init__(self, total: int | None, unit: str) -> None:
        self._total = total
        self._unit = unit
        self._begun = time.monotonic()
        self._before = 0
        self._bar: Any = None
        try:
            from tqdm.auto import tqdm
        except ImportError:
            return
        self._bar = tqdm(total=total, unit=f" {unit}", dynamic_ncols=True)

    def show(self, done: int) -> None:
        """``done`` of the total are finished."""
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
            return
        of = "" if self._total is None else f" of {self._total:,}"
        rate = done / max(time.monotonic() - self._begun, 1e-9)
        sys.stderr.write(f"\r{done:,}{of} {self._unit}, {rate:,.0f} a second")
        sys.stderr.flush()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        else:
            sys.stderr.write("\n")


class Progress:
    """``with Progress(wanted, total, unit) as show``: ``show`` is ``None`` unless it is wanted."""

    def __init__(self, wanted: bool, total: int | None, unit: str = "sequences") -> None:
        self._bar = Bar(total, unit) if wanted else None

    def __enter__(self) -> Callable[[int], object] | None:
        return None if self._bar is None else self._bar.show

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


def download(name: str) -> Callable[[str, int, int | None], object]:
    """Shows the files of a model that is fetched."""
    bars: dict[str, Any] = {}

    def show(file: str, done: int, total: int | None) -> None:
        if done == total and file not in bars:
            return
        bar = bars.setdefault(file, Bar(total, f"bytes of {name}/{file}"))
        bar.show(done)
        if done == total:
            bars.pop(file).close()

    return show
