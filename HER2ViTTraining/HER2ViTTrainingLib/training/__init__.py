"""Training the models: inputs, augmentation, trainer, runs, model card.

Imports `cohort`, `stats`, `parallel`, `evaluation`.
"""
