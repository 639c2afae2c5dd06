"""HER2ViTLib: reading HER2 status from breast DCE-MRI. Plain Python, no Slicer needed.

Import the room you need (``from HER2ViTLib.reading.reader import Reader``); this file imports nothing,
because Slicer and the command line load it at start-up.
"""

__version__ = "0.1.0"
