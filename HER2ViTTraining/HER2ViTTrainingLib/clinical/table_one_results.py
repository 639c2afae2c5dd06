"""The files of Table 1, the table as a page, and what `her2vit table1` says."""

from __future__ import annotations

import math
import os
import platform

import numpy as np
import scipy

from HER2ViTLib import __version__
from HER2ViTLib.files.output import csv_bytes, write_results
from HER2ViTLib.messages import RESEARCH_NOTICE
from HER2ViTTrainingLib.pages.html import html_page
from HER2ViTTrainingLib.pages.texts import aligned, p_text, with_decimals
from HER2ViTTrainingLib.stats.fisher import MONTE_CARLO_TABLES
from HER2ViTTrainingLib.tables.case_table import cases_text

from .table_one import TableOne

RESULT_FILES = ("table1.csv", "table1.html")
METHODS = (
    (
        "Continuous: mean (SD); Student's t test, one-way ANOVA for three groups and more (Welch's forms"
        " where the test says so)."
    ),
    (
        "Not normal: median (first to third quartile); Mann-Whitney test, exact with fewer than 50 cases a"
        " group and no ties, else normal approximation with continuity correction (R's wilcox.test);"
        " Kruskal-Wallis test for three groups and more. Survival times are compared as plain numbers,"
        " whether censored or not: for survival itself see the prognosis command."
    ),
    (
        "Categorical: n (% of all the group's cases, NA among them); Pearson's chi-squared test, for 2 x 2"
        " tables with Yates's continuity correction (R's chisq.test); Fisher's exact test when an expected"
        f" count is below 5. Larger tables are enumerated where feasible, else {MONTE_CARLO_TABLES} seeded"
        " random tables stand for all, and the test is labelled Monte Carlo."
    ),
    (
        "NA is counted, and left out of tests and standardised differences. Tests are two-sided and not"
        " corrected for their number."
    ),
    (
        "smd: absolute standardised mean difference (Austin 2009; categorical: Yang & Dalton 2012); with"
        " three groups and more, the mean of all pairs; empty where it has no bound: two groups have no level"
        " in common, or differ and do not vary."
    ),
    (
        "A standard error below ten times the round-off of the mean is none: such values do not vary (R's "
        "t.test)."
    ),
)


def readable_rows(table: TableOne) -> list[list[str]]:
    """The table's rows for people: p to three decimals, a variable's name on its first row only."""
    rows = []
    last = None
    for row in table.rows:
        rows.append(
            [
                "" if row["variable"] == last else row["variable"],
                row["level"],
                *(row[group] for group in table.groups),
                row.get("test", ""),
                with_decimals(row.get("statistic", math.nan)),
                p_text(row.get("p", math.nan)),
                with_decimals(row.get("smd", math.nan)),
            ]
        )
        last = row["variable"]
    return rows


def table_one_text(table: TableOne) -> str:
    """The table as aligned plain text, with its notes and the notice."""
    lines = aligned([list(table.columns), *readable_rows(table)])
    return "\n".join([*lines, *table.notes, RESEARCH_NOTICE])


def table_one_html(table: TableOne) -> bytes:
    """The table as a self-contained page with methods, notes, inputs and versions. All texts are escaped."""
    return html_page(
        "table1.html",
        {},
        table=table,
        rows=readable_rows(table),
        methods=METHODS,
        cases=cases_text(len(table.cases)),
        versions={
            "her2vit": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        },
    )


def write_table_one(table: TableOne, folder: str | os.PathLike) -> list[str]:
    """Writes `table1.csv` and `table1.html` into a folder of their own and returns their names. Raises
    `InputError` for foreign content.
    """
    contents = {"table1.csv": csv_bytes(table.columns, table.rows), "table1.html": table_one_html(table)}
    return write_results(folder, RESULT_FILES, contents)
