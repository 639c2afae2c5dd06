"""What the panel shows and allows, decided without Qt and MRML, so that it is tested outside the application.

torch is imported only once a reader is asked for. Imports `reading` and what lies below it.
"""
