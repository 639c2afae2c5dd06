"""DICOM series: headers, stacks of slices, pixels, which series belong together.

Imports `imaging`, `files`.
"""
