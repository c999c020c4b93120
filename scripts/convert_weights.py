"""Writes the package's networks in OpenVINO's format beside their weights, for a start without torch.

    python -m scripts.convert_weights

To be run when the package gets other weights; a test compares the two.
"""

from __future__ import annotations

import sys

from pseudohealthy.synthesis.bundled_weights import bundled_weights
from pseudohealthy.synthesis.converted_networks import save_converted
from pseudohealthy.synthesis.model import Model

LETTERS = "GS"  # what `synthesize` runs


def main() -> int:
    """Convert and write."""
    folder = bundled_weights()
    model = Model.load(folder, "cpu")
    networks = {letter: model.networks[letter] for letter in LETTERS}
    for file in save_converted(folder, model.provenance["sha256"], networks, model.preprocessing.slice_shape):
        print(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
