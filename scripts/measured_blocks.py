"""Parts of a page that are made from results, between `<!-- measured: PART -->` and `<!-- /measured -->`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

BLOCK = re.compile(r"(<!-- measured: ([\w ]+) -->\n).*?(<!-- /measured -->)", re.DOTALL)


def refilled(text: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """The page with each part between its marks made again.

    Args:
        text: of the page.
        parts: what makes each part, by its name.

    Raises:
        ValueError: a part has no marks, or marks name no part.
    """
    if sorted(match[2] for match in BLOCK.finditer(text)) != sorted(parts):
        raise ValueError(f"expected <!-- measured: PART --> once for each of {', '.join(parts)}")
    return BLOCK.sub(lambda match: f"{match[1]}{parts[match[2]]()}\n{match[3]}", text)


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def made_at(*results: Mapping[str, Any]) -> str:
    """The paragraph below a table that says what made it, or each part of it."""
    makers = dict.fromkeys(f"{short(each['commit'])}, {each['machine']}" for each in results)
    return f"\n\nMade at {'; '.join(makers)}."


def short(commit: str) -> str:
    """A commit in a few characters, and whether its files had been changed."""
    return commit[:9] + "-dirty" * commit.endswith("-dirty")
