"""Asks for the Python packages that Slicer lacks and installs them. Never touches Slicer's own."""

import importlib.util
import tempfile
from pathlib import Path

import slicer
from slicer.i18n import tr as _

# Slicer imports this file at start-up: the functions import what is heavy.


def ensureReadingPackages():
    """Whether everything a reading needs is there; what is not is installed, if the user agrees."""
    from HER2ViTLib.workflow import dependencies

    packages = dependencies.missing_packages(dependencies.READING)
    torch = dependencies.missing_torch()
    if not (packages or torch):
        return True
    wanted = ", ".join([*(["torch, torchvision"] if torch else []), *packages])
    question = _(
        "Reading needs Python packages that are not installed yet: {packages}. Download and install them now?"
    ).format(packages=wanted)
    if not slicer.util.confirmOkCancelDisplay(question, windowTitle=_("Install packages")):
        return False
    with slicer.util.tryWithErrorDisplay(_("Installing packages failed."), waitCursor=True):
        if torch and not _installTorch():
            return False
        _install(packages)
    return True


def ensureSessionPackages():
    """Whether the package that locks a session is there (torch brings it along); if not, it is installed, if
    the user agrees.
    """
    from HER2ViTLib.workflow import dependencies

    packages = dependencies.missing_packages(dependencies.SESSION)
    if not packages:
        return True
    question = _(
        "A session needs a small Python package that is not installed yet: {packages}. Download and install"
        " it now?"
    ).format(packages=", ".join(packages))
    if not slicer.util.confirmOkCancelDisplay(question, windowTitle=_("Install packages")):
        return False
    with slicer.util.tryWithErrorDisplay(_("Installing packages failed."), waitCursor=True):
        _install(packages)
    return not dependencies.missing_packages(dependencies.SESSION)


def _installTorch():
    try:
        import PyTorchUtils
    except ModuleNotFoundError:
        slicer.util.errorDisplay(
            _(
                "torch comes through the PyTorch extension: install it with the Extensions Manager and"
                " restart Slicer."
            )
        )
        return False
    return PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=False) is not None


def _install(packages):
    from HER2ViTLib.workflow import dependencies

    if not packages:
        return
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text(dependencies.protecting_constraints())
        slicer.util.pip_install(["--constraint", str(constraints), *packages])
    importlib.invalidate_caches()
