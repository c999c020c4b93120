"""Charts show what the tables hold, and carry the sentence of research use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from fixtures.results import curves, one_volume, row, table1, volumes
from pseudohealthy.errors import RESEARCH_USE
from pseudohealthy.report.table1.charts import distributions, identity_healthiness, validation_curves


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every figure that is saved, to be looked into."""
    figures: list[Any] = []
    save = Figure.savefig

    def collect(self: Figure, *args: Any, **more: Any) -> None:
        figures.append(self)
        save(self, *args, **more)

    monkeypatch.setattr(Figure, "savefig", collect)
    return figures


def dots(axis: Any) -> list[Any]:
    return [line.get_xdata() for line in axis.lines if line.get_marker() == "o"]


def test_a_chart_is_a_whole_png_with_the_sentence_in_and_on_it(tmp_path: Path, drawn: list[Any]) -> None:
    distributions(tmp_path / "d.png", volumes())
    identity_healthiness(tmp_path / "i.png", table1())
    validation_curves(tmp_path / "v.png", curves())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["d.png", "i.png", "v.png"]
    for file, figure in zip(("d.png", "i.png", "v.png"), drawn, strict=True):
        with Image.open(tmp_path / file) as image:
            assert image.info["Description"] == RESEARCH_USE
            assert max(image.size) < 2500
        assert figure.get_supxlabel() == RESEARCH_USE
        assert figure.get_suptitle()


def test_every_volume_of_raw_outputs_is_a_dot_averaged_over_seeds(tmp_path: Path, drawn: list[Any]) -> None:
    table = volumes()
    distributions(tmp_path / "d.png", table)
    left, right = drawn[0].axes
    names = [label.get_text() for label in left.get_yticklabels()]
    assert names[:5] == [
        "conditional GAN",
        "CycleGAN",
        "proposed (unpaired)",
        "proposed (paired), midl2019",
        "proposed (paired), media2020",
    ]
    assert not any("blend" in name or "true" in name for name in names)
    assert len(dots(left)) == len(dots(right)) == len(names)
    unpaired = table[(table["method"] == "unpaired") & (table["output"] == "raw")]
    for axis, measure in ((left, "identity"), (right, "healthiness")):
        of_measure = unpaired[unpaired["measure"] == measure].pivot_table(
            index="volume", columns="seed", values="value"
        )
        np.testing.assert_allclose(dots(axis)[2], np.sort(of_measure.mean(axis=1)))


def test_methods_stand_as_points_with_numbers_and_oracles_do_not(tmp_path: Path, drawn: list[Any]) -> None:
    values = table1()
    identity_healthiness(tmp_path / "i.png", values)
    (axis,), (legend,) = drawn[0].axes, drawn[0].legends
    shown = [each for each in values["rows"] if each["mask"] != "true"]
    assert [text.get_text() for text in axis.texts] == [str(n + 1) for n in range(len(shown))]
    names = [text.get_text() for text in legend.get_texts()]
    assert names[0] == " 1  conditional GAN"
    assert len(set(names)) == len(shown)
    found = {tuple(text.xy) for text in axis.texts}
    assert found == {(each["identity"]["mean"], each["healthiness"]["mean"]) for each in shown}
    crosses = [line for line in axis.lines if line.get_marker() == "x"]
    assert len(crosses) == 1  # the one unreliable row
    assert crosses[0].get_xdata()[0] == 0.981


def test_an_invalid_judge_is_shown_in_the_chart(tmp_path: Path, drawn: list[Any]) -> None:
    identity_healthiness(tmp_path / "i.png", {**table1(), "valid": False})
    identity_healthiness(tmp_path / "j.png", table1())
    distributions(tmp_path / "d.png", volumes(), invalid=True)
    distributions(tmp_path / "e.png", volumes())
    assert ["INVALID" in figure.get_suptitle() for figure in drawn] == [True, False, True, False]


def test_a_point_needs_both_measures_but_no_interval(tmp_path: Path, drawn: list[Any]) -> None:
    one = row("paired", identity=one_volume(0.5), healthiness=one_volume(0.25))
    rows = [one, row("copy", healthiness=None), row("blur", identity={"mean": None})]
    identity_healthiness(tmp_path / "i.png", {"valid": True, "rows": rows})
    assert [tuple(text.xy) for text in drawn[0].axes[0].texts] == [(0.5, 0.25)]


def test_curves_rise_with_images_and_chosen_checkpoints_are_starred(tmp_path: Path, drawn: list[Any]) -> None:
    table = curves()
    table["chosen"] = table["chosen"].astype(object).where(table["chosen"], None)  # not said is not chosen
    validation_curves(tmp_path / "v.png", table.sample(frac=1, random_state=0))
    assert [axis.get_ylabel() for axis in drawn[0].axes] == [
        "identity (MS-SSIM)",
        "healthiness",
        "what is chosen by",
    ]
    for axis, key in zip(drawn[0].axes, ("identity", "healthiness", "choice"), strict=True):
        lines, stars = axis.lines[::2], axis.lines[1::2]
        assert len(lines) == len(stars) == 5
        for line, star in zip(lines, stars, strict=True):
            assert (np.diff(line.get_xdata()) > 0).all()
            assert list(star.get_xdata()) == [14000]
        paired = table[table["method"] == "paired"]
        np.testing.assert_allclose(lines[-1].get_ydata(), paired[key])


def test_without_a_choice_there_is_no_third_chart(tmp_path: Path, drawn: list[Any]) -> None:
    validation_curves(tmp_path / "v.png", curves().assign(choice=np.nan))
    assert len(drawn[0].axes) == 2


def test_nothing_measured_is_an_empty_chart(tmp_path: Path) -> None:
    distributions(tmp_path / "d.png", volumes()[:0])
    identity_healthiness(tmp_path / "i.png", {})
    validation_curves(tmp_path / "v.png", curves()[:0])
    assert len(list(tmp_path.iterdir())) == 3


def test_one_volume_is_one_dot(tmp_path: Path, drawn: list[Any]) -> None:
    table = volumes()
    distributions(tmp_path / "d.png", table[table["volume"] == "V03"])
    assert {len(values) for values in dots(drawn[0].axes[0])} == {1}


def test_a_mask_may_be_missing_as_none_or_as_nan(tmp_path: Path, drawn: list[Any]) -> None:
    table = volumes()
    distributions(tmp_path / "d.png", table)
    distributions(
        tmp_path / "e.png",
        table.assign(mask=table["mask"].astype(object).where(pd.notna(table["mask"]), np.nan)),
    )
    first, second = ([text.get_text() for text in figure.axes[0].get_yticklabels()] for figure in drawn)
    assert first == second


def test_a_name_that_the_font_lacks_is_drawn_without_a_warning(tmp_path: Path) -> None:
    rows = [{**row("paired", identity=one_volume(0.5), healthiness=one_volume(0.25)), "method": "\0\u6f22"}]
    identity_healthiness(tmp_path / "i.png", {"valid": True, "rows": rows})
    assert (tmp_path / "i.png").is_file()
