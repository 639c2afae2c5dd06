"""Reading many cases; an interrupted run resumes.

Imports `evaluation`, `cohort`, `parallel` and the first library.
"""
