"""HTML pages with their templates, and how numbers and pictures look in them.

Imports only the first library.
"""
