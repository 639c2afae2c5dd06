"""The files below the panel that know MRML: nodes to studies and outlines, readings to nodes and scenes.

They run in the 3D Slicer application and, outside it, on the PyPI package slicer-core (real MRML, no Qt, no
`slicer.app`); scenes and nodes are therefore always passed in. MRML speaks RAS and the rest of this library
LPS: the sign flip happens here and nowhere else. Input nodes are read, never changed; results go into nodes
of their own, which a second run fills again instead of adding new ones.

Imports `reading` and what lies below it.
"""

from HER2ViTLib.messages import InputError

try:
    import slicer  # noqa: F401
except ModuleNotFoundError as error:
    raise InputError(
        'scenes need slicer-core, which is not installed: pip install "her2vit[slicer]"'
    ) from error
