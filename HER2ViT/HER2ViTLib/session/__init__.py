"""The reader's half of a blinded repeatability session.

`files` are those of a plan, `session` is one read as its reader goes through it, and each of its steps is a
line of the `log`. The coordinator's half, drawing the cases and evaluating the reads, lies elsewhere.
Nothing here needs torch: a radiologist's 3D Slicer runs a session before any model is installed.

Imports `study` and what lies below.
"""
