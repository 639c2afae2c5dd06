"""What the panel shows and allows, decided without Qt and MRML. Imports `reading` and what lies below."""
