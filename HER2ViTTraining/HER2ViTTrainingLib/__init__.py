"""HER2ViTTrainingLib: retraining the models and computing the study's statistics. Plain Python, no Slicer
needed.

This file imports nothing: Slicer and the command line load it at start-up.
"""
