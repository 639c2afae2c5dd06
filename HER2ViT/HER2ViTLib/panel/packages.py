"""Asks for the Python packages that Slicer lacks and has them installed by Slicer, which shows progress and
errors itself: no dialog of ours on top, and no wait cursor over its own. Never touches Slicer's own packages.
"""

import importlib.util
import subprocess
import tempfile
from pathlib import Path

import slicer
from slicer.i18n import tr as _

# Slicer imports this file at start-up: the functions import what is heavy.


def ensureReadingPackages(tell=slicer.util.showStatusMessage):
    """Whether everything a reading needs is there; see `ensurePackages`."""
    from HER2ViTLib.workflow.dependencies import READING

    return ensurePackages(READING, True, _("HER2ViT"), tell)


def ensureSessionPackages(tell=slicer.util.showStatusMessage):
    """Whether the package that locks a session is there (torch brings it along); see `ensurePackages`."""
    from HER2ViTLib.workflow.dependencies import SESSION

    return ensurePackages(SESSION, False, _("HER2ViT"), tell)


def ensurePackages(packages, torch, requester, tell=slicer.util.showStatusMessage):
    """Whether these packages, {module: requirement}, are there, and torch where it is needed.

    What is missing is installed, if the user agrees, for the module `requester`; else `tell` is called with
    the line that says what to do. A test installs nothing.
    """
    wanted = _missing(packages, torch)
    if not wanted:
        return True
    if torch and not _canHaveTorch():
        tell(
            _(
                "torch comes through the extension PyTorch: install it with the Extensions Manager and"
                " restart Slicer."
            )
        )
        return False
    if slicer.app.testingEnabled() or not _agreed(wanted, requester):
        tell(_("Not installed: {packages}.").format(packages=", ".join(wanted)))
        return False
    try:
        if torch:
            _installTorch()
        _install(packages, requester)
    except (ImportError, OSError, RuntimeError, subprocess.CalledProcessError):
        pass  # the installer has shown why
    importlib.invalidate_caches()
    left = _missing(packages, torch)
    if left:
        tell(
            _(
                "Could not be installed: {packages}. Check the network; without one, install them from a"
                " folder of wheels, as the documentation says."
            ).format(packages=", ".join(left))
        )
    return not left


def _missing(packages, torch):
    """What is not there, in words."""
    from HER2ViTLib.workflow import dependencies

    return [
        *(["torch, torchvision"] if torch and dependencies.missing_torch() else []),
        *dependencies.missing_packages(packages),
    ]


def _agreed(wanted, requester):
    question = _(
        "Python packages are needed that are not installed yet: {packages}. Download and install them now?"
    ).format(packages=", ".join(wanted))
    return slicer.util.confirmOkCancelDisplay(question, windowTitle=requester)


def _canHaveTorch():
    """Whether torch is there, or the extension PyTorch, which picks the build for the GPU."""
    from HER2ViTLib.workflow import dependencies

    return not dependencies.missing_torch() or importlib.util.find_spec("PyTorchUtils") is not None


def _installTorch():
    from HER2ViTLib.workflow import dependencies

    if dependencies.missing_torch():
        import PyTorchUtils

        PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=False)


def _install(packages, requester):
    import slicer.packaging

    from HER2ViTLib.workflow import dependencies

    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text(dependencies.protecting_constraints())
        # Asked before, in one question with torch.
        slicer.packaging.pip_ensure(
            dependencies.missing_packages(packages),
            constraints=constraints,
            prompt_install=False,
            requester=requester,
        )
