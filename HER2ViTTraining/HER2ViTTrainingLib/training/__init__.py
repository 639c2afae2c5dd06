"""Training the models: inputs, augmentation, trainer, runs, model card.

Imports `cohort`, `pages`, `parallel`, `stats` and the first library.
"""
