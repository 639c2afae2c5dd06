"""A reading's folder: its files, written so that none is ever there in half."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np

from HER2ViTLib.files.output import json_bytes, prepare_folder, write_atomically
from HER2ViTLib.her2 import TASKS
from HER2ViTLib.imaging.image_files import write_volume
from HER2ViTLib.study.study import Study

from .figure import FIGURE_TEXT, FIGURE_WIDTH, figure_png
from .pictures import PNG, Picture
from .reading import Reading
from .report import reading_json, report_html

SCENE_FILE = "scene.mrb"
RESULT_FILES = (
    "reading.json",
    *(f"attention_{task.key}.nrrd" for task in TASKS.values()),
    "figure.png",
    "report.html",
    SCENE_FILE,
)

Writer = Callable[[Reading, Study, np.ndarray, Path], None]
"""Writes one file of a reading, of the study it was read from, and of the outline (K, J, I)."""
NO_WRITERS: Mapping[str, Writer] = MappingProxyType({})


def write_reading(
    reading: Reading,
    study: Study | None,
    roi: np.ndarray | None,
    folder: str | os.PathLike,
    *,
    figures: bool = True,
    writers: Mapping[str, Writer] = NO_WRITERS,
) -> list[str]:
    """Writes a reading into a folder of its own and returns the names of the files; those of a former reading
    go.

    `study` and `roi` may be None where neither pictures nor `writers` are wanted. `writers` adds files, by
    name: the rooms that write them stand above this one (MRML's scene). Raises `InputError` when the folder
    holds anything else.
    """
    folder = prepare_folder(folder, RESULT_FILES)
    figure = None
    further: dict[str, Callable[[Path], None]] = {}
    if study is not None and roi is not None:
        figure = figure_png(reading, study, roi) if figures else None
        further = {name: partial(write, reading, study, roi) for name, write in writers.items()}
    elif figures or writers:
        raise ValueError("pictures and scenes need the study and the outline")
    written = []
    for key, task in reading.tasks.items():
        # Not compressed: interpolated numbers shrink by a quarter, for a tenth of the time of a whole
        # reading.
        write_volume(task.attention_volume, folder / f"attention_{key}.nrrd", compress=False)
        written.append(f"attention_{key}.nrrd")
    if figure is not None:
        write_atomically(folder / "figure.png", figure)
        written.append("figure.png")
    for name, write_to in further.items():
        write_to(folder / name)
        written.append(name)
    pictures = [] if figure is None else [Picture(figure, PNG, FIGURE_WIDTH, FIGURE_TEXT)]
    write_atomically(folder / "report.html", report_html(reading, pictures))
    write_atomically(folder / "reading.json", json_bytes(reading_json(reading)))
    written += ["report.html", "reading.json"]
    for name in set(RESULT_FILES) - set(written):
        (folder / name).unlink(missing_ok=True)
    return written
