"""Takes the pictures of the tutorial, in 3D Slicer with a display of at least 1280 x 800:

    Slicer --no-splash --testing --additional-module-paths $PWD/HER2ViT \\
        --python-script Docs/tutorial/screenshots.py

They lie beside this file then. `result.png` is the Extension Index's screenshot, too: Resources/Screenshots.
"""

from pathlib import Path

import qt
import slicer

HERE = Path(__file__).parent if "__file__" in globals() else Path("Docs/tutorial").resolve()
WIDTH = 1280
HEIGHT = 800


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
    """What the tutorial does, step by step."""
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
    panel.scrollTo(ui.lesionSection)
    picture("lesion")
    panel.scrollTo(ui.readSection)
    picture("read")
    ui.runButton.click()
    settle()
    panel.scrollTo(ui.resultSection)
    picture("result")


main()
slicer.util.exit(0)
