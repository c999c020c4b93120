from __future__ import annotations

import numpy as np

from pseudohealthy.evaluation.by_volume import by_volume, rows_of

VOLUMES = np.array(["b", "a", "b", "a", "a"])


def test_slices_of_a_volume_need_not_be_neighbours() -> None:
    found = rows_of(VOLUMES)
    assert list(found) == ["b", "a"]
    assert found["b"].tolist() == [0, 2]
    assert found["a"].tolist() == [1, 3, 4]


def test_a_row_a_volume_in_order_of_first_appearance() -> None:
    values = np.array([1.0, 10.0, 2.0, 20.0, 60.0])
    table = by_volume(VOLUMES, lambda rows: {"group.mean": float(values[rows].mean())})
    assert table.index.name == "volume"
    assert table["group.mean"].to_dict() == {"b": 1.5, "a": 30.0}
    assert list(table.index) == ["b", "a"]
