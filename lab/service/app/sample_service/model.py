"""The model: a linear classifier in a JSON file that carries its own golden example.

The file holds ``version``, ``classes`` (names), ``weights`` (one row a class), ``bias`` (one number a class) and
``golden`` (``input``, the ``expected`` probabilities, the ``tolerance`` allowed between the two).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


class ModelError(Exception):
    """The model file cannot be used, or an input does not fit it."""


@dataclass(frozen=True)
class Golden:
    """An input whose answer is known."""

    input: tuple[float, ...]
    expected: tuple[float, ...]
    tolerance: float


@dataclass(frozen=True)
class Model:
    """A model that is loaded and has the right shape; whether it answers rightly is ``check_golden``'s to say."""

    version: str
    sha256: str
    classes: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]
    golden: Golden

    @classmethod
    def parse(cls, data: bytes) -> Model:
        """A model from the bytes of its file; ModelError says what is wrong with them."""
        try:
            document = json.loads(data)
            golden = document["golden"]
            model = cls(
                version=str(document["version"]),
                sha256=hashlib.sha256(data).hexdigest(),
                classes=tuple(str(name) for name in document["classes"]),
                weights=tuple(_numbers(row) for row in document["weights"]),
                bias=_numbers(document["bias"]),
                golden=Golden(_numbers(golden["input"]), _numbers(golden["expected"]), float(golden["tolerance"])),
            )
        except (ValueError, TypeError, KeyError) as error:
            raise ModelError(f"Failed to read the model: {type(error).__name__}: {error}") from error
        model._check_shape()
        return model

    def infer(self, values: Sequence[float]) -> tuple[float, ...]:
        """The probability of each class; ModelError when the input has another length than the model."""
        if len(values) != len(self.weights[0]):
            raise ModelError(f"an input has {len(self.weights[0])} numbers, not {len(values)}")
        scores = [
            sum(weight * value for weight, value in zip(row, values, strict=True)) + offset
            for row, offset in zip(self.weights, self.bias, strict=True)
        ]
        return _softmax(scores)

    def check_golden(self) -> float:
        """The largest difference between the golden answer and the expected one; ModelError above the tolerance."""
        actual = self.infer(self.golden.input)
        difference = max(abs(a - e) for a, e in zip(actual, self.golden.expected, strict=True))
        if not difference <= self.golden.tolerance:
            raise ModelError(f"golden inference is off by {difference:.6g}, tolerance {self.golden.tolerance:.6g}")
        return difference

    def _check_shape(self) -> None:
        size = len(self.classes)
        if size == 0 or len(self.weights) != size or len(self.bias) != size or len(self.golden.expected) != size:
            raise ModelError("Failed to read the model: classes, weights, bias and expected differ in length")
        if {len(row) for row in self.weights} != {len(self.golden.input)}:
            raise ModelError("Failed to read the model: a row of weights differs in length from the golden input")


def _numbers(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _softmax(scores: Sequence[float]) -> tuple[float, ...]:
    highest = max(scores)
    powers = [math.exp(score - highest) for score in scores]
    total = sum(powers)
    return tuple(power / total for power in powers)
