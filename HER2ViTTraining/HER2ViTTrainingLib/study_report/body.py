"""The body of a result's page as a part of the document: its headings two levels down, nothing but plain
text, tables and pictures in it.

A page lies in the study as a file that anybody may have edited, so only what is named here passes.
"""

from __future__ import annotations

from html import escape
from html.parser import HTMLParser

from HER2ViTLib.messages import RESEARCH_NOTICE

_RENAMED = {"h1": "h3", "h2": "h4", "h3": "h5", "summary": "h5"}
_TAGS = {
    *("p", "ul", "ol", "li", "dl", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td", "caption"),
    *("span", "strong", "em", "b", "i", "sub", "sup", "code", "blockquote"),
}
_EMPTY = {"br", "hr"}
_SILENT = {"head", "script", "style", "title"}
_FOLDED = "inputs"
"""Class of a folded list of inputs, which would fill pages: the document names them by their table."""
_PICTURE = "data:image/png;base64,"


def body_of(page: bytes) -> str:
    """The body of an HTML page in UTF-8, as HTML escaped piece by piece."""
    reader = _Body()
    reader.feed(page.decode("utf-8", errors="replace"))
    reader.close()
    return "".join(reader.parts).replace(_notice(), "")


def _notice() -> str:
    """The notice as every page has it: the document says it once."""
    return f'<p class="notice">{escape(RESEARCH_NOTICE)}</p>'


class _Body(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._silent = 0
        self._folded = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent += 1
            return
        values = {name: value or "" for name, value in attrs}
        if tag == "details":
            self._folded = values.get("class") == _FOLDED
        if self._folded:
            return
        if tag == "img" and values.get("src", "").startswith(_PICTURE):
            text = escape(values.get("alt", ""))
            self.parts.append(f'<img alt="{text}" src="{escape(values["src"])}">')
        elif tag in _EMPTY:
            self.parts.append(f"<{tag}>")
        elif tag in _TAGS or tag in _RENAMED:
            kept = [f' {name}="{escape(values[name])}"' for name in ("class", "colspan") if name in values]
            self.parts.append(f"<{_RENAMED.get(tag, tag)}{''.join(kept)}>")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(0, self._silent - 1)
        elif tag == "details":
            self._folded = False
        elif self._folded:
            return
        elif tag in _TAGS or tag in _RENAMED:
            self.parts.append(f"</{_RENAMED.get(tag, tag)}>")

    def handle_data(self, data: str) -> None:
        if not self._silent and not self._folded:
            self.parts.append(escape(data, quote=False))
