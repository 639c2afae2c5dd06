"""What a series of an examination is, in plain words: for the eye, nothing is decided by it.

It follows from the headers, and from a few words of the series' description, which itself is not told: it may
hold a name.
"""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from HER2ViTLib.messages import InputError

from .frames import DIFFUSION, MAGNITUDE, NEVER_READ, WATER, Frame
from .relations import is_made_of_phases, may_be_dynamic
from .stacks import stack_of

_NAME_OF_WORD = {
    # words of an image type or of a description, as scanners and workstations write them
    **dict.fromkeys(("MOCO", "MOTION CORRECTED", "MOTIONCORRECTED", "REGISTERED"), "motion-corrected copy"),
    **dict.fromkeys(("SUB", "SUBS", "SUBTRACT", "SUBTRACTION", "SUBTRACTED"), "subtraction"),
    **dict.fromkeys(("PROJECTION IMAGE", "MIP", "MIPS", "MINIP"), "projection (MIP)"),
    **dict.fromkeys(("MPR", "RESAMPLED", "REFORMATTED"), "reformatted images"),
    **dict.fromkeys(("LOC", "LOCALIZER", "LOCALISER", "SCOUT", "SURVEY"), "localiser"),
}
CORRECTED = _NAME_OF_WORD["MOCO"]
_T1_MAX_REPETITION_MS = 1200.0


def names_by_kind(frames: Sequence[Frame]) -> dict[str, str]:
    """What the images of a series are, by their kind."""
    by_kind: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        by_kind[frame.kind].append(frame)
    return {kind: _name(members) for kind, members in by_kind.items()}


def _name(frames: Sequence[Frame]) -> str:
    """What images of one kind are."""
    first = frames[0]
    if first.kind == DIFFUSION:
        values = sorted({frame.b_value for frame in frames} - {0.0})
        return f"diffusion (b = {', '.join(f'{value:g}' for value in values)})" if values else "diffusion"
    if first.kind == "map":
        return "map (ADC)" if "ADC" in first.image_type else "map"
    if first.kind in NEVER_READ:
        return f"{first.kind} images"
    if first.kind not in (MAGNITUDE, WATER):
        return f"Dixon {first.kind}"
    named = _named_by_words(first)
    if named:
        return named
    if len({tuple(np.round(frame.orientation, 1) + 0.0) for frame in frames}) > 1:
        return "localiser"
    if first.modality not in ("MR", ""):
        return f"{first.modality} images"
    water = "Dixon water, " if first.kind == WATER else ""
    derived = ", derived" if first.is_derived else ""
    return f"{water}{_weighting(first)}{_phases(frames)}{derived}"


def _named_by_words(frame: Frame) -> str:
    """By the image type, else by the description; empty where no word tells."""
    told = re.split("[^A-Z]+", frame.description.upper())
    words = [*frame.image_type, *told] if not is_made_of_phases(frame) else frame.image_type
    return next((name for word, name in _NAME_OF_WORD.items() if word in words), "")


def _weighting(frame: Frame) -> str:
    """T1 or T2, by what the header says, else by repetition and echo time."""
    if frame.contrast in ("T1", "T2", "T2_STAR", "PROTON_DENSITY"):
        return frame.contrast.replace("_", " ").replace("T2 STAR", "T2*").lower().capitalize()
    repetition, echo = frame.protocol[2:4]
    if not may_be_dynamic(frame):
        return "T2"
    return "T1" if 0 < repetition <= _T1_MAX_REPETITION_MS and echo else "MR images"


def _phases(frames: Sequence[Frame]) -> str:
    """How many phases the series holds by itself, where it holds several."""
    count = 1
    with contextlib.suppress(InputError):
        count = len(stack_of(frames, "").phases)
    return f", {count} phases" if count > 1 else ""
