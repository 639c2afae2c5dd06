"""The only files that know Qt: the panel with its sections, its logic, its parameters, its self-test.

Slicer imports them at start-up, so they import what is heavy inside the functions that need it. Imports
everything below.
"""
