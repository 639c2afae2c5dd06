"""What is installed: the wheel on its own, cheap doors, declared dependencies, rooms that import downwards
only.
"""

import ast
import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from conftest import REPOSITORY

LIBRARIES = {
    name: REPOSITORY / name.removesuffix("Lib") / name for name in ("HER2ViTLib", "HER2ViTTrainingLib")
}
HEAVY = (
    "torch",
    "timm",
    "SimpleITK",
    "numpy",
    "cv2",
    "matplotlib",
    "pydicom",
    "highdicom",
    "sklearn",
    "lifelines",
    "pandas",
    "openpyxl",
    "scipy",
    "vtk",
    "slicer",
)
# Import names that differ from the distribution's name; slicer-core brings MRML and VTK.
DISTRIBUTION = {
    "cv2": "opencv-python-headless",
    "sklearn": "scikit-learn",
    **dict.fromkeys(("slicer", "vtk", "vtkmodules"), "slicer-core"),
}


def clean_environment():
    return {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    }


def run_python(code):
    """What a process of its own prints; it finds the libraries where this one does."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    ).stdout


def test_the_wheel_runs_the_demo_outside_the_clone(tmp_path):
    """The wheel in an environment of its own. Third-party packages are lent by this one: installing gigabytes
    anew would test only pip.
    """
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", tmp_path, REPOSITORY],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("her2vit-*.whl")
    there = {path for folder in LIBRARIES.values() for path in folder.rglob("*") if path.is_file()}
    wanted = {
        path.relative_to(REPOSITORY / path.relative_to(REPOSITORY).parts[0]).as_posix()
        for path in there
        if "__pycache__" not in path.parts
    }
    assert not wanted - set(zipfile.ZipFile(wheel).namelist())
    venv.create(tmp_path / "env", with_pip=False)
    site = next((tmp_path / "env").glob("lib/python*/site-packages"))
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site, wheel],
        check=True,
        env=clean_environment(),
    )
    (site / "lent.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    python = tmp_path / "env" / "bin" / "python"
    code = (
        "import HER2ViTLib, sys; from HER2ViTTrainingLib.commands.main import main; assert"
        " HER2ViTLib.__file__.startswith(sys.prefix); sys.exit(main())"
    )
    run = subprocess.run(
        [python, "-c", code, "demo", "--out", "demo"],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads((tmp_path / "demo" / "reading.json").read_text())["call"] in ("zero", "low", "positive")


@pytest.mark.parametrize("door", ["HER2ViTLib", "HER2ViTTrainingLib", "HER2ViTTrainingLib.commands.main"])
def test_doors_import_nothing_heavy(door):
    code = f"import sys, {door}; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert run_python(code).strip() == "[]"


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from HER2ViTTrainingLib.commands.main import main; main(['help', 'read']); print([n for"
        f" n in {HEAVY!r} if n in sys.modules])"
    )
    assert run_python(code).splitlines()[-1] == "[]"


def files_of(library):
    """Every file of a library, in whatever folder; by its dotted name."""
    folder = LIBRARIES[library]
    for path in sorted(folder.rglob("*.py")):
        parts = (library, *path.relative_to(folder).with_suffix("").parts)
        yield ".".join(part for part in parts if part != "__init__"), path


EVERY_FILE = {name: path for library in LIBRARIES for name, path in files_of(library)}


def imports(name):
    """The dotted name of everything a file imports, wherever the import stands; relative ones of any level
    are resolved. `from package import room` names the room.
    """
    path = EVERY_FILE[name]
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                room = f"{origin}.{alias.name}"
                yield room if room in EVERY_FILE else origin


def folder_of(name):
    """The folder of a file; a file that lies directly in its library is a folder of its own."""
    return ".".join(name.split(".")[:2])


def floors():
    """Folder: its floor, counted from the top; read from the drawing in Docs/architecture.md."""
    page = (REPOSITORY / "Docs" / "architecture.md").read_text()
    drawing = page.partition("<!-- floors -->")[2].partition("```")[2].partition("```")[0]
    rows = [row.split() for row in drawing.strip().splitlines()]
    return {folder: floor for floor, row in enumerate(rows) for folder in row}


def test_every_import_is_a_declared_dependency():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = [word for words in project["optional-dependencies"].values() for word in words]
    declared = " ".join([*project["dependencies"], *extras]).lower()
    known = {*sys.stdlib_module_names, *LIBRARIES, "slicer", "vtk", "vtkmodules", "qt"}
    # Slicer brings them
    known |= {"PyTorchUtils", "qSlicerSegmentationsModuleWidgetsPythonQt", "DICOMLib", "SampleData"}
    for name in EVERY_FILE:
        for imported in imports(name):
            top = imported.partition(".")[0]
            if top not in known:
                assert DISTRIBUTION.get(top, top).lower() in declared, f"{name} imports {top}"


def test_folders_import_downwards_only():
    floor = floors()
    assert {folder_of(name) for name in EVERY_FILE} == set(floor), "Docs/architecture.md draws every folder"
    for name in EVERY_FILE:
        for imported in imports(name):
            here = folder_of(name)
            there = folder_of(imported)
            if there in floor and there != here:
                assert floor[there] > floor[here], f"{name} imports {imported}"


def test_files_of_a_folder_do_not_import_each_other_in_a_circle():
    below = {name: set(imports(name)) - {name} for name in EVERY_FILE}
    while leaves := {name for name, found in below.items() if not found & set(below)}:
        for name in leaves:
            del below[name]
    assert not below, f"a circle among {sorted(below)}"


def test_only_mrml_and_the_panel_know_slicer():
    may = {"slicer": ("mrml", "panel", "slicer_batch"), "vtk": ("mrml", "panel"), "vtkmodules": ("mrml",)}
    may |= {"qt": ("panel",), "ctk": ("panel",)}
    for name in EVERY_FILE:
        for imported in imports(name):
            allowed = may.get(imported.partition(".")[0])
            assert allowed is None or folder_of(name).rpartition(".")[2] in allowed, (
                f"{name} imports {imported}"
            )


def test_every_folder_says_what_lives_in_it():
    for name, path in EVERY_FILE.items():
        if path.name == "__init__.py":
            assert ast.get_docstring(ast.parse(path.read_text())), name


def test_the_clone_stays_small():
    if not (REPOSITORY / ".git").exists():
        pytest.skip("not a git clone")
    packed = subprocess.run(
        ["git", "count-objects", "-v"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    sizes = dict(line.split(": ") for line in packed.splitlines())
    assert int(sizes["size"]) + int(sizes["size-pack"]) < 60_000, (
        "KB of history; the Extension Index refuses 100 MB"
    )
    assert (
        max(
            path.stat().st_size
            for path in Path(REPOSITORY / "HER2ViT" / "HER2ViTLib" / "data").rglob("*")
            if path.is_file()
        )
        < 4e6
    )
