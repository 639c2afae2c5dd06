"""Every case's model input (early phase, slice, preprocessing): made once, by several processes, and cached
by what it was made from.

A cached input is found by the hashes of the image and outline files, the manifest's choices for the case and
the preprocessing: what has changed is done again, the rest is not. Files are hashed anew only when their size
or time of change differs.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np

from HER2ViTLib.files.hashes import file_sha256
from HER2ViTLib.files.output import write_atomically
from HER2ViTLib.imaging.image_files import image_sha256
from HER2ViTLib.lesion.masks import read_roi
from HER2ViTLib.messages import InputError, faults_of
from HER2ViTLib.model.preprocessing import Preprocessing
from HER2ViTLib.model.properties import case_properties
from HER2ViTLib.study.phases import choose_phases
from HER2ViTTrainingLib.cohort.case_study import load_case_study
from HER2ViTTrainingLib.cohort.manifest import Case
from HER2ViTTrainingLib.parallel.processes import in_order
from HER2ViTTrainingLib.parallel.progress import Progress, prefixed

FORMAT = 3
"""Part of every key: raised when an input is made in another way, so that no cache of an older version is
used.
"""
INDEX_FILE = "files.json"
WRITER = secrets.token_hex(4)
"""This process's name: several trainings, here or on a cluster, may fill one cache at the same time."""


@dataclass(frozen=True)
class ModelInput:
    """What a model sees of a case: `images` (s, H, W) float32, a slice each as `Patch.image`, the largest
    first; index and area of the largest, the early phase, and the case's scale-free properties.
    """

    images: np.ndarray
    slice: int
    area_mm2: float
    early_phase: int
    properties: Mapping[str, float]


def model_inputs(
    cases: Sequence[Case],
    preprocessing: Preprocessing,
    cache: str | os.PathLike,
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[ModelInput]:
    """The inputs of the cases, in their order; `progress` is told of those that are made, not of those that
    the cache holds. Raises `InputError` with one line per case that cannot be read; the others stay cached.
    """
    cache = Path(cache)
    cache.mkdir(parents=True, exist_ok=True)
    hashes = FileHashes(cache / INDEX_FILE)
    keys = [case_key(case, preprocessing, hashes) for case in cases]
    hashes.save()
    missing = {key: case for key, case in zip(keys, cases) if not (cache / f"{key}.npz").exists()}
    jobs = [(case, cache / f"{key}.npz") for key, case in missing.items()]
    in_order(partial(_make, preprocessing), jobs, workers, prefixed(progress, "reading the cases"))
    return [_load(cache / f"{key}.npz") for key in keys]


def make_input(case: Case, preprocessing: Preprocessing) -> ModelInput:
    """One case's input, from its files. Raises `InputError`."""
    study = load_case_study(case)
    roi = read_roi(_outline(case), study.geometry, case.segment or None).mask
    chosen = choose_phases(study, roi, case.early_phase)
    early = chosen.early_volume(study)
    patches = preprocessing.patches(early, roi)
    largest = patches[0]
    properties = case_properties(early, chosen.pre_volume(study), roi, largest.slice)
    images = np.stack([patch.image for patch in patches])
    return ModelInput(images, largest.slice, largest.area_mm2, chosen.early.index, properties)


def case_key(case: Case, preprocessing: Preprocessing, hashes: FileHashes) -> str:
    """Names a case's input by all that it depends on."""
    images = [hashes.of(path) for path in case.images]
    chosen = [case.segment, case.early_phase, astuple(case.selection), case.times and astuple(case.times)]
    made_from = [FORMAT, images, hashes.of(_outline(case)), *chosen, preprocessing.to_json()]
    return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()


def _outline(case: Case) -> Path:
    return cast(Path, case.roi)  # only an excluded case has none


class FileHashes:
    """SHA-256 of files and folders, remembered in a file by size and time of change."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, list] = _remembered(path)
        self.changed = False

    def of(self, path: Path) -> str:
        """The hash of a file; of a folder, that of the hashes of all files in it."""
        if path.is_dir():
            inside = sorted(entry for entry in path.rglob("*") if entry.is_file())
            return hashlib.sha256("".join(self.of(entry) for entry in inside).encode()).hexdigest()
        return image_sha256(path, self._of_file)

    def _of_file(self, path: Path) -> str:
        # In full: one cache may serve trainings started in different folders.
        name = str(path.resolve())
        status = path.stat()
        signature = [status.st_size, status.st_mtime_ns]
        if self.known.get(name, [None])[:2] != signature:
            self.known[name] = [*signature, file_sha256(path)]
            self.changed = True
        return self.known[name][2]

    def save(self) -> None:
        """Remembers what was hashed anew."""
        if self.changed:
            write_atomically(self.path, json.dumps(self.known).encode(), WRITER)


def _remembered(path: Path) -> dict[str, list]:
    """What an earlier run remembered; a damaged file is only a memory lost."""
    try:
        known = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    sound = isinstance(known, dict) and all(
        isinstance(entry, list) and len(entry) == 3 for entry in known.values()
    )
    return known if sound else {}


def _make(preprocessing: Preprocessing, job: tuple[Case, Path]) -> None:
    """Makes one case's input and puts it into the cache, under the path of the job."""
    case, path = job
    with faults_of(f"case {case.case_id}"):
        _save(make_input(case, preprocessing), path)


def _save(made: ModelInput, path: Path) -> None:
    stream = io.BytesIO()
    about = {
        "slice": made.slice,
        "area_mm2": made.area_mm2,
        "early_phase": made.early_phase,
        "properties": dict(made.properties),
    }
    np.savez(stream, images=made.images, about=np.frombuffer(json.dumps(about).encode(), np.uint8))
    write_atomically(path, stream.getvalue(), WRITER)


def _load(path: Path) -> ModelInput:
    try:
        with np.load(path, allow_pickle=False) as file:
            return ModelInput(file["images"], **json.loads(file["about"].tobytes()))
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: is a damaged copy of a case's input; delete it, it is made anew"
        ) from error
