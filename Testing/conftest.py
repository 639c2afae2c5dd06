"""Fixtures shared by the tests."""

from __future__ import annotations

import os
import socket
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


@pytest.fixture(scope="session")
def a_cluster():
    """The address of a Dask cluster of two worker processes."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def refused(capsys):
    """Runs a command that must be refused, with exit status 2 and one line; returns that line."""
    from HER2ViTTrainingLib.commands.main import main

    def line_of(words):
        capsys.readouterr()
        assert main([str(word) for word in words]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1, lines
        return lines[0]

    return line_of


@pytest.fixture
def no_network(monkeypatch):
    """Fails the test that opens a connection, whatever the code under test makes of the error."""
    tried = []

    def connect(self, address):
        tried.append(address)
        raise OSError(f"connection to {address} in a test without network")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket.socket, "connect_ex", connect)
    yield
    assert not tried
