"""Which figure stands in which row and column of which table."""

from __future__ import annotations

from typing import Any

import pytest

from fixtures.results import measure, one_volume, row, table1, trained
from pseudohealthy.report.table1.model import Table, main_table, parts, provenance


def by_title(values: dict[str, Any]) -> dict[str, Table]:
    return {table.title: table for table in parts(values)}


def column(table: Table, head: str) -> dict[str, str]:
    place = list(table.heads).index(head)
    return {cells[0]: cells[place] for cells in table.rows}


def test_every_line_of_every_table_has_a_cell_for_each_head() -> None:
    for table in [*parts(table1()), *(table for table in provenance(table1()) if table.title != "Steps")]:
        assert table.rows
        assert {len(cells) for cells in table.rows} == {len(table.heads)}
        assert not table.groups or len(table.groups) == len(table.heads)


def test_table_1_has_the_methods_in_the_papers_order_and_nothing_else() -> None:
    names = [cells[:4] for cells in main_table(table1()).rows]
    assert names == [
        ["conditional GAN", "midl2019", "0", "16000"],
        ["CycleGAN", "midl2019", "0", "16000"],
        ["proposed (unpaired)", "midl2019", "0", "16000"],
        ["proposed (unpaired)", "midl2019", "1", "16000"],
        ["proposed (paired)", "midl2019", "0", "16000"],
        ["proposed (paired)", "media2020", "0", "16000"],
        ["semi-supervised", "midl2019", "0", "16000"],
    ]


def test_the_papers_figures_stand_in_columns_of_their_own() -> None:
    table = main_table(table1())
    paired = table.rows[4]
    cells = {
        name: [paired[at] for at, group in enumerate(table.groups) if group == name] for name in table.groups
    }
    assert cells["the paper's, BraTS"] == ["0.88 ± 0.03*", "0.99 ± 0.02*"]
    assert cells["the paper's, ISLES"] == ["0.93 ± 0.02*", "0.98 ± 0.04*"]
    assert cells["ours"] == [
        "0.912 ± 0.031* [0.893, 0.928]",
        "0.964 ± 0.057* [0.930, 0.993]",
        "0.953",
        "0.920",
        "0.942",
        "0.931",
        "0.907",
        "0.876",
        "0.937 ± 0.031* [0.918, 0.953]",
        "0.654 [0.600, 0.700]",
    ]
    assert table.rows[-1][-4:] == ["–"] * 4  # the paper has no semi-supervised method
    assert [name for name, _ in table.spans()] == ["", "ours", "the paper's, BraTS", "the paper's, ISLES"]
    assert sum(width for _, width in table.spans()) == len(table.heads)


def test_controls_and_oracles_stand_apart() -> None:
    tables = by_title(table1())
    controls, oracles = (
        {cells[0] for cells in tables[title].rows} for title in ("Blends and controls", "Oracles")
    )
    assert oracles == {"fill, true mask", "mirror, true mask"}
    assert {
        "copy",
        "fill, segmentor's mask",
        "proposed (paired), midl2019, blend with segmentor's mask",
    } <= controls
    assert not any("true" in name for name in controls)


def test_all_that_rests_on_the_judges_is_marked_in_an_unreliable_row_and_nothing_else() -> None:
    controls = by_title(table1())["Blends and controls"]
    marked = {
        cells[0]: [head for head, cell in zip(controls.heads, cells, strict=True) if "†" in cell]
        for cells in controls.rows
    }
    assert marked.pop("fill, segmentor's mask") == [
        head for head in controls.heads[2:] if "texture" not in head
    ]
    assert not any(marked.values())


def test_a_star_stands_only_where_it_is_given() -> None:
    assert by_title(table1())["Statistics"].rows == [
        ["proposed (unpaired), seed 0", "identity", "–", "–", "–", "0.046*"],
        ["proposed (unpaired), seed 0", "healthiness", "–", "–", "–", "0.2"],
        ["proposed (paired), midl2019", "identity", "–", "–", "–", "0.0012*"],
        ["proposed (paired), midl2019", "healthiness", "–", "–", "–", "0.031*"],
        ["proposed (paired), midl2019", "balance", "–", "–", "–", "0.004*"],
    ]


def test_comparisons_are_shown_whole_where_they_are_recorded() -> None:
    test = {"p": 0.001, "p_holm": 0.004, "star": True, "baseline": "cyclegan", "n": 12}
    table = by_title({**table1(), "statistics": {"paired": {"identity": test}}})["Statistics"]
    assert table.rows == [["proposed (paired)", "identity", "CycleGAN", "12", "0.001", "0.004*"]]


def test_the_statistics_table_says_which_tests_were_made() -> None:
    test = {"p": 0.5, "p_holm": 0.5, "star": False, "baseline": "cyclegan", "n": 3}
    values = {"statistics": {"paired": {"identity": test}}, "baselines": ["cyclegan"]}
    table = by_title({**table1(), **values, "not_tested": ["healthiness: unreliable"]})["Statistics"]
    for words in (
        "CycleGAN, the only baseline",
        "a single test",
        "healthiness: unreliable",
        "With 3 volumes no star",
    ):
        assert words in table.note
    facts = provenance({**values, "not_tested": ["healthiness: unreliable"]})[-1]
    assert not facts.rows  # shown there, not among the facts


def test_what_stays_in_the_old_place_is_a_share() -> None:
    values = {"rows": [trained("paired") | {"mask_control": {"leak_at_original_site": measure(0.25)}}]}
    table = by_title(values)["Does the reconstructor follow its mask?"]
    assert column(table, "share left at the old place by a moved mask ↓")["proposed (paired)"] != "–"


def test_every_judge_is_described_or_at_least_the_first() -> None:
    (only,) = by_title(table1())["Judges"].rows
    assert only == ["f_pre", "0.812", "0.789", "0.048"]
    judges = {"first": {"dice_pooled": 0.8, "held_out": False}, "threshold_rule": {"dice_pooled": 0.5}}
    table = by_title({**table1(), "judges": judges})["Judges"]
    assert list(table.heads) == ["judge", "dice pooled", "held out"]
    assert table.rows == [["first", "0.800", "no"], ["threshold_rule", "0.500", "–"]]


def test_secondary_measures_stand_by_theme_without_empty_rows_or_columns() -> None:
    tables = by_title(table1())
    mask = tables["Does the reconstructor follow its mask?"]
    assert list(mask.heads) == [
        "row",
        "cycle L1 ↓",
        "lesion's place after the cycle, Dice ↑",
        "lesion left by an empty mask ↓",
        "lesion at a moved mask, Dice ↑",
    ]
    assert len(mask.rows) == 5
    assert mask.rows[0][1] == "0.021 ± 0.031 [0.002, 0.037]"
    assert not any(
        "through-plane" in head for head in tables["Outside the lesion, and what is left of it"].heads
    )
    assert "Against a truth: phantoms" not in tables
    found = tables["Segmentation, detection and anomaly"]
    assert column(found, "lesions by mm² <50 rate")["semi-supervised"] == "0.250"
    assert column(found, "Dice of the segmentor ↑")["CycleGAN"] == "–"


def test_a_measure_nobody_foresaw_is_shown_and_a_setting_is_not() -> None:
    values = {
        "rows": [
            trained("paired", sharpness=measure(0.5), new={"deep": measure(0.25)}, settings={"width": 8})
        ]
    }
    other = by_title(values)["Other measures"]
    assert list(other.heads) == ["row", "sharpness", "new deep"]


def test_each_judge_has_its_column() -> None:
    table = by_title(table1())["Healthiness by each judge of the panel"]
    assert column(table, "seed 1")["CycleGAN"] == "0.833"
    assert column(table, "threshold")["CycleGAN"] == "0.823"


def test_of_one_volume_no_spread_is_shown() -> None:
    values = {"rows": [row("paired", identity=one_volume(0.75), healthiness=one_volume(0.5))]}
    assert main_table(values).rows[0][4:6] == ["0.750", "0.500"]


@pytest.mark.parametrize(
    "key",
    ["identity", "healthiness", "balance", "texture", "cycle", "truth_transplant", "star", "p_holm", "seed"],
)
@pytest.mark.parametrize("kind", ["absent", "null"])
def test_any_key_may_be_missing(key: str, kind: str) -> None:
    values = table1()
    for each in values["rows"]:
        each.pop(key, None)
        if kind == "null":
            each[key] = None
    table = main_table(values)
    assert len(table.rows) == 7
    if key == "identity":
        assert {cells[4] for cells in table.rows} == {"–"}
    if key in ("balance", "texture"):
        (place,) = (at for at, head in enumerate(table.heads) if head.startswith(key))
        assert {cells[place] for cells in table.rows} == {"–"}


def test_nothing_at_all_is_an_empty_table_1() -> None:
    assert [(table.title, table.rows) for table in parts({})] == [("Table 1", [])]
    assert [table.rows for table in provenance({})] == [[], [], []]


def test_provenance_is_shown_with_what_each_training_took() -> None:
    steps = [{"kind": "train", "seconds": 12.5}, {"kind": "measure", "commit": "abc"}]
    training, done, facts = provenance({**table1(), "steps": steps})
    assert list(done.heads) == ["kind", "seconds", "commit"]
    assert done.rows == [["train", "12.5", "–"], ["measure", "–", "abc"]]
    assert training.rows[0] == ["conditional GAN", "midl2019", "0", "16000", "32", "NVIDIA H200", "1.250"]
    assert ["versions.torch", "2.13.0"] in facts.rows
