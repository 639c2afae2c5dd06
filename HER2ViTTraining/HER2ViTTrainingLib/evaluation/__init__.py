"""How well the models did: predictions judged, three classes, pictures.

Imports `cohort`, `stats`, `pages`, `tables`.
"""
