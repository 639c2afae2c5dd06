"""A bundle for another hospital: recalibrated, shifted to its prevalence, told what it can tell (`her2vit
adapt`).

Imports `evaluation`, `cohort`, `stats`, `pages`, `tables`.
"""
