"""What a person is told when something cannot be done, and the exit code that goes with it."""

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
