"""`docs/performance.md` from the measurements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pseudohealthy.errors import RESEARCH_USE

NOTES = Path(__file__).with_name("notes.md")
NETWORK, AROUND, STEP, STEP_CUDA, FLAT = 0.8, 0.25, 0.7, 0.35, 1.2
COLD = {"cold_help": 0.3, "cold_single_slice": 1.5}  # seconds
MEMORY, UNCERTAINTY = 1000.0, 3.0  # MB; times a plain run
FRACTIONS_OF = {
    "train_step_": "Training steps",
    "tried_": "Tried for the paired step, in fp32, and not shipped",
    "G_": "Slices: G",
    "S_": "Slices: S",
}
GROWTH = ("memory_over_smallest", "prepare_over_smallest", "step_over_smallest", "synthesis_over_smallest")
FRACTIONS = ("fraction_of_peak", "fraction_of_bf16_peak", "vs_eager_fp32", "seconds")
PEAKS = {"bf16_peak": "bf16 peak", "peak": "highest peak"}
NOTHING, ELSEWHERE = "–", "†"
INTRODUCTION = (
    "Written by `make bench` and `make bench-long` from what they measured (`results/performance.json`). A "
    "fraction or a ratio is to something measured beside it in the same process, just before and after: "
    "matrix products in fp32 and in bf16, of which the faster is the peak, or the same work in PyTorch's "
    "eager fp32. Median (lowest to highest) of the repeats. The operations of a fraction are the paper's own,"
    " counted by formula (`benchmarks/formulas.py`): work saved counts as speed, wasted work does not. Growth"
    " and scaling are of whole processes, one after the other; growth was measured once. Seconds are this "
    "machine's and say little about another."
)

Row = Mapping[str, Any]


def page(result: Mapping[str, Any]) -> str:
    """The page in Markdown: the machine, each measurement with its spread, goals, and what was tried."""
    peaks, machine = result["peak_gflops"], machine_words(result)
    rows = {row["name"]: _marked(row, machine) for row in result["rows"]}
    parts = [
        "# Performance",
        f"> {RESEARCH_USE}",
        INTRODUCTION,
        f"Machine: {machine}. Matrix products: fp32 {peaks['fp32']:.0f} GFLOP/s, bf16 "
        f"{peaks['bf16']:.3g} GFLOP/s, of which the higher is the peak; copies in memory "
        f"{result['copy_gb_per_s']:.0f} GB/s. {_commits(rows.values())}{_elsewhere(rows.values())}",
        "## Goals",
        table(("goal", "target", "measured", "met"), list(goals(rows, result["device"]))),
    ]
    for start, title in FRACTIONS_OF.items():
        chosen = [row for name, row in rows.items() if name.startswith(start)]
        if chosen:
            parts += [f"## {title}", _fractions(chosen)]
        if start == "train_step_" and (shares := result.get("paired_step_shares")):
            words = ", ".join(f"{part} {100 * share:.0f} %" for part, share in shares.items())
            parts.append(f"Where the time of a paired step goes: {words}.")
    if volumes := [row for name, row in rows.items() if name.startswith("volume_")]:
        parts += ["## Whole volumes, NIfTI to NIfTI", _volumes(volumes)]
    rows = {**rows, **_tables_on_two_cores(rows)}
    for title, start, heads, keys in OTHERS:
        if chosen := [row for name, row in rows.items() if name.startswith(start)]:
            body = [[row["name"], *(_text(row.get(key)) for key in keys)] for row in chosen]
            parts += [f"## {title}", table(("", *heads), body)]
    if NOTES.is_file():
        parts.append(NOTES.read_text(encoding="utf-8").strip())
    return "\n\n".join(parts) + "\n"


def _tables_on_two_cores(rows: Mapping[str, Row]) -> dict[str, Row]:
    """Whole tables with their hours on two cores: trainings, of one core each, two at once or one by one."""
    gains: dict[str, Row] = {}
    for name, row in rows.items():
        if name.startswith("table1_") and "trainings_at_once" in rows:
            gain = rows["trainings_at_once"]["times_as_fast"]["median"]
            at_once = sum(row["hours"].get(kind, 0) for kind in ("judge", "train")) / 2
            others = row["all_hours"] - 2 * at_once
            gains[name] = {**row, "before": gain * at_once + others, "after": at_once + others}
    return gains


OTHERS: Sequence[tuple[str, str, Sequence[str], Sequence[str]]] = (
    (
        "A volume with its uncertainty, NIfTI to NIfTI",
        "uncertainty_",
        ("times as long as without",),
        ("over_plain",),
    ),
    (
        "Convolutions alone, by OpenVINO's clocks: a roofline of the networks, not in 8-bit integers",
        "convolutions_",
        ("at most, of the peak: convolutions alone", "of the peak: all", "where the time goes"),
        ("convolutions_of_peak", "network_of_peak", "shares"),
    ),
    (
        "A paired training step's convolutions alone, by PyTorch's kernels: a roofline of the step in fp32",
        "kernels_",
        ("at most, of the peak", "of the bf16 peak", "all contiguous, over the fastest layout of each"),
        ("kernels_of_peak", "kernels_of_bf16_peak", "contiguous_over_fastest"),
    ),
    (
        "A paired step with memory kept from one step to the next",
        "memory_",
        ("times as fast as without",),
        ("times_as_fast",),
    ),
    (
        "A paired step of twice the batch, in fp32",
        "twice_",
        ("times as fast as two steps", "of the peak"),
        ("vs_eager_fp32", "fraction_of_peak"),
    ),
    ("Waiting for data", "waiting_", ("drawing a batch over a paired step",), ("over_step",)),
    (
        "Time to quality: paired, in the same time with and without a warm-up, on phantoms",
        "balance_",
        ("minutes until a validation balance", "the best checkpoint", "the judge", "minutes of training"),
        ("minutes_until_balance", "best", "judge", "training_minutes"),
    ),
    (
        "First start",
        "cold_",
        ("seconds", "times `import torch`", "most memory, MB"),
        ("seconds", "over_import_of_torch", "memory_mb"),
    ),
    (
        "Growth",
        "growth_",
        (
            "peak memory, MB",
            "over the smallest",
            "preparing a volume, over the smallest",
            "a step, over the smallest",
            "processing a volume, over the smallest",
            "volumes processed",
        ),
        ("memory_mb", *GROWTH, "processed"),
    ),
    (
        "This version beside 0.2.0: whole commands, by turns",
        "earlier_",
        ("times as fast", "its memory over that of before", "seconds before", "seconds now"),
        ("times_as_fast", "memory_over_before", "seconds_before", "seconds_now"),
    ),
    ("Two training processes", "torchrun_", ("times as fast as one",), ("times_as_fast",)),
    (
        "Two trainings at once, the cores shared",
        "trainings_at_once",
        ("times as fast as one after the other",),
        ("times_as_fast",),
    ),
    ("Volumes at once", "volumes_at_once", ("times as fast as one after the other",), ("times_as_fast",)),
    (
        "A training whose threads wait asleep, alone and beside another program that keeps a core busy",
        "asleep_",
        ("times as fast as with threads that spin",),
        ("times_as_fast",),
    ),
    (
        "Whole tables",
        "table1_",
        (
            "hours of all steps, each training on one core",
            "on two cores, before: trainings one after the other, at the ratio above",
            "after: two trainings at once",
            "by kind of step",
        ),
        ("all_hours", "before", "after", "hours"),
    ),
)


def machine_words(result: Mapping[str, Any]) -> str:
    """A machine's kind, its vector instructions where they were kept, its device, and its PyTorch."""
    words = [result[key] for key in ("machine", "processor", "device") if key in result]
    return "; ".join([*words, f"PyTorch {result['torch']}"] if "torch" in result else words)


def _commits(rows: Iterable[Row]) -> str:
    """Parts are measured by themselves, perhaps at several commits."""
    made = {str(row["commit"]) for row in rows if "commit" in row}
    of = sorted(commit[:9] + "-dirty" * commit.endswith("-dirty") for commit in made)
    return f"Commits of the rows: {', '.join(of)}." if of else ""


def _marked(row: Row, machine: str) -> Row:
    """The row, its name with a sign where it was measured elsewhere."""
    return row if row.get("machine", machine) == machine else {**row, "name": f"{row['name']} {ELSEWHERE}"}


def _elsewhere(rows: Iterable[Row]) -> str:
    """What that sign means, where it stands."""
    others = sorted(
        {f"{row['machine']}, on {row['date']}" for row in rows if row["name"].endswith(ELSEWHERE)}
    )
    return f" {ELSEWHERE} Not of this machine and PyTorch: {' and '.join(others)}." if others else ""


def goals(rows: Mapping[str, Row], device: str) -> Iterator[list[str]]:
    """Goal, target, what was measured, whether it is met; rows not measured are left out."""
    targets: list[tuple[str, str, Any, float, bool]] = []
    for key, row in rows.items():
        name = row["name"]
        if key.startswith("volume_"):
            for peak in ("bf16_peak", "peak") if row["backend"]["precision"] != "int8" else ():
                fraction = row[f"network_fraction_of_{peak}"]["median"]
                targets.append((name, f"networks, fraction of the {PEAKS[peak]}", fraction, NETWORK, True))
            around = sum(row[f"{part}_over_network"]["median"] for part in ("overhead", "report"))
            targets.append((name, "everything around the networks, over them", around, AROUND, False))
        elif key.startswith("train_step_paired"):
            goal = STEP if device == "cpu" else STEP_CUDA
            for peak in ("bf16_peak", "peak"):
                fraction = row[f"fraction_of_{peak}"]["median"]
                targets.append((name, f"fraction of the {PEAKS[peak]}", fraction, goal, True))
        elif key in COLD:
            targets.append((name, "seconds", row["seconds"]["median"], COLD[key], False))
        elif key == "cold_volume":
            targets.append((name, "most memory, MB", row["memory_mb"]["median"], MEMORY, False))
        elif key.startswith("uncertainty_"):
            targets.append(
                (name, "times as long as without", row["over_plain"]["median"], UNCERTAINTY, False)
            )
        elif key.startswith("growth_"):
            for figure in GROWTH:
                targets.append((name, figure.replace("_", " "), row[figure], FLAT, False))
    for name, words, measured, goal, least in targets:
        met = measured >= goal if least else measured <= goal
        sign = "≥" if least else "≤"
        yield [
            f"{name}: {words}",
            f"{sign} {goal:g}",
            f"{measured:.3g}",
            "yes" if met else f"missed by {abs(goal - measured):.2g}",
        ]


def _fractions(rows: Iterable[Row]) -> str:
    heads = ("", "GFLOP", "of the peak", "of the bf16 peak", "times as fast as eager fp32", "seconds", "how")
    body = []
    for row in rows:
        how = [str(row[key]) for key in ("precision", "version") if key in row]
        if "first_step_seconds" in row:
            how.append(f"the first step took {row['first_step_seconds']:.0f} s")
        if "differs_by" in row:
            how.append(f"differs by {row['differs_by']:.1g}")
        body.append(
            [row["name"], f"{row['gflop']:.1f}", *(_text(row[key]) for key in FRACTIONS), ", ".join(how)]
        )
    return table(heads, body)


def _volumes(rows: Iterable[Row]) -> str:
    heads = (
        "",
        "networks, of the peak",
        "of the bf16 peak",
        "times as fast as eager fp32",
        "reading, geometry, writing over networks",
        "panel and page over networks",
        "all of that over the networks in eager fp32",
        "seconds",
        "how",
    )
    keys = (
        "network_fraction_of_peak",
        "network_fraction_of_bf16_peak",
        "vs_eager_fp32",
        "overhead_over_network",
        "report_over_network",
        "around_over_eager_network",
        "seconds",
    )
    body = []
    for row in rows:
        backend, slices = row["backend"], row["slices"]
        how = (
            f"{backend['name']} {backend['precision']}; {slices['processed']} of {slices['all']} slices hold "
            f"enough brain; around the networks: {_text(row['overhead_shares'])}; "
            f"loading took {row['loading_seconds']} s, the first run {row['converting_seconds']} s more"
        )
        body.append([row["name"], *(_text(row.get(key)) for key in keys), how])
    return table(heads, body)


def _text(value: Any) -> str:
    if isinstance(value, Mapping) and "median" in value:
        return f"{value['median']:.3g} ({value['lowest']:.3g} to {value['highest']:.3g})"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items())
    return NOTHING if value is None else f"{value:.3g}"


def table(heads: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [heads, ["---", *[":---:"] * (len(heads) - 1)], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
