"""Whether a bundle's attention maps mean anything (`her2vit sanity`).

Imports `cohort`, `stats`, `pages`, `parallel`, `tables`.
"""
