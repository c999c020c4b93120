"""Errors that a person can mend: one line each, with an exit code; and text that any terminal can show."""

from __future__ import annotations

import os
import re
import sys

RESEARCH_USE = (
    "Research software. Generated images are not acquisitions and must not be used for diagnosis or "
    "treatment. Not a medical device."
)


LONGEST_LINE = 1000  # characters of a message; a damaged file may hold a name of a million


class PseudohealthyError(Exception):
    """Something failed on the way (a full disk, say): one clear line, exit code 1."""

    exit_code = 1


class InputError(PseudohealthyError):
    """An input that cannot be used, noticed before any work is done: exit code 2.

    The message is one line that says what the input is, what was expected, and what to do.
    """

    exit_code = 2


# What to do about a skull, on the command line
GIVE_BRAIN_MASK = "give the brain's mask (--brain-mask FILE; for a data set --brain-masks DIR)"


def install_command(extra: str) -> str:
    """The command that installs an optional part of the package, which is in no package index."""
    return f"pip install '.[{extra}]' (in a clone of the repository)"


def printable(text: object) -> str:
    """A message or a file's name as one line of text that a terminal, a table and JSON can hold.

    Names are bytes. Those that are UTF-8 are read as such, whatever the locale; other bytes, line breaks and
    characters that control a terminal become escapes.
    """
    try:
        content = os.fsencode(str(text))
    except UnicodeEncodeError:  # a character that the locale lacks, and not part of a name
        content = str(text).encode("utf-8", "backslashreplace")
    decoded = content.decode("utf-8", "backslashreplace")
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in decoded
    )


def message(error: object) -> str:
    """The text of an error or reason: one line, and below it one for each item of a list.

    Where objects lie in memory, which libraries tell, is left out: one input has one message.
    """
    text = re.sub(r" at 0x[0-9a-f]+", "", str(error))
    return "\n  ".join(shortened(printable(line)) for line in text.split("\n  "))


def shortened(line: str) -> str:
    """A line of at most about `LONGEST_LINE` characters: of a longer one the beginning and the end."""
    if len(line) <= LONGEST_LINE:
        return line
    half = LONGEST_LINE // 2
    return f"{line[:half]} ... ({len(line) - 2 * half} characters) ... {line[-half:]}"


def escape_what_cannot_be_shown() -> None:
    """Print characters that the terminal's encoding lacks as escapes, where they would be an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not an object that a program put in its place
            stream.reconfigure(errors="backslashreplace")
