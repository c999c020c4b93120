"""The rows of measurements."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.yardstick import DTYPES, LONG, SMALLEST, Machine, Product, row, spread


def test_a_spread_has_the_middle_and_both_ends() -> None:
    assert spread([3, 1, 2]) == {"median": 2, "lowest": 1, "highest": 3}


def test_work_is_compared_with_what_runs_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, done = Machine.of("cpu", quick=True), []
    seconds = {"fp32": 1.0, "bf16": 4.0, "work": 2.0, "other": 6.0}

    def named(name: str) -> Callable[[], object]:
        return lambda: done.append(name)

    def timed(_: Machine, work: Callable[[], object]) -> float:
        work()
        return seconds[done[-1]]

    monkeypatch.setattr(Machine, "timed", timed)
    products = {name: Product(named(name), 100) for name in ("fp32", "bf16")}
    monkeypatch.setattr(Machine, "products", lambda _: products)
    measured = row("x", machine, named("work"), flops=50, against=named("other"))
    assert done == ["fp32", "bf16", "work", "fp32", "bf16", "other"] * (machine.repeats + 1)
    assert measured["fraction_of_peak"] == {"median": 0.25, "lowest": 0.25, "highest": 0.25}
    assert measured["fraction_of_bf16_peak"]["median"] == 1
    assert measured["vs_eager_fp32"]["median"] == 3


def test_products_are_of_the_type_they_are_named_after() -> None:
    made = {name: product.work() for name, product in Machine.of("cpu", quick=True).products().items()}
    assert {name: getattr(product, "dtype", None) for name, product in made.items()} == DTYPES


def test_a_product_that_would_take_long_is_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine.of("cpu")
    monkeypatch.setattr(Machine, "timed", lambda *_: LONG / 20)
    assert {product.flops for product in machine.products().values()} == {2.0 * machine.side**3}
    monkeypatch.setattr(Machine, "timed", lambda *_: LONG / 8)
    assert {product.flops for product in machine.products().values()} == {2.0 * SMALLEST**3}
