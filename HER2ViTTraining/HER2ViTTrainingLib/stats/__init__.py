"""Statistics of the study: ROC, resampling, calibration, agreement, group tests.

Imports only the first library.
"""
