"""The lesion: outlining it from a seed point, reading and writing outlines, measuring them.

Imports `dicom`, `imaging`, `files`.
"""
