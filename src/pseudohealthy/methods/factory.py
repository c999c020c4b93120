"""The class of each method, by its name."""

from __future__ import annotations

from pkgutil import resolve_name

from pseudohealthy.catalogue.methods import METHODS
from pseudohealthy.config import Settings
from pseudohealthy.methods.base import Method


def build(settings: Settings) -> Method:
    """The method that `settings` name, with fresh weights drawn from torch's global generator."""
    entry = METHODS[settings.method]
    of_its_own = {} if entry.supervision is None else {"supervision": entry.supervision}
    method: Method = resolve_name(entry.code)(settings.networks, settings.losses, **of_its_own)
    return method
