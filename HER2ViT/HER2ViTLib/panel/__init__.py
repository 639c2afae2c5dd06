"""The only rooms that know Qt: the panel, its logic, its parameters, its self-test.

Imports everything below.
"""
