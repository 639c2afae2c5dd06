"""A study's results in one document: who made them from what, whether they fit together, which items of the
reporting checklists they answer. Reads files only; imports nothing of the rooms that wrote them.
"""
