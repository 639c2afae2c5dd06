"""TRIPOD+AI and CLAIM 2024: every item by its published number, and where the report answers it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKLISTS = Path(__file__).parent / "data" / "checklists.json"
COLUMNS = ("checklist", "item", "topic", "answered", "where", "open")


@dataclass(frozen=True)
class Answer:
    """An item of a checklist. `answered`: "yes", "in part" or "open"; `sections`: titles by key, of those
    that are in the document; `left`: what is open, and for whom.
    """

    number: str
    topic: str
    asks: str
    answered: str
    sections: Mapping[str, str]
    left: str


@dataclass(frozen=True)
class Checklist:
    """A checklist with its answers; `source` is the publication, `looked_up` where the items were read."""

    name: str
    source: str
    looked_up: str
    answers: Sequence[Answer]


def answered_checklists(present: Mapping[str, str], missing: Mapping[str, str]) -> list[Checklist]:
    """The checklists for a document. `present`: titles by key of its sections; `missing`: by key, what would
    bring a section that is not there.
    """
    content = json.loads(CHECKLISTS.read_text(encoding="utf-8"))
    found = []
    for one in content["checklists"]:
        answers = [_answer(item, present, missing) for item in one["items"]]
        found.append(Checklist(one["name"], one["source"], one["looked_up"], answers))
    return found


def _answer(item: Mapping[str, Any], present: Mapping[str, str], missing: Mapping[str, str]) -> Answer:
    sections = {key: present[key] for key in item["sections"] if key in present}
    left = [f"{item['owner']}: {item['open']}"] if "open" in item else []
    left += [f"author: {missing[key]}" for key in item["sections"] if key not in present]
    answered = "open" if not sections else "in part" if left else "yes"
    return Answer(item["number"], item["topic"], item["asks"], answered, sections, "; ".join(left))


def checklist_rows(checklists: Sequence[Checklist]) -> list[dict[str, str]]:
    """Rows of `checklists.csv`: a row an item."""
    rows = []
    for checklist in checklists:
        for answer in checklist.answers:
            where = "; ".join(answer.sections.values())
            cells = (checklist.name, answer.number, answer.topic, answer.answered, where, answer.left)
            rows.append(dict(zip(COLUMNS, cells)))
    return rows
