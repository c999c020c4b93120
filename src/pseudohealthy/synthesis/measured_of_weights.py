"""What was measured of weights: a JSON file beside them, of these weights and no others."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from pseudohealthy.config import Frozen
from pseudohealthy.errors import InputError
from pseudohealthy.files import write_json
from pseudohealthy.json_files import read_json
from pseudohealthy.settings_files import validated


class MeasuredOfWeights(Frozen):
    """What was measured of weights.

    Attributes:
        file: its name beside the weights.
        expected_format: of the file, in this version.
        again: what to do about a file that is of no use.
        format: of the file.
        sha256: of the weights.
    """

    file: ClassVar[str]
    expected_format: ClassVar[int] = 1
    again: ClassVar[str] = "measure again"

    format: int
    sha256: str

    @classmethod
    def read(cls, folder: Path, sha256: str) -> Self | None:
        """What was measured of the weights in `folder`; None where it was not, or of other weights.

        Raises:
            InputError: the file cannot be read or is no such measurement.
        """
        path, remedy = folder / cls.file, f"remove it, or {cls.again}"
        if not path.exists():
            return None
        content = read_json(path, remedy=remedy)
        if isinstance(content, dict) and content.get("format", cls.expected_format) != cls.expected_format:
            raise InputError(f"{path}: of another version; {remedy}")
        measured = validated(cls, content, str(path))
        return measured if measured.sha256 == sha256 else None

    def write(self, folder: Path) -> None:
        """Put it beside the weights in a folder."""
        write_json(folder / self.file, self.model_dump(mode="json"))
