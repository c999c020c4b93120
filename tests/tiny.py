"""A method small enough to train in a test."""

from __future__ import annotations

from pseudohealthy.config import MethodName, PresetName, Settings, settings

TINY = {
    "networks": {"width": 4, "segmentor_width": 4, "discriminator_width": 4},
    "training": {
        "images": 16,
        "batch_size": 2,
        "checkpoint_every": 4,
        "preview_every": 8,
        "fake_pool_size": 3,
    },
}


def tiny(method: MethodName = "paired", *overrides: str, preset: PresetName = "default") -> Settings:
    """A preset at width 4; the default one has augmentation and painted lesions."""
    return settings(method, preset, TINY, overrides)
