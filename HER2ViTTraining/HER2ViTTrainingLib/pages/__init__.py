"""HTML pages with their templates, and how numbers and pictures look in them.

Imports `stats` and the first library.
"""
