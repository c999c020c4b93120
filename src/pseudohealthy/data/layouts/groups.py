"""Which of a data set's own words stand for healthy controls, and which for patients."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from pseudohealthy.data.layouts.base import Group
from pseudohealthy.errors import InputError

CONTROLS = re.compile(
    r"controls?|cntrl|ctrls?|ctls?|cont|con|hcs?|hvs?|cn|nci?|healthy|normals?|unaffected|volunteers?"
    r"|(healthy|normal|cognitively normal|unaffected|(age )?matched)( control)?"
    r" (controls?|volunteers?|subjects?|participants?|persons?|people|individuals?|adults?|elderly|group)"
    r"|cognitively normal|control (subjects?|participants?|persons?|group)"
    r"|kontroll\w*|gesunde?|t[eé]moins?|sains?|sanos?|contr[oô]les?|controll[oi]"
)
PATIENTS = re.compile(  # with other words around it, as in `acute stroke`
    r"\b(patient(s|en)?|pats?|pts?|cases?|diseased?|pathological|abnormal|affected|sick|lesions?|strokes?|tia"
    r"|infarct\w*|isch?aemi[ac]|ischemi[ac]|ha?emorrh\w+|ms|rrms|spms|ppms|cis|ris|nmo|nmosd|mogad|tumou?rs?"
    r"|gliomas?|glioblastomas?|gbm|hgg|lgg|meningiomas?|metastas[ei]s|ad|mci|dementia|epilepsy|fcd|tbi|c?svd"
    r"|cadasil|pd|hd|als|schizophrenia)\b"
)
NEGATED = re.compile(r"(no|non|not|without)\b")  # as in `non-stroke`, of patients or of controls
# What stands for yes and no, or for anything: a person has to say which is which
CODE = re.compile(r"[+-]?\d+([.,]\d+)?|[^\W\d_]|yes|no|true|false|none|pos|neg|positive|negative")


def plain(word: str) -> str:
    """A word for comparison: without case, with one space for what joins its parts."""
    return re.sub(r"[\s_\-./]+", " ", word).strip().casefold()


def groups_of(words: Mapping[str, str | None], controls: Sequence[str] = ()) -> dict[str, Group]:
    """The group by subject.

    Args:
        words: each subject's own word; None where it has none, which makes it a patient.
        controls: the words for controls; none: those that are known. All other words are patients'.

    Raises:
        InputError: no word is known, or one is a number, a letter or a yes or no, or says what its subjects
            do not have where no word is known to be that of controls.
    """
    counts = Counter(word for word in words.values() if word)
    if not controls and not _understood({plain(word) for word in counts}):
        counted = ", ".join(f"{word} ({count})" for word, count in counts.items())
        raise InputError(
            f"group holds {counted}; which are controls cannot be told: name them with --controls WORD,WORD "
            "(controls: [WORD, WORD] under data in an experiment), or write patient and control"
        )
    given = {plain(word) for word in controls}
    return {
        subject: "control"
        if word and (plain(word) in given if given else _is_control(plain(word)))
        else "patient"
        for subject, word in words.items()
    }


def taken_for(words: Mapping[str, str | None], groups: Mapping[str, Group]) -> str:
    """`stroke = patient (27), HC = control (30)`: what each word was taken for, and of how many subjects."""
    counts = Counter((plain(word) if word else "", groups[subject]) for subject, word in words.items())
    spelt = {plain(word): word for word in reversed(list(words.values())) if word}
    return ", ".join(
        f"{spelt.get(word, 'n/a')} = {group} ({count})" for (word, group), count in counts.items()
    )


def is_known(word: str) -> bool:
    """Whether the word, by itself, is one for controls or for patients."""
    return _is_control(plain(word)) or PATIENTS.search(plain(word)) is not None


def _is_control(word: str) -> bool:
    return CONTROLS.fullmatch(word) is not None


def _understood(words: set[str]) -> bool:
    """Whether one of them is known, and so the others are the patients' names."""
    if any(map(CODE.fullmatch, words)):
        return False
    clear = any(map(_is_control, words)) or not any(map(NEGATED.match, words))
    return not words or (clear and any(map(is_known, words)))
