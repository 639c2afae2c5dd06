"""Processes that go through a repeatability session and are killed; light to import, for they start often."""

import itertools
import os
import signal
import sys
from pathlib import Path

import numpy as np

from HER2ViTLib.imaging.image_files import read_volume
from HER2ViTLib.session.session import Session
from support.patience import HANG_S

WATCHED = ("open", "os.rename", "os.remove", "os.mkdir", "os.truncate")


def go_through_and_die(folder, kill_at, told):
    """Outlines the cases, skips the second, and tells a file of each that was kept; kills itself at its
    `kill_at`-th step on the session's files.
    """
    steps = itertools.count(1)

    def hook(event, arguments):
        if event in WATCHED and folder in str(arguments[0]) and next(steps) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    session = Session(folder)
    sys.addaudithook(hook)
    session.open()
    while session.next_case():
        code = session.current.code
        geometry = read_volume(session.images[0]).geometry
        mask = np.zeros(geometry.shape, bool)
        mask[2:4, 4:9, 5:11] = True
        if code.endswith("2"):
            session.skip("no lesion")
        else:
            session.save_outline(mask, geometry)
        with Path(told).open("a") as file:
            file.write(code + "\n")
    session.close()


def hold(folder, opened, finish):
    """Opens a session, says so and waits."""
    with Session(folder):
        opened.set()
        finish.wait(HANG_S)
