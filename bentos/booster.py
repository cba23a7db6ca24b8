"""A LightGBM model through its C library, without importing the `lightgbm` package.

The package pulls scipy, sklearn and pandas: 126 thousand objects that every full garbage
collection walks (0.2 to 0.3 s of pause) and 0.2 GB. The library does the same arithmetic: the
answers equal `Booster.predict` bit for bit (tests/bentos/test_booster.py).

A damaged text ABORTS the process inside the library, so a text is loaded only after its SHA-256
was compared with the manifest's (bundle.py) and its trees are whole (model_text.py).
"""

from __future__ import annotations

import ctypes
import importlib.util
import weakref
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bentos.decision import CLASSES
from bentos.model_text import TextDamaged, check_model_text
from bentos.windows import Floats

N_CLASSES = len(CLASSES)
FLOAT64 = 1  # C_API_DTYPE_FLOAT64
ROW_MAJOR = 1
NORMAL = 0  # C_API_PREDICT_NORMAL: probabilities
PARAMETERS = b"num_threads=1"
NAME_CHARACTERS_MAX = 256


class BoosterRefused(ValueError):
    """The library refused a model, or the model is not what the manifest says."""


@cache
def _library() -> ctypes.CDLL:
    found = importlib.util.find_spec("lightgbm")  # finds it, imports nothing
    if found is None or not found.submodule_search_locations:
        raise BoosterRefused("LightGBM is not installed: add the `serving` extra")
    path = Path(found.submodule_search_locations[0]) / "lib" / "lib_lightgbm.so"
    try:
        library = ctypes.CDLL(str(path))
    except OSError as fault:
        raise BoosterRefused(f"{fault}; on Debian: apt-get install libgomp1") from fault
    library.LGBM_GetLastError.restype = ctypes.c_char_p
    return library


def _call(status: int) -> None:
    if status != 0:
        raise BoosterRefused(_library().LGBM_GetLastError().decode(errors="replace"))


class Booster:
    """One model in memory; freed when nothing refers to it any more.

    Parameters
    ----------
    text : bytes
        LightGBM's own text format, whole: its hash was checked.
    features : tuple of str
        The names, in the model's order.

    Raises
    ------
    BoosterRefused
        If the text is damaged, the library refuses it, or features or classes differ.
    """

    def __init__(self, text: bytes, features: tuple[str, ...]) -> None:
        try:
            check_model_text(text)
        except TextDamaged as fault:
            raise BoosterRefused(f"model.txt: {fault}") from fault
        library = _library()
        self.features = features
        self.handle = ctypes.c_void_p()
        trees = ctypes.c_int()
        _call(
            library.LGBM_BoosterLoadModelFromString(
                text, ctypes.byref(trees), ctypes.byref(self.handle)
            )
        )
        weakref.finalize(self, library.LGBM_BoosterFree, self.handle)
        self._check(library)

    def _check(self, library: ctypes.CDLL) -> None:
        number = ctypes.c_int()
        _call(library.LGBM_BoosterGetNumClasses(self.handle, ctypes.byref(number)))
        if number.value != N_CLASSES:
            raise BoosterRefused(f"{number.value} classes; expected {N_CLASSES}: {CLASSES}")
        _call(library.LGBM_BoosterGetNumFeature(self.handle, ctypes.byref(number)))
        if number.value != len(self.features):
            raise BoosterRefused(
                f"{number.value} features; the manifest names {len(self.features)}"
            )
        names = _feature_names(library, self.handle, number.value)
        plain = tuple(f"Column_{i}" for i in range(number.value))
        if names not in (self.features, plain):
            wrong = next(i for i, n in enumerate(names) if n != self.features[i])
            raise BoosterRefused(
                f"feature {wrong} is {names[wrong]}; the manifest says {self.features[wrong]}"
            )

    def scorer(self) -> Scorer:
        """Return a scorer with buffers of its own: one a thread."""
        return Scorer(self)

    def probabilities(self, rows: Floats) -> Floats:
        """Score many rows in one call.

        Parameters
        ----------
        rows : float64 array of shape (n_rows, n_features), NaN where unknown

        Returns
        -------
        float64 array of shape (n_rows, n_classes)
        """
        # Addresses, as `data_as` makes a cycle a call: some 50,000 of them, and the collector
        # stops the service for 33 ms.
        x = np.ascontiguousarray(rows, dtype=np.float64)
        out = np.empty((x.shape[0], N_CLASSES))
        length = ctypes.c_int64()
        _call(
            _library().LGBM_BoosterPredictForMat(
                self.handle,
                ctypes.c_void_p(x.ctypes.data),
                FLOAT64,
                ctypes.c_int32(x.shape[0]),
                ctypes.c_int32(x.shape[1]),
                ROW_MAJOR,
                NORMAL,
                0,
                -1,
                PARAMETERS,
                ctypes.byref(length),
                ctypes.c_void_p(out.ctypes.data),
            )
        )
        return out


class Scorer:
    """Scores one row at a time through the library's fast path; not to be shared by threads."""

    def __init__(self, booster: Booster) -> None:
        library = _library()
        self._booster = booster  # keeps the model alive
        self._config = ctypes.c_void_p()
        _call(
            library.LGBM_BoosterPredictForMatSingleRowFastInit(
                booster.handle,
                NORMAL,
                0,
                -1,
                FLOAT64,
                ctypes.c_int32(len(booster.features)),
                PARAMETERS,
                ctypes.byref(self._config),
            )
        )
        # The handle goes along so that the model outlives the configuration made from it.
        weakref.finalize(self, _free_config, self._config, booster)
        self._row = np.empty(len(booster.features))
        self._out = np.empty(N_CLASSES)
        self._length = ctypes.c_int64()
        self._arguments: tuple[Any, ...] = (
            self._config,
            self._row.ctypes.data_as(ctypes.c_void_p),
            ctypes.byref(self._length),
            self._out.ctypes.data_as(ctypes.POINTER(ctypes.c_double)),
        )
        self._predict = library.LGBM_BoosterPredictForMatSingleRowFast

    def probabilities(self, row: Floats) -> tuple[float, float, float]:
        """Return flat, long and short probability of one row.

        Parameters
        ----------
        row : float64 array of shape (n_features,), NaN where unknown
        """
        self._row[:] = row
        _call(self._predict(*self._arguments))
        flat, long, short = self._out.tolist()
        return flat, long, short


def _free_config(config: ctypes.c_void_p, _alive: Booster) -> None:
    _library().LGBM_FastConfigFree(config)


def _feature_names(library: ctypes.CDLL, handle: ctypes.c_void_p, n: int) -> tuple[str, ...]:
    buffers = [ctypes.create_string_buffer(NAME_CHARACTERS_MAX) for _ in range(n)]
    texts = (ctypes.c_char_p * n)(*[ctypes.cast(b, ctypes.c_char_p) for b in buffers])
    count, longest = ctypes.c_int(), ctypes.c_size_t()
    _call(
        library.LGBM_BoosterGetFeatureNames(
            handle,
            ctypes.c_int(n),
            ctypes.byref(count),
            ctypes.c_size_t(NAME_CHARACTERS_MAX),
            ctypes.byref(longest),
            texts,
        )
    )
    return tuple(b.value.decode(errors="replace") for b in buffers)
