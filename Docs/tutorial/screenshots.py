"""Takes the pictures of the tutorial and of the Extension Index, in 3D Slicer with a display of at least
1280 x 800:

    Slicer --no-splash --testing --additional-module-paths $PWD/HER2ViT $PWD/HER2ViTTraining \\
        --python-script Docs/tutorial/screenshots.py

They lie beside this file and in Resources/Screenshots then.
"""

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer

HERE = Path(__file__).parent if "__file__" in globals() else Path("Docs/tutorial").resolve()
INDEX = HERE.parents[1] / "Resources" / "Screenshots"
WIDTH = 1280
HEIGHT = 800
PATIENCE_S = 300


def settle() -> None:
    """Lets layouts and views come to rest."""
    for _round in range(20):
        slicer.app.processEvents()
    slicer.util.forceRenderAllViews()
    slicer.app.processEvents()


def picture(name: str) -> None:
    """The main window, as it is on the screen: `grab` leaves views black on some machines."""
    settle()
    window = slicer.util.mainWindow()
    corner = window.mapToGlobal(qt.QPoint(0, 0))
    shown = slicer.app.primaryScreen.grabWindow(0, corner.x(), corner.y(), window.width, window.height)
    shown.save(str(HERE / f"{name}.png"))


def main() -> None:
    """What the tutorial does, step by step; then a training while the reading is in view."""
    read_the_sample()
    shutil.copy(HERE / "result.png", INDEX / "HER2ViT.png")
    with tempfile.TemporaryDirectory() as folder:
        train_a_model(Path(folder))
    (HERE / "training.png").replace(INDEX / "HER2ViTTraining.png")


def read_the_sample() -> None:
    """From the case to the result."""
    from HER2ViTLib.panel.scrolling import scrollTo
    from HER2ViTLib.panel.self_test.support import place_in_view, sample_lesion_ras

    window = slicer.util.mainWindow()
    window.move(0, 0)
    window.resize(WIDTH, HEIGHT)
    slicer.util.selectModule("HER2ViT")
    panel = slicer.modules.HER2ViTWidget
    ui = panel.ui
    ui.sampleButton.click()
    picture("case")
    ui.growButton.click()
    place_in_view(panel.parameterNode.seed, sample_lesion_ras())
    panel.parameterNode.seed.SetDisplayVisibility(False)
    scrollTo(ui.lesionSection)
    picture("lesion")
    scrollTo(ui.readSection)
    picture("read")
    ui.runButton.click()
    settle()
    scrollTo(ui.resultSection)
    picture("result")


def train_a_model(folder: Path) -> None:
    """A small cohort, and a training on it under way."""
    slicer.util.selectModule("HER2ViTTraining")
    panel = slicer.modules.HER2ViTTrainingWidget
    run(panel, "simulate", {"cases": "60", "scale": "0.2", "out": str(folder / "cohort")})
    wait_for(lambda: panel.runs.queue.current is None)
    training = {
        "manifest": str(folder / "cohort" / "manifest.csv"),
        "task": "zero-vs-rest",
        "pretrained": "none",
        "device": "cpu",
        "out": str(folder / "model"),
    }
    run(panel, "train", training)
    wait_for(lambda: panel.runs.chosen.progress and panel.runs.chosen.progress.done >= 2)
    panel.ui.guideSection.collapsed = True
    picture("training")
    panel.runs.onCancel()
    wait_for(lambda: panel.runs.queue.current is None)


def run(panel: Any, command: str, values: dict[str, str]) -> None:
    """Fills in a command's form and runs it."""
    panel.chooseCommand(command)
    panel.form.fill(values)
    settle()
    panel.onRun()


def wait_for(done: Callable[[], Any]) -> None:
    """Until something is done, or patience ends."""
    until = time.monotonic() + PATIENCE_S
    while not done() and time.monotonic() < until:
        slicer.app.processEvents()
        time.sleep(0.05)


main()
slicer.util.exit(0)
