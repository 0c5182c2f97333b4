"""The models of this process: one of each recipe."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

from . import _native
from ._errors import UsageError
from ._progress import download

#: The models of this process, by what they were made with.
_models: weakref.WeakValueDictionary[str, _native.Model] = weakref.WeakValueDictionary()
_loading = threading.Lock()

_GENERATION = (
    "num_beams",
    "length_penalty",
    "min_length",
    "max_length",
    "no_repeat_ngram_size",
    "do_sample",
    "temperature",
    "top_k",
    "top_p",
    "seed",
)


def resident(recipe: dict[str, Any], progress: bool) -> _native.Model:
    """The model of a recipe, loaded unless it is there."""
    key = f"{os.getpid()} {recipe!r}"
    arguments = dict(recipe)
    if recipe["generation"] is not None:
        for setting in recipe["generation"]:
            if setting not in _GENERATION:
                known = ", ".join(_GENERATION)
                raise UsageError(f"generation: unknown setting `{setting}` ({known})")
        chosen = {setting: recipe["generation"].get(setting) for setting in _GENERATION}
        arguments["generation"] = chosen
    # Two threads that ask for one model wait for one load.
    with _loading:
        model = _models.get(key)
        if model is None:
            show = download(recipe["name"]) if progress else None
            model = _native.Model(**arguments, progress=show)
            _models[key] = model
        return model
