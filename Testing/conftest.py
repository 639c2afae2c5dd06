"""Fixtures shared by the tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real test data (a breast DCE-MRI, ImageNet weights); not part of the repository."""
    folder = Path(os.environ.get("HER2VIT_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not there: {folder} (set HER2VIT_SHARED_DATA)")
    return folder
