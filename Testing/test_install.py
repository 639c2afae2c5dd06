"""What is installed: the wheel on its own, cheap doors, declared dependencies, rooms that import downwards only."""

import ast
import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import tomllib

from conftest import REPOSITORY

LIBRARIES = {name: REPOSITORY / name.removesuffix("Lib") / name for name in ("HER2ViTLib", "HER2ViTTrainingLib")}
HEAVY = ("torch", "timm", "SimpleITK", "numpy", "cv2", "matplotlib", "pydicom", "sklearn", "lifelines", "pandas", "scipy", "vtk", "slicer")
# Import names that differ from the distribution's name; slicer-core brings MRML and VTK.
DISTRIBUTION = {"cv2": "opencv-python-headless", "sklearn": "scikit-learn", **dict.fromkeys(("slicer", "vtk", "vtkmodules"), "slicer-core")}
# Who may import whom, top to bottom; a room imports only what stands below it.
READING_ORDER = (
    ("reading_files",),
    ("scene", "workflow", "sample", "dependencies"),
    ("report",),
    ("reader",),
    ("bundle", "attention", "properties"),
    ("preprocessing", "phases"),
    ("lesion", "study", "roi"),
    ("dicom",),
    ("dicom_groups", "dicom_remarks"),
    ("dicom_relations",),
    ("dicom_stacks", "dicom_pixels"),
    ("dicom_headers",),
    ("series",),
    ("volume",),
    ("her2", "inputs", "output", "selection"),
    ("messages",),
)


def clean_environment():
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}


def run_python(code):
    """What a process of its own prints; it finds the libraries where this one does."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment).stdout


def test_the_wheel_runs_the_demo_outside_the_clone(tmp_path):
    """The wheel in an environment of its own. Third-party packages are lent by this one: installing gigabytes anew would test only pip."""
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", tmp_path, REPOSITORY], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("her2vit-*.whl")
    venv.create(tmp_path / "env", with_pip=False)
    site = next((tmp_path / "env").glob("lib/python*/site-packages"))
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site, wheel], check=True, env=clean_environment())
    (site / "lent.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    python = tmp_path / "env" / "bin" / "python"
    code = "import HER2ViTLib, sys; from HER2ViTTrainingLib.commands.main import main; assert HER2ViTLib.__file__.startswith(sys.prefix); sys.exit(main())"
    run = subprocess.run([python, "-c", code, "demo", "--out", "demo"], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert json.loads((tmp_path / "demo" / "reading.json").read_text())["call"] in ("zero", "low", "positive")


@pytest.mark.parametrize("door", ["HER2ViTLib", "HER2ViTTrainingLib", "HER2ViTTrainingLib.commands.main"])
def test_doors_import_nothing_heavy(door):
    code = f"import sys, {door}; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert run_python(code).strip() == "[]"


def test_help_imports_nothing_heavy():
    code = f"import sys; from HER2ViTTrainingLib.commands.main import main; main(['help', 'read']); print([n for n in {HEAVY!r} if n in sys.modules])"
    assert run_python(code).splitlines()[-1] == "[]"


def imports(path):
    """(name, level) of every import in a file, wherever it stands: level 0 absolute, 1 a room of the same library."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level and not node.module:
                yield from ((alias.name, 1) for alias in node.names)
            else:
                yield node.module, node.level


def test_every_import_is_a_declared_dependency():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    declared = " ".join([*project["dependencies"], *(word for words in project["optional-dependencies"].values() for word in words)]).lower()
    known = {*sys.stdlib_module_names, *LIBRARIES}
    for library in LIBRARIES.values():
        for path in library.glob("*.py"):
            for name, level in imports(path):
                top = name.partition(".")[0]
                if not level and top not in known:
                    assert DISTRIBUTION.get(top, top).lower() in declared, f"{path.name} imports {top}"


def test_rooms_import_downwards_only():
    depth = {room: n for n, rooms in enumerate(READING_ORDER) for room in rooms}
    for path in LIBRARIES["HER2ViTLib"].glob("*.py"):
        for name, level in imports(path):
            assert name.partition(".")[0] != "HER2ViTTrainingLib"
            if level and path.stem != "__init__" and name in depth:
                assert depth[name] > depth[path.stem], f"{path.stem} imports {name}"
    assert {path.stem for path in LIBRARIES["HER2ViTLib"].glob("*.py")} == {"__init__", *depth}


def test_only_the_scene_knows_slicer():
    for library in LIBRARIES.values():
        for path in library.glob("*.py"):
            slicer_imports = {name.partition(".")[0] for name, level in imports(path) if not level} & {"slicer", "vtk", "qt", "ctk"}
            assert not slicer_imports or path.stem in ("scene", "slicer_batch"), path


def test_the_clone_stays_small():
    if not (REPOSITORY / ".git").exists():
        pytest.skip("not a git clone")
    packed = subprocess.run(["git", "count-objects", "-v"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    sizes = dict(line.split(": ") for line in packed.splitlines())
    assert int(sizes["size"]) + int(sizes["size-pack"]) < 60_000, "KB of history; the Extension Index refuses 100 MB"
    assert max(path.stat().st_size for path in Path(REPOSITORY / "HER2ViT" / "HER2ViTLib" / "data").rglob("*") if path.is_file()) < 4e6
