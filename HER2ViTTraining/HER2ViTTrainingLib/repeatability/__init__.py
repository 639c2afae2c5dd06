"""Repeatability: session plans, features, agreement between raters.

Imports `cohort`, `stats`, `pages`, `parallel`, `tables`.
"""
