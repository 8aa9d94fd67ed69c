"""Makes the sample service's model file, the same bytes for the same version and seed."""

from __future__ import annotations

import json
import random

from lab.service.app.sample_service.model import Model

CLASSES = ("factual", "counterfactual", "undecided")
FEATURES = 8
TOLERANCE = 1e-9


def build_model(version: str, seed: int = 1) -> bytes:
    """A model file whose expected answer is what its own weights give. Not trained on anything: it is the lab's."""
    numbers = random.Random(seed)
    document = {
        "version": version,
        "classes": list(CLASSES),
        "weights": [[round(numbers.uniform(-1, 1), 6) for _ in range(FEATURES)] for _ in CLASSES],
        "bias": [round(numbers.uniform(-1, 1), 6) for _ in CLASSES],
        "golden": {
            "input": [round(numbers.uniform(-1, 1), 6) for _ in range(FEATURES)],
            "expected": [0.0] * len(CLASSES),
            "tolerance": TOLERANCE,
        },
    }
    draft = Model.parse(json.dumps(document).encode())
    document["golden"] = {
        "input": list(draft.golden.input),
        "expected": list(draft.infer(draft.golden.input)),
        "tolerance": TOLERANCE,
    }
    return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"
