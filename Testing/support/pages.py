"""What a page of ours must be: whole, and without anything from elsewhere."""

from __future__ import annotations

import html.parser
import re

EMPTY = {"br", "hr", "img", "meta"}


class _Checked(html.parser.HTMLParser):
    """Faults of a page: elements left open or crossed, ids there twice, links that lead nowhere or out."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag, attributes):
        if tag not in EMPTY:
            self.open.append(tag)
        values = dict(attributes)
        self.ids += [values["id"]] if "id" in values else []
        for name in ("src", "href"):
            target = values.get(name, "")
            if target.startswith("#"):
                self.links.append(target[1:])
            elif target and not target.startswith("data:image/png;base64,"):
                self.faults.append(f"{tag} {name} leads out: {target[:80]}")
        if tag in ("script", "iframe", "link", "object", "form") or any(
            name.startswith("on") for name in values
        ):
            self.faults.append(f"{tag} may run or load something")

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"line {self.getpos()[0]}: </{tag}> closes nothing")

    def handle_data(self, data):
        self.texts.append(data)


def faults_of_page(path):
    """A line for each fault of a page's HTML; none in a good page."""
    text = path.read_text(encoding="utf-8")
    page = _Checked()
    page.feed(text)
    page.close()
    faults = list(page.faults)
    faults += [f"<{tag}> is left open" for tag in page.open]
    faults += [f"id {one} is there twice" for one in set(page.ids) if page.ids.count(one) > 1]
    faults += [f"link to #{one}, which is not there" for one in set(page.links).difference(page.ids)]
    faults += re.findall(r"(?:@import|url\()[^;)]*", text)
    return faults if text.startswith("<!doctype html>") else ["no doctype", *faults]


def text_of_page(path):
    """What a page says, without tags and pictures."""
    page = _Checked()
    page.feed(path.read_text(encoding="utf-8"))
    return " ".join(" ".join(page.texts).split())
