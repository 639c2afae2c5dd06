"""Simulated cohorts: breast DCE-MRI, two readers' outlines, clinical data, follow-up and RNA counts whose
true answers are known.

HER2 status acts on images through two hidden variables only: `heterogeneity` tells zero from low and positive
(Task 1), `rim` low from positive (Task 2). Everything else an image shows is drawn without regard to status.
What a model learns here shows that the pipeline works, not that HER2 can be read from images.

Imports `stats`, `parallel` and the first library.
"""
