"""The reader's half of a blinded repeatability session: its files, its log, what happens when.

Imports `study` and what lies below.
"""
