"""Volumes in patient space, the image files they come from, series and their times. Imports `files`."""
