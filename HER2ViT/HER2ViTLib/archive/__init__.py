"""A reading as DICOM objects that an archive takes: the outline as a segmentation, the reading as a
structured report, the attention maps as parametric maps. May use `reading`, `study`, `dicom`, `lesion` and
what is below them. Needs highdicom (extra `dicom`).
"""
