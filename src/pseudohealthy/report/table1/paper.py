"""The paper's own Table 1, once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Reported(NamedTuple):
    """A figure of the paper's Table 1: mean and standard deviation; a star is significance at 5 %."""

    mean: float
    std: float
    star: bool = False

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± {self.std:.2f}{'*' if self.star else ''}"


SOURCE = (
    "Xia, Chartsias, Tsaftaris: Adversarial Pseudo Healthy Synthesis Needs Pathology Factorization, "
    "MIDL 2019, Table 1"
)
DATA = "29 test volumes of BraTS 2018 and 6 of ISLES 2015"
JUDGE_DICE_LOSS: Mapping[str, float] = {"BraTS": 0.16, "ISLES": 0.12}

COLUMNS: tuple[tuple[str, str], ...] = (
    ("BraTS", "identity"),
    ("BraTS", "healthiness"),
    ("ISLES", "identity"),
    ("ISLES", "healthiness"),
)
TABLE_1: Mapping[str, tuple[Reported, ...]] = {  # figures in the order of COLUMNS
    "conditional_gan": (
        Reported(0.74, 0.05),
        Reported(0.82, 0.03),
        Reported(0.67, 0.02),
        Reported(0.86, 0.13),
    ),
    "cyclegan": (
        Reported(0.80, 0.03),
        Reported(0.83, 0.04),
        Reported(0.78, 0.02),
        Reported(0.85, 0.11),
    ),
    "unpaired": (
        Reported(0.83, 0.03),
        Reported(0.98, 0.07, star=True),
        Reported(0.82, 0.03),
        Reported(0.94, 0.11, star=True),
    ),
    "paired": (
        Reported(0.88, 0.03, star=True),
        Reported(0.99, 0.02, star=True),
        Reported(0.93, 0.02, star=True),
        Reported(0.98, 0.04, star=True),
    ),
}
