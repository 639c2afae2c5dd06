"""Simulated patients: anatomy, kinetics, images, clinical data, gene counts.

Imports the first library.
"""
