"""The cohort's table: what the reports say, and which images are outliers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fixtures.cohorts import touch
from pseudohealthy.bids_app.group import COLUMNS, robust_z, write_group
from pseudohealthy.bids_app.records import InputFingerprint, Record, outputs_of
from pseudohealthy.bids_app.selection import select
from pseudohealthy.errors import InputError
from pseudohealthy.synthesis.lesion_caveat import NOT_MEASURED

CAVEAT = "these weights mark <healthy> tissue"
LESIONS = [1.0, 2.0, 3.0, 4.0, 5.0, 100.0]


def made(raw: Path, out: Path, number: int, name: str = "", **report: object) -> str:
    """A subject with an image, its record and its run report."""
    label = f"sub-{number}"
    name = name or f"{label}/anat/{label}_FLAIR.nii.gz"
    touch(raw, name)
    files = outputs_of(name, blend=False)
    touch(out, *files.values())
    (out / files["report"]).write_text(json.dumps(report))
    made_from = InputFingerprint(input="i", weights="w", blend=False)
    Record(subject=label, image=name, status="done", made_from=made_from, files=files).write(out)
    return name


@pytest.fixture
def study(tmp_path: Path) -> tuple[Path, Path]:
    raw, out = tmp_path / "study", tmp_path / "out"
    for number, lesion in enumerate(LESIONS, 1):
        scores = {"mean": 0.01 * number, "p99": 0.1}
        warnings = ["another\ncontrast"] if number == 2 else []
        sizes = {"lesion_ml": lesion, "brain_ml": 1000.0}
        made(raw, out, number, "", **sizes, lesion_caveat=CAVEAT, anomaly=scores, warnings=warnings)
    return raw, out


def test_robust_z_by_hand() -> None:
    z = robust_z(pd.Series(LESIONS))  # median 3.5; deviations .5 .5 1.5 1.5 2.5 96.5; MAD 1.5
    np.testing.assert_allclose(z, (np.array(LESIONS) - 3.5) / (1.4826 * 1.5))


def test_robust_z_where_most_are_equal_or_few_are_known() -> None:
    z = robust_z(pd.Series([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 10.0]))
    np.testing.assert_allclose(z, [0.0] * 9 + [10 / (1.2533 * 1.0)])
    assert (robust_z(pd.Series([2.0] * 6)) == 0).all()
    assert robust_z(pd.Series([1.0, 2.0, 3.0, 100.0])).isna().all()
    some = robust_z(pd.Series([1.0, np.nan, 2.0, 3.0, 4.0, 5.0]))
    assert some.isna().tolist() == [False, True, False, False, False, False]


def test_the_table_says_what_the_reports_say(study: tuple[Path, Path]) -> None:
    raw, out = study
    files = write_group(raw, out, select(raw))
    table = pd.read_csv(files["table"], sep="\t", na_values="n/a")
    assert list(table.columns) == list(COLUMNS) == list(json.loads(files["columns"].read_text()))
    assert table["lesion_ml"].tolist() == LESIONS
    assert set(table["lesion_caveat"]) == {CAVEAT}
    assert files["page"].read_text().count("Lesion volumes: these weights mark &lt;healthy&gt; tissue.") == 1
    assert table["lesion_percent"].tolist() == [lesion / 10 for lesion in LESIONS]
    assert table["anomaly_mean"].tolist() == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.05, 0.06])
    assert table["outlier"].tolist()[5] == "lesion_ml"
    assert table["outlier"].isna().tolist() == [True] * 5 + [False]
    assert table["warnings"].tolist()[1] == "another contrast"


def test_a_report_that_tells_less_leaves_gaps(tmp_path: Path) -> None:
    raw, out = tmp_path / "study", tmp_path / "out"
    made(raw, out, 1, lesion_ml=0.0)
    files = write_group(raw, out, select(raw))
    row = files["table"].read_text().splitlines()[1].split("\t")
    assert row[3:12] == ["0.0", "n/a", "n/a", NOT_MEASURED, "n/a", "n/a", "n/a", "n/a", "n/a"]
    assert "95 %" not in files["page"].read_text()
    assert "No outliers and no warnings" in files["page"].read_text()


def test_intervals_of_lesion_volumes_are_in_the_table_and_on_the_page(study: tuple[Path, Path]) -> None:
    raw, out = study
    made(raw, out, 7, lesion_ml=3.0, uncertainty={"lesion_ml_95": [1.25, 8.5]})
    made(raw, out, 8, lesion_ml=3.0, uncertainty={"lesion_ml_95": "much"})
    files = write_group(raw, out, select(raw))
    table = pd.read_csv(files["table"], sep="\t", na_values="n/a").set_index("participant_id")
    assert (table["lesion_ml_95_low"]["sub-7"], table["lesion_ml_95_high"]["sub-7"]) == (1.25, 8.5)
    assert table["lesion_ml_95_low"].notna().sum() == table["lesion_ml_95_high"].notna().sum() == 1
    page = files["page"].read_text()
    assert "95 % from" in page
    assert "8.5" in page


def test_who_is_not_processed_is_on_the_page(study: tuple[Path, Path]) -> None:
    raw, out = study
    touch(raw, "sub-7/anat/sub-7_FLAIR.nii.gz", "sub-8/anat/sub-8_T1w.nii.gz")
    Record(subject="sub-8", image=None, status="no_image", reason="no FLAIR <image>").write(out)
    (out / outputs_of("sub-3/anat/sub-3_FLAIR.nii.gz", blend=False)["panel"]).unlink()
    files = write_group(raw, out, select(raw))
    assert len(pd.read_csv(files["table"], sep="\t")) == 5
    page = files["page"].read_text()
    assert "<b>sub-7/anat/sub-7_FLAIR.nii.gz</b>: not tried yet" in page
    assert "<b>sub-8</b>: no FLAIR &lt;image&gt;" in page
    assert "<b>sub-3/anat/sub-3_FLAIR.nii.gz</b>: its files are no longer all there" in page
    assert 'href="sub-1/anat/sub-1_desc-pseudohealthy_report.html"' in page


def test_a_damaged_report_is_named(study: tuple[Path, Path]) -> None:
    raw, out = study
    (out / "sub-2/anat/sub-2_desc-pseudohealthy_report.json").write_text("{")
    with pytest.raises(
        InputError, match=r"sub-2_desc-pseudohealthy_report.json: cannot be read as a run report"
    ):
        write_group(raw, out, select(raw))
    (out / "sub-2/anat/sub-2_desc-pseudohealthy_report.json").write_text('{"warnings": [null]}')
    with pytest.raises(InputError, match=r"report.json: warnings are no list of texts; remove it and run"):
        write_group(raw, out, select(raw))


def test_images_of_one_name_have_rows_of_their_own(tmp_path: Path) -> None:
    raw, out = tmp_path / "study", tmp_path / "out"
    names = [f"sub-1/{folder}anat/sub-1_FLAIR.nii.gz" for folder in ("", "ses-1/", "ses-2/")]
    for lesion, name in enumerate(names, 1):
        made(raw, out, 1, name, lesion_ml=float(lesion))
    files = write_group(raw, out, select(raw))
    table = pd.read_csv(files["table"], sep="\t", na_values="n/a").set_index("image")
    assert table["lesion_ml"].to_dict() == dict(zip(names, [1.0, 2.0, 3.0], strict=True))
    page = files["page"].read_text()
    for name in names:
        assert f'href="{outputs_of(name, blend=False)["page"]}"' in page


def test_a_name_that_is_not_ascii_is_linked_as_its_bytes(tmp_path: Path) -> None:
    raw, out = tmp_path / "study", tmp_path / "out"
    made(raw, out, 1, "sub-1/anat/sub-1_acq-é_FLAIR.nii.gz", lesion_ml=1.0)
    page = write_group(raw, out, select(raw))["page"].read_text(encoding="utf-8")
    assert 'href="sub-1/anat/sub-1_acq-%C3%A9_desc-pseudohealthy_report.html"' in page


def test_nobody_processed_is_refused(tmp_path: Path) -> None:
    raw = touch(tmp_path / "study", "sub-1/anat/sub-1_FLAIR.nii.gz")
    with pytest.raises(InputError, match="none of 1 subjects is processed there"):
        write_group(raw, tmp_path / "out", select(raw))
    assert not (tmp_path / "out").exists()
