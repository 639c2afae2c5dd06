"""What the panel of the commands shows and allows, decided without Qt: a command's form, its command line,
the queue of runs, what came of them.

Imports `parallel` and the first library; the commands' parsers are handed in.
"""
