"""The only files of this library that know Qt: the panel of the commands with its sections, its self-test.

Slicer imports them at start-up, so they import what is heavy inside the functions that need it. Imports
everything below.
"""
