"""What Slicer's reload button leaves out."""

import sys

LIBRARIES = ("HER2ViTLib", "HER2ViTTrainingLib")


def forgetLibraries():
    """Makes the next import of anything in the libraries read its file again.

    To be called before Slicer's own reload, which runs the module's file again but takes what that file
    imports as it was.
    """
    for name in list(sys.modules):
        if name.partition(".")[0] in LIBRARIES:
            del sys.modules[name]
