"""A DCE-MRI study: loading its phases, choosing the early one. Imports `dicom` and what lies below it."""
