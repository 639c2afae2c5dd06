"""The commands of `her2vit`: their options, and calls into the rooms below; no logic.

Imports everything, inside functions.
"""
