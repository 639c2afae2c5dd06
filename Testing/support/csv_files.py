"""Tables of the tests as CSV files."""

import csv


def write_csv(path, rows):
    """A file of rows, each a mapping with the same columns; returns its path."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def rows_of(path):
    """The rows of a file, each a mapping by column."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
