from __future__ import annotations

import pytest

from pseudohealthy.data.layouts.groups import groups_of, taken_for
from pseudohealthy.errors import InputError


def words(*given: str | None) -> dict[str, str | None]:
    """Subjects 0, 1, ... with these words."""
    return {str(number): word for number, word in enumerate(given)}


@pytest.mark.parametrize(
    "control",
    [
        *("control", "Control", "CONTROLS", "HC", "hc", "CN", "CTRL", "CTL", "NC", "HV", "Con"),
        *("healthy", "Healthy", "normal", "healthy_control", "Healthy Control", "healthy-controls"),
        *(
            "healthy volunteer",
            "normal control",
            "cognitively normal",
            "matched control",
            "Kontrolle",
            "témoin",
        ),
    ],
)
@pytest.mark.parametrize("patient", ["patient", "Patient", "stroke", "MS", "AD", "GBM", "site-B cohort"])
def test_known_words_for_controls_and_all_others_for_patients(control: str, patient: str) -> None:
    assert groups_of(words(patient, control, None)) == {"0": "patient", "1": "control", "2": "patient"}


@pytest.mark.parametrize(
    "other", ["unhealthy", "non-control", "abnormal", "not normal", "HCC", "stroke control arm"]
)
def test_no_patient_is_taken_for_a_control_by_a_part_of_a_word(other: str) -> None:
    assert groups_of(words(other, "HC")) == {"0": "patient", "1": "control"}


def test_patients_alone_are_patients() -> None:
    assert set(groups_of(words("stroke", "acute stroke", "TIA")).values()) == {"patient"}
    assert groups_of({}) == {}


@pytest.mark.parametrize(
    "given",
    [
        *(
            ("0", "1"),
            ("1", "2", "control"),
            ("A", "B"),
            ("yes", "no"),
            ("gamma", "delta"),
            ("True", "False"),
        ),
        *(("stroke", "non-stroke"), ("MS", "no MS"), ("lesion", "without lesion")),
    ],
)
def test_words_that_say_nothing_are_asked_about(given: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as error:
        groups_of(words(*given, given[0]))
    result = str(error.value)
    assert f"group holds {given[0]} (2), {given[1]} (1)" in result
    assert "--controls" in result
    assert "\n" not in result


@pytest.mark.parametrize(
    ("given", "controls"),
    [(("1", "0"), ["0"]), (("gamma", "delta"), ["Delta"]), (("HC", "my_ref"), ["my ref"])],
)
def test_words_for_controls_may_be_given(given: tuple[str, str], controls: list[str]) -> None:
    assert groups_of(words(*given), controls) == {"0": "patient", "1": "control"}


def test_what_was_taken_for_what() -> None:
    given = words("stroke", "HC", "Stroke", None, "hc", "HC")
    assert taken_for(given, groups_of(given)) == "stroke = patient (2), HC = control (3), n/a = patient (1)"
