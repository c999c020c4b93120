"""A running server, its weights, and an image to be uploaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.brains import diseased, write
from fixtures.models import calibrated, saved
from fixtures.page_server import PageServer, page_server


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return calibrated(saved(tmp_path_factory.mktemp("weights")))


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("image") / "sub-01_FLAIR.nii.gz", diseased())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Iterator[PageServer]:
    """For tests that leave it running."""
    with page_server(tmp_path_factory.mktemp("temporary"), weights) as running:
        yield running
