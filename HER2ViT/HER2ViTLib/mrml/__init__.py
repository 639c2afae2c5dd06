"""The only rooms that know MRML: nodes to studies and outlines, readings to nodes and scenes.

Imports `reading` and what lies below.
"""
