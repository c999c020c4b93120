"""What a person is told when something cannot be done, and the exit code that goes with it."""

from __future__ import annotations

import os
import sys

RESEARCH_USE = (
    "Research software. Generated images are not acquisitions and must not be used for diagnosis or "
    "treatment. Not a medical device."
)


class PseudohealthyError(Exception):
    """Something failed on the way (a full disk, say): one clear line, exit code 1."""

    exit_code = 1


class InputError(PseudohealthyError):
    """What was given cannot be used; noticed before any work is done: exit code 2.

    The message is one line that says what was found, what was expected, and what to do.
    """

    exit_code = 2


def install_command(extra: str) -> str:
    """What installs an optional part of the package, which lies in no package index."""
    return f"pip install '.[{extra}]' (in a clone of the repository)"


def printable(text: object) -> str:
    """A message or a file's name as one line of text that a terminal, a table and JSON can hold.

    Names are bytes. Those that are UTF-8 are read as such, whatever the locale; other bytes, line breaks and
    characters that control a terminal become escapes.
    """
    try:
        content = os.fsencode(str(text))
    except UnicodeEncodeError:  # a letter that the locale has not got, from elsewhere than a name
        content = str(text).encode("utf-8", "backslashreplace")
    decoded = content.decode("utf-8", "backslashreplace")
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in decoded
    )


def message(error: object) -> str:
    """What a person is told of an error or reason: a line, below which the files of a list have one each."""
    return "\n  ".join(printable(line) for line in str(error).split("\n  "))


def escape_what_cannot_be_shown() -> None:
    """Show letters that the terminal's encoding has not got as escapes, where they would be an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not what a program put in its place
            stream.reconfigure(errors="backslashreplace")
