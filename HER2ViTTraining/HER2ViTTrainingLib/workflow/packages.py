"""Which Python packages a command needs inside 3D Slicer, {module: requirement}. Slicer's own (numpy, scipy,
SimpleITK, pydicom) are there; torch comes through the PyTorch extension.
"""

from __future__ import annotations

from collections.abc import Mapping

from HER2ViTLib.workflow.dependencies import READING, SESSION

OPENCV = {"cv2": READING["cv2"]}
PICTURES = {"matplotlib": "matplotlib>=3.8"}
PAGES = {"jinja2": "jinja2>=3.1"}
SURVIVAL = {"lifelines": "lifelines>=0.30", "pandas": "pandas>=2"}
RIDGE = {"sklearn": "scikit-learn>=1.4", "threadpoolctl": "threadpoolctl>=3"}
GENES = {"networkx": "networkx>=3", "pandas": "pandas>=2", "pydeseq2": "pydeseq2>=0.5"}
PUBLIC = {"openpyxl": "openpyxl>=3.1"}
DICOM_OUT = {"highdicom": "highdicom>=0.27"}
CLUSTER = {"distributed": "distributed>=2024.1"}

_NEEDS: Mapping[str, Mapping[str, str]] = {
    "demo": READING | PICTURES | PAGES,
    "read": READING | PICTURES | PAGES,
    "segment": {},
    "series": {},
    "batch": READING | PICTURES | PAGES | SESSION,
    "import": PAGES | PUBLIC,
    "simulate": OPENCV,
    "cohort": PICTURES,
    "train": READING | PICTURES | PAGES,
    "evaluate": PICTURES | PAGES,
    "evaluate3": {},
    "adapt": READING | PICTURES | PAGES,
    "sanity": READING | PICTURES | PAGES,
    "audit": PICTURES | PAGES | RIDGE,
    "table1": PAGES,
    "prognosis": PICTURES | PAGES | SURVIVAL,
    "session": SESSION,
    "features": OPENCV,
    "agreement": OPENCV | PICTURES | PAGES,
    "genes": PICTURES | GENES,
    "report": PAGES,
}
_OPTIONS = {"--bundle": READING, "--dicom-out": DICOM_OUT, "--scheduler": CLUSTER, "probe": RIDGE}
"""What only a command line with one of these words needs."""


def packages_for(words: tuple[str, ...]) -> dict[str, str]:
    """The packages of a command line: the command's, and those of its options."""
    needs = dict(_NEEDS[words[0]])
    for word, packages in _OPTIONS.items():
        if word in words:
            needs |= packages
    return needs


def needs_torch(words: tuple[str, ...]) -> bool:
    """Whether the command runs a network."""
    return "timm" in packages_for(words)
