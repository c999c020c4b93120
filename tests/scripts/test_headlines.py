"""The short table and the goals say what the results file says."""

from __future__ import annotations

from typing import Any

from pseudohealthy.catalogue.measures import TESTED
from scripts.headlines import finding, goals, headlines, paper_form

CONTROLS = "proposed (paired): balance, ahead of every control without the true mask"


def measure(mean: float) -> dict[str, float]:
    return {"mean": mean, "std": 0.01, "low": mean - 0.01, "high": mean + 0.01}


def row(method: str, identity: float, panel: float, **more: Any) -> dict[str, Any]:
    healthiness = {
        **measure(panel),
        **{"pooled": panel, "panel_mean": panel, "panel_worst": panel - 0.1, "held_out": panel},
        **{"insertion_recall": 0.7, "unreliable": False},
    }
    inside = {"psnr": measure(20.0), "ssim": measure(0.5)}
    return {
        **{"method": method, "preset": "default", "output": "raw", "mask": None, "seed": 0},
        **{"identity": measure(identity), "healthiness": healthiness, "checkerboard": measure(1.05)},
        **{"truth_transplant": {"inside": inside}, "reseg_excess_auroc": measure(0.04)},
        **{"healthy_in": {"ms_ssim": measure(0.99)}, "segmentor_dice": {**measure(0.8), "pooled": 0.9}},
        **{"balance": measure(0.8), "texture": {"median": 0.4, "low": 0.3, "high": 0.5, "slices": 9}},
        **{"star": {"identity": True, "healthiness": False, "balance": True}},
        **more,
    }


def results() -> dict[str, Any]:
    unreliable = row("cyclegan", 0.9, 0.5)
    unreliable["healthiness"]["unreliable"] = True
    fill = row("fill", 1.0, 0.4, mask="segmentor", preset=None, seed=None)
    fill["truth_transplant"] = {"inside": {"psnr": measure(18.0), "ssim": measure(0.6)}}
    oracle = row("fill", 1.0, 0.4, mask="true", preset=None, seed=None)
    blend = row("paired", 1.0, 0.1, output="blend")
    oracle["truth_transplant"] = {"inside": {"psnr": measure(30.0), "ssim": measure(0.9)}}
    fill["balance"], oracle["balance"] = measure(0.7), measure(0.99)
    rows = [unreliable, blend, row("paired", 0.981, 0.95), fill, oracle]
    judge = {"dice_pooled": 0.9, "insertion_recall": 0.8, "h_copy": -0.16}
    return {"experiment": "lgg", "rows": rows, "judge": judge, "valid": True}


def lines(text: str) -> dict[str, list[str]]:
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line
    ]
    return {line[0]: line[1:] for line in cells[2:]}


def test_the_short_table_has_raw_outputs_and_controls_and_no_oracles() -> None:
    found = lines(headlines(results()))
    assert set(found) == {"CycleGAN", "proposed (paired)", "fill, segmentor's mask"}
    assert found["proposed (paired)"][:4] == [r"0.981 ± 0.010\*", "0.950", "0.950", "0.850"]
    assert found["proposed (paired)"][5:7] == [r"0.800 ± 0.010\*", "0.400"]
    assert found["CycleGAN"][1] == r"0.500†"
    assert found["CycleGAN"][5:7] == [r"0.800 ± 0.010\*†", "0.400"]
    assert found["fill, segmentor's mask"][-1] == "18.0"


def test_real_healthy_slices_are_the_last_row_where_they_were_judged() -> None:
    assert "real healthy" not in headlines(results()).lower()
    judged = {"pooled": 0.3, "panel_mean": 0.5, "panel_worst": 0.25, "held_out": 0.6}
    shown = headlines({**results(), "healthy_slices": judged})
    assert lines(shown)["real healthy slices"][:5] == ["–", "0.300", "0.500", "0.250", "0.600"]
    assert "beyond what its judge can tell" in shown
    assert set(lines(shown)["real healthy slices"][5:]) == {"–"}
    texture = {"median": 1.01, "low": 0.9, "high": 1.1}
    shown = headlines({**results(), "healthy_slices": judged, "texture_of_healthy_slices": texture})
    assert lines(shown)["real healthy slices"][5:8] == ["–", "1.010", "–"]


def test_files_from_before_balance_and_texture_are_shown_without_them() -> None:
    old = results()
    for each in old["rows"]:
        del each["balance"], each["texture"], each["star"]["balance"]
    assert lines(headlines(old))["proposed (paired)"][5:7] == ["–", "–"]
    found = lines(goals(old))
    assert found["proposed (paired): texture"] == ["≥ 0.700, ≤ 1.300", "–", "not measured"]
    assert found["proposed (paired): balance"][1:] == ["–", "not measured"]
    assert found[CONTROLS] == ["–", "–", "not measured"]


def test_a_judge_not_to_be_believed_is_shown_first() -> None:
    assert "INVALID" not in headlines(results())
    shown = headlines({**results(), "valid": False, "invalid_reason": "it marks everything"})
    assert shown.startswith("**INVALID: it marks everything.")


def test_a_goal_is_met_or_missed_by_what_is_said() -> None:
    found = lines(goals(results()))
    assert found["the judge: Dice, pooled"] == ["≥ 0.820", "0.900", "–"]
    assert found["the judge: h(copy), without its sign"] == ["≤ 0.150", "0.160", "0.010"]
    assert found["the judge: h(real healthy)"] == ["≥ 0.970", "–", "not measured"]
    assert found["proposed (paired): identity"] == ["≥ 0.985", "0.981", "0.0040"]
    assert found["proposed (paired): healthiness, panel mean"] == ["≥ 0.985", "0.950", "0.035"]
    assert found["proposed (paired): texture"] == ["≥ 0.700, ≤ 1.300", "0.400", "0.300"]
    assert found["proposed (paired): Dice of the segmentor"] == ["≥ 0.800", "0.900", "–"]
    assert found["proposed (paired): re-segmentability above coordinates"] == ["≤ 0.050", "0.040", "–"]
    assert found["proposed (paired): balance"] == ["ahead of both baselines, at 5 %", "yes", "–"]
    assert found[CONTROLS] == ["≥ 0.700", "0.800", "–"]  # the oracle's 0.99 is of no account
    psnr, ssim = (
        f"proposed (paired): {name} inside transplanted lesions, {ahead} constant, mirror, fill and inpainter"
        for name, ahead in (("PSNR", "ahead by 1 dB of"), ("SSIM", "ahead of"))
    )
    assert found[psnr] == ["≥ 19.0", "20.0", "–"]
    assert found[ssim] == ["≥ 0.600", "0.500", "0.100"]
    assert not any("unpaired" in name for name in found)


def test_too_much_texture_misses_the_goal_as_well() -> None:
    loud = results()
    loud["rows"][2]["texture"]["median"] = 1.5
    assert lines(goals(loud))["proposed (paired): texture"] == ["≥ 0.700, ≤ 1.300", "1.500", "0.200"]


def test_each_cohort_has_its_goals_and_an_unknown_one_none() -> None:
    found = lines(goals({**results(), "experiment": "soop"}))
    assert found["the judge: Dice, pooled"] == ["≥ 0.650", "0.900", "–"]
    assert found["proposed (paired): identity"] == ["≥ 0.980", "0.981", "–"]
    assert found["proposed (paired): healthiness, panel mean"] == ["≥ 0.970", "0.950", "0.020"]
    unpaired = {**results(), "rows": [row("unpaired", 0.95, 0.93)]}
    for name, identity, healthiness in (("lgg", "0.970", "0.970"), ("soop", "0.960", "0.920")):
        found = lines(goals({**unpaired, "experiment": name}))
        assert found["proposed (unpaired): identity"][0] == f"≥ {identity}"
        assert found["proposed (unpaired): healthiness, panel mean"][0] == f"≥ {healthiness}"
        assert not any("texture" in each or "transplants" in each for each in found)
    assert goals({**results(), "experiment": "phantom"}) == ""


def test_what_was_not_measured_is_said() -> None:
    bare = results()
    del bare["rows"][2]["reseg_excess_auroc"]
    found = lines(goals(bare))
    assert found["proposed (paired): re-segmentability above coordinates"] == ["≤ 0.050", "–", "not measured"]


def test_the_finding_says_what_the_tests_say() -> None:
    star, none = {"star": True}, {"star": False}
    statistics = {"unpaired": {"identity": star, "healthiness": none}, "paired": {"identity": star}}
    said = finding({"statistics": statistics, "valid": True})
    better = (
        "Proposed (unpaired) and proposed (paired) are better than the better baseline in identity, at 5 %."
    )
    assert said == f"{better} No proposed method is better in healthiness."
    alone = finding({"statistics": {"paired": {"balance": star}}, "valid": True})
    assert alone == "Proposed (paired) is better than the better baseline in balance, at 5 %."
    in_all = finding({"statistics": {"paired": dict.fromkeys(TESTED, star)}, "valid": True})
    assert in_all.endswith(
        " is better than the better baseline in identity, healthiness and balance, at 5 %."
    )
    assert finding({"valid": False, "invalid_reason": "it marks everything"}).startswith("INVALID")


def test_the_finding_says_what_limits_it() -> None:
    said = finding({**results(), "healthy_slices": {"panel_mean": 0.9}})
    assert "Nothing can be said of the healthiness of CycleGAN." in said
    assert "they find more in real healthy slices than in proposed (paired)." in said
    assert "real healthy" not in finding({**results(), "healthy_slices": {"panel_mean": 0.96}})


def test_the_paper_s_form_has_its_four_methods_two_measures_a_cohort_and_its_own_figures() -> None:
    limited = {**results(), "healthy_slices": {"pooled": 0.594}}
    text = paper_form({"glioma": results(), "stroke": limited})
    cells = lines(text)
    assert list(cells) == ["conditional GAN", "CycleGAN", "proposed (unpaired)", "proposed (paired)"]
    assert cells["proposed (paired)"][:4] == [r"0.98 ± 0.01\*", "0.95 ± 0.01"] * 2
    assert cells["proposed (paired)"][4:] == [
        *(r"0.88 ± 0.03\*", r"0.99 ± 0.02\*", r"0.93 ± 0.02\*", r"0.98 ± 0.04\*")
    ]
    assert cells["CycleGAN"][1] == "0.50 ± 0.01†"
    assert cells["proposed (unpaired)"][:4] == ["–"] * 4, "not trained here"
    assert "**stroke: INVALID: the judge's h(real healthy) is 0.594, under 0.95.**" in text
    assert "INVALID" not in paper_form({"glioma": results()})
