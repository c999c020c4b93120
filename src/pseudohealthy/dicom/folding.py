"""Spellings of one name made equal: letters and digits alone, without accents and case."""

from __future__ import annotations

import unicodedata

_LETTERS = str.maketrans(  # which Unicode does not take apart
    {"ø": "o", "Ø": "O", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE"}
    | {"ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ß": "ss", "ẞ": "SS", "ı": "i"}
)
_UMLAUTS = ("a", "o", "u")


def without_accents(text: str) -> str:
    """The text with the letters that lie below accents: `Müller` as `Muller`, `Łukasz` as `Lukasz`."""
    apart = unicodedata.normalize("NFKD", text)
    return "".join(each for each in apart if not unicodedata.combining(each)).translate(_LETTERS)


def folded(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The text's letters and digits, and from where to where in the text each of them stands.

    Accents, case, and the e of an umlaut's second spelling are left out: `Müller`, its umlaut one character
    or two, and `MUELLER` are `muller`.
    """
    letters: list[str] = []
    places: list[tuple[int, int]] = []
    before = ""  # the letter with nothing between it and the next
    for index, given in enumerate(text):
        plain = without_accents(given).casefold()
        if not plain and before:  # an accent of its own
            places[-1] = (places[-1][0], index + 1)
        for each in plain:
            if each == "e" and before in _UMLAUTS:
                places[-1] = (places[-1][0], index + 1)
            elif each.isalnum():
                letters.append(each)
                places.append((index, index + 1))
            before = each if each.isalnum() else ""
    return "".join(letters), places
