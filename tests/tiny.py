"""A method small enough to train in a test."""

from __future__ import annotations

from pseudohealthy.config import MethodName, Settings, settings

TINY = {
    "networks": {"width": 4, "segmentor_width": 4, "discriminator_width": 4},
    "training": {"images": 16, "batch_size": 2, "checkpoint_every": 4, "panel_every": 8, "pool": 3},
}


def tiny(method: MethodName = "paired", *overrides: str) -> Settings:
    """The default preset at width 4: with augmentation, pool and a falling learning rate."""
    return settings(method, "default", TINY, overrides)
