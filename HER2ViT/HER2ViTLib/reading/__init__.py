"""Reading one case: from the study and its outline to the call, its report and its files.

Imports `model`, `study` and what lies below.
"""
