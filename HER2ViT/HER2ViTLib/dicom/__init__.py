"""DICOM: headers, stacks of slices, pixels, which series belong together; outlines (SEG, RTSTRUCT).

Imports `imaging`, `files`.
"""
