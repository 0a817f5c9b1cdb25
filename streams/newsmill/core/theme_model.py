"""Labelled articles → learned weights for the terms of the theme rules, and those weights → better decisions.

The rules find the terms; logistic regression over them (L2, trained by L-BFGS) learns what each is worth in the company
of the others, across themes. Features are hashed into a table of numbers: the model holds no text. It serves only the
very rules that it was trained on; with any other rules, and for themes it does not know, the rules alone decide.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from newsmill.core.rulebook import Rulebook

__all__ = ["Example", "Feature", "ThemeModel", "dump_model", "load_model", "rules_digest", "train_model"]

_PACKAGED = "theme_model.npz"
_BUCKETS = 1 << 15  # 2,000 terms of three themes in two zones: one bucket in seven is taken
_INVERSE_PENALTY = 3.0  # C; from 2 to 5 macro-F1 differs by 0.003, cross-fitted on the labelled halves
_HALF_SURE = 0.5  # weight of an example that its annotator was unsure of
_STEPS = 120
_MEMORY = 8

Floats = NDArray[np.float64]


class Feature(NamedTuple):
    """One input of the model. ``term`` is the index of the rule term it comes from, -1 for a total."""

    key: str
    value: float
    term: int = -1


class Example(NamedTuple):
    """One labelled article: its features, its themes, themes to leave out, and themes its annotator was unsure of."""

    features: Sequence[Feature]
    themes: frozenset[str]
    ignore: frozenset[str] = frozenset()
    unsure: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ThemeModel:
    """Learned weights by bucket, one column a theme. ``digest`` is of the rules that it was trained on."""

    themes: tuple[str, ...]
    digest: str
    bias: tuple[float, ...]
    weights: Mapping[int, tuple[float, ...]]

    def margins(self, features: Iterable[Feature], terms: int) -> tuple[list[float], list[list[float]]]:
        """For each theme its log-odds, and what each of ``terms`` rule terms added to it."""
        columns = range(len(self.themes))
        totals = list(self.bias)
        shares = [[0.0] * terms for _ in columns]
        for key, value, term in features:
            weights = self.weights.get(_bucket(key))
            if weights is None:
                continue
            for column in columns:
                gain = weights[column] * value
                totals[column] += gain
                if term >= 0:
                    shares[column][term] += gain
        return totals, shares


def _bucket(key: str) -> int:
    return int(xxhash.xxh32_intdigest(key.encode())) % _BUCKETS


def rules_digest(rulebook: Rulebook, themes: Iterable[str]) -> str:
    """A hash of the rule files that decide on these themes; a theme that has no file makes it differ from any other."""
    digest = hashlib.sha256()
    for name in ("themes.toml", *(f"themes/{theme}.toml" for theme in sorted(themes))):
        file = rulebook.files.get(name)
        digest.update(name.encode() + b"\0" + (file.text.encode() if file else b"missing") + b"\0")
    return digest.hexdigest()[:16]


def load_model(rulebook: Rulebook) -> ThemeModel | None:
    """The packaged model, or None where there is none for these very rules."""
    packed = resources.files("newsmill.core") / _PACKAGED
    if not packed.is_file():
        return None
    with np.load(io.BytesIO(packed.read_bytes()), allow_pickle=False) as arrays:
        themes = tuple(str(theme) for theme in arrays["themes"])
        digest = str(arrays["digest"])
        if digest != rules_digest(rulebook, themes):
            return None
        buckets, weights, bias = arrays["buckets"].tolist(), arrays["weights"].tolist(), arrays["bias"].tolist()
    return ThemeModel(themes, digest, tuple(bias), {b: tuple(w) for b, w in zip(buckets, weights, strict=True)})


def dump_model(model: ThemeModel) -> bytes:
    """The model as the bytes of an .npz file; the same model gives the same bytes."""
    buckets = sorted(model.weights)
    packed = io.BytesIO()
    arrays: dict[str, Any] = {
        "themes": np.array(model.themes),
        "digest": np.array(model.digest),
        "bias": np.array(model.bias, np.float64),
        "buckets": np.array(buckets, np.int32),
        "weights": np.array([model.weights[bucket] for bucket in buckets], np.float32).reshape(-1, len(model.themes)),
    }
    np.savez_compressed(packed, **arrays)
    return packed.getvalue()


def train_model(examples: Sequence[Example], themes: Sequence[str], digest: str) -> ThemeModel:
    """Train one classifier a theme. No randomness: the same examples in the same order give the same model."""
    themes = tuple(sorted(themes))
    used = sorted({_bucket(feature.key) for example in examples for feature in example.features})
    column_of = {bucket: column for column, bucket in enumerate(used)}
    rows, columns, values = [], [], []
    for row, example in enumerate(examples):
        for key, value, _ in example.features:
            rows.append(row)
            columns.append(column_of[_bucket(key)])
            values.append(value)
    matrix = _Matrix(np.array(rows), np.array(columns), np.array(values), len(examples), len(used))
    learned = []
    for theme in themes:
        wanted = np.array([1.0 if theme in example.themes else 0.0 for example in examples])
        sure = np.array([_sureness(example, theme) for example in examples])
        learned.append(_fit(matrix, wanted, sure))
    rounded = [np.round(weights, 4) for weights in learned]
    return ThemeModel(
        themes,
        digest,
        tuple(float(weights[-1]) for weights in rounded),
        {
            bucket: tuple(float(weights[column]) for weights in rounded)
            for bucket, column in column_of.items()
            if any(weights[column] for weights in rounded)
        },
    )


def _sureness(example: Example, theme: str) -> float:
    if theme in example.ignore:
        return 0.0
    return _HALF_SURE if theme in example.unsure else 1.0


class _Matrix(NamedTuple):
    """A sparse matrix as coordinates: values[i] at (rows[i], columns[i])."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    values: Floats
    height: int
    width: int

    def times(self, vector: Floats) -> Floats:
        return np.bincount(self.rows, self.values * vector[self.columns], self.height).astype(np.float64)

    def transposed_times(self, vector: Floats) -> Floats:
        return np.bincount(self.columns, self.values * vector[self.rows], self.width).astype(np.float64)


def _loss(matrix: _Matrix, wanted: Floats, sure: Floats, weights: Floats) -> tuple[float, Floats]:
    """L2-penalised log loss and its gradient; the last weight is the bias, which is not penalised."""
    margin = matrix.times(weights[:-1]) + weights[-1]
    loss = float(np.sum(sure * (np.logaddexp(0.0, margin) - wanted * margin)))
    error = sure * (1 / (1 + np.exp(-np.clip(margin, -500, 500))) - wanted)
    gradient = np.append(_INVERSE_PENALTY * matrix.transposed_times(error) + weights[:-1], 0.0)
    gradient[-1] = _INVERSE_PENALTY * float(np.sum(error))
    return _INVERSE_PENALTY * loss + 0.5 * float(weights[:-1] @ weights[:-1]), gradient


def _fit(matrix: _Matrix, wanted: Floats, sure: Floats) -> Floats:
    """L-BFGS (Nocedal and Wright, Numerical Optimization, algorithm 7.4) with a halving line search."""
    weights = np.zeros(matrix.width + 1)
    loss, gradient = _loss(matrix, wanted, sure, weights)
    moves: list[tuple[Floats, Floats, float]] = []
    for _ in range(_STEPS):
        direction = _direction(gradient, moves)
        slope = float(gradient @ direction)
        size = 1.0 if moves else 1.0 / max(1.0, float(np.linalg.norm(gradient)))
        while True:
            candidate = weights + size * direction
            new_loss, new_gradient = _loss(matrix, wanted, sure, candidate)
            if new_loss <= loss + 1e-4 * size * slope or size < 1e-10:
                break
            size *= 0.5
        step, change = candidate - weights, new_gradient - gradient
        curvature = float(step @ change)
        improved = loss - new_loss
        weights, loss, gradient = candidate, new_loss, new_gradient
        if curvature > 1e-12:
            moves = [*moves[-_MEMORY + 1 :], (step, change, 1.0 / curvature)]
        if improved < 1e-7 * max(1.0, abs(loss)):
            break
    return weights


def _direction(gradient: Floats, moves: Sequence[tuple[Floats, Floats, float]]) -> Floats:
    direction = -gradient
    parts = []
    for step, change, inverse in reversed(moves):
        part = inverse * float(step @ direction)
        direction = direction - part * change
        parts.append(part)
    if moves:
        step, change, inverse = moves[-1]
        direction = direction / (inverse * float(change @ change))
    for (step, change, inverse), part in zip(moves, reversed(parts), strict=True):
        direction = direction + (part - inverse * float(change @ direction)) * step
    return direction
