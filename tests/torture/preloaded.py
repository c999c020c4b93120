"""Imports all that the programs import, for the process whose forks run them."""

from __future__ import annotations

import importlib
import pkgutil

import torch

import pseudohealthy

ALSO = ("matplotlib.backends.backend_agg", "scipy.stats", "PIL.PngImagePlugin", "jinja2", "rich.progress")

torch.set_num_threads(1)
for name in (
    *(module.name for module in pkgutil.walk_packages(pseudohealthy.__path__, "pseudohealthy.")),
    *ALSO,
):
    if not name.endswith("__main__"):
        importlib.import_module(name)
