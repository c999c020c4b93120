"""The table of methods says what their code does."""

from __future__ import annotations

import subprocess
import sys
from pkgutil import resolve_name
from typing import get_args

import pytest

from fixtures.models import tiny
from pseudohealthy.catalogue.methods import (
    BASELINES,
    CONTROLS,
    ENTRIES,
    METHODS,
    SYNTHESIS,
    TESTED_METHODS,
    MethodName,
    is_control,
    method_name,
    method_order,
)
from pseudohealthy.catalogue.rows import CONTROLS as CONTROL_ROWS
from pseudohealthy.methods.base import Method
from pseudohealthy.methods.factory import build


def test_every_method_that_can_be_named_has_a_row_and_no_other() -> None:
    assert list(METHODS) == list(get_args(MethodName))


@pytest.mark.parametrize("name", get_args(MethodName))
def test_a_row_tells_the_networks_of_its_code(name: MethodName) -> None:
    method, entry = build(tiny(name)), METHODS[name]
    assert issubclass(resolve_name(entry.code), Method)
    assert type(method) is resolve_name(entry.code)
    assert sorted(method.generators) == sorted(entry.networks)


def test_every_control_of_table_1_has_a_row_and_no_other() -> None:
    assert list(CONTROLS) == list(dict.fromkeys(sorted((name for name, _ in CONTROL_ROWS), key=method_order)))
    assert {"inpainter", *CONTROLS} <= {name for name in ENTRIES if is_control(name)}
    assert not is_control("paired")
    assert not is_control("a_new_one")


def test_methods_are_chosen_by_what_they_are() -> None:
    assert SYNTHESIS[:5] == ("conditional_gan", "cyclegan", "unpaired", "paired", "semi_supervised")
    assert not {"inpainter", "judge"} & set(SYNTHESIS)
    assert BASELINES[:2] == ("conditional_gan", "cyclegan")
    assert TESTED_METHODS[:2] == ("unpaired", "paired")


def test_methods_stand_in_order_and_unknown_ones_last() -> None:
    assert sorted(["a_new_one", "copy", "inpainter", "semi_supervised", "paired"], key=method_order) == [
        *("paired", "semi_supervised", "inpainter", "copy", "a_new_one")
    ]
    assert method_name("a_new_one") == "a new one"
    assert method_name("threshold_fill") == "threshold-fill"


def test_a_label_or_a_point_in_a_chart_is_of_one_method() -> None:
    assert len({entry.label for entry in ENTRIES.values()}) == len(ENTRIES)
    shown = [entry for name, entry in ENTRIES.items() if name != "judge"]
    assert len({(entry.colour, entry.marker) for entry in shown}) == len(shown)


def test_the_catalogue_needs_no_torch() -> None:
    code = (
        "import sys, pseudohealthy.catalogue.methods, pseudohealthy.catalogue.measures, "
        "pseudohealthy.catalogue.rows; sys.exit(bool({'torch', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
