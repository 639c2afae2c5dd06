"""The models: preprocessing, bundles, calibration, attention, what a case is compared by.

Imports `lesion` and what lies below it.
"""
