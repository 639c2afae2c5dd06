"""Radiogenomics: differential expression, over-representation, hub genes.

Imports `tables`, `pages` and the first library.
"""
