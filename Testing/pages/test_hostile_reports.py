"""Reports and tables show names as they are: no text of an input becomes markup, a script, a template, a
formula, or an address to fetch.
"""

import contextlib
import csv
import html.parser
import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from HER2ViTLib.files.output import csv_text
from HER2ViTLib.sample import sample_phases, sample_roi
from HER2ViTTrainingLib.batch import batch
from HER2ViTTrainingLib.commands.main import main
from imaging.test_hostile_images import REFUSED_NRRD, nrrd
from support.hostile import SCRIPT
from support.models import a_bundle_folder

pytestmark = pytest.mark.usefixtures("no_network")

MARKUP = '"><img src=x onerror=alert(1)>'
FORMULA = '=HYPERLINK("http://127.0.0.1/?"&A1)'
TEMPLATE = "{{ 7 * 7 }}{% raw %}"
MATHS = r"$\bad{$ \N{x}"
NAMES = (SCRIPT, MARKUP, FORMULA, TEMPLATE, MATHS, "@SUM(1)", "-1+1", "'=1+1", "</table></html>", "&lt;b&gt;")
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "footer", "section", "figure"),
    *(
        "figcaption",
        "h1",
        "h2",
        "h3",
        "p",
        "div",
        "span",
        "strong",
        "em",
        "b",
        "i",
        "br",
        "hr",
        "code",
        "img",
    ),
    *("a", "ul", "ol", "li", "table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td", "small", "sub"),
    *("sup", "details", "summary"),
}


class Page(html.parser.HTMLParser):
    """Collects the tags with their attributes and the text of a page."""

    def __init__(self):
        super().__init__()
        self.tags = []
        self.texts = []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.texts.append(data)


def require_harmless(folder, *shown):
    """Every page and table of a folder; `shown` must be there as text in some of them."""
    pages = ""
    cells = set()
    for path in folder.rglob("*.html"):
        page = Page()
        page.feed(path.read_text(encoding="utf-8"))
        for tag, attributes in page.tags:
            assert tag in TAGS, (path.name, tag)
            assert not any(name.startswith("on") for name in attributes), (path.name, tag)
            assert all(
                (attributes.get(name) or "data:image/png;").startswith("data:image/png;")
                for name in ("src", "href")
            ), (path.name, tag)
        assert sum(tag == "html" for tag, _ in page.tags) == 1
        pages += "".join(page.texts)
    for path in folder.rglob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            for cell in (cell for row in csv.reader(file) for cell in row):
                assert not re.match(r"[=+\-@\t\r]", cell) or re.fullmatch(
                    r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|-?inf", cell
                ), (path.name, cell)
                cells.add(csv_text(cell))
    for path in folder.rglob("*.json"):
        json.loads(path.read_text(encoding="utf-8"))
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in folder.rglob("*.png"))
    for name in shown:
        assert name in pages or name in cells, name
    return pages, cells


def write(path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return str(path)


@pytest.mark.filterwarnings("ignore")
def test_evaluate(tmp_path):
    rows = [["case_id", "set", "label", "score", MARKUP, FORMULA]]
    rows += [
        [f"{NAMES[n % 10]} {n}", NAMES[n % 3], n // 3 % 2, n / 40, NAMES[3 + n % 4], 1 - n / 40]
        for n in range(36)
    ]
    words = [
        "evaluate",
        write(tmp_path / "p.csv", rows),
        "--by",
        MARKUP,
        "--compare",
        FORMULA,
        "--resamples",
        "20",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(words) == 0
    pages, cells = require_harmless(tmp_path / "out", SCRIPT, MARKUP, FORMULA, TEMPLATE)
    assert SCRIPT in pages
    assert FORMULA in cells


@pytest.mark.filterwarnings("ignore")
def test_agreement(tmp_path):
    noise = np.random.default_rng(0)
    raters = [name for name in NAMES if "," not in name][:3]
    rows = [["case_id", "rater", *NAMES[:6]]]
    for rater in raters:
        for n in range(9):
            values = noise.normal(n, 1, 6)
            rows.append([f"{NAMES[n % 10]} {n}", rater, *(f"{value:.3f}" for value in values)])
    assert main(["agreement", write(tmp_path / "r.csv", rows), "--out", str(tmp_path / "out")]) == 0
    require_harmless(tmp_path / "out", SCRIPT, TEMPLATE, MATHS)


@pytest.mark.filterwarnings("ignore")
def test_table1(tmp_path):
    noise = np.random.default_rng(0)
    rows = [["case_id", MARKUP, FORMULA, TEMPLATE, SCRIPT]]
    rows += [
        [f"{NAMES[n % 10]} {n}", NAMES[n % 3], f"{noise.normal():.3f}", NAMES[n % 7], NAMES[9 - n % 4]]
        for n in range(30)
    ]
    assert (
        main(["table1", write(tmp_path / "t.csv", rows), "--by", MARKUP, "--out", str(tmp_path / "out")]) == 0
    )
    require_harmless(tmp_path / "out", SCRIPT, MARKUP, FORMULA, TEMPLATE)


@pytest.mark.filterwarnings("ignore")
def test_prognosis(tmp_path):
    noise = np.random.default_rng(0)
    rows = [["case_id", SCRIPT, MATHS, MARKUP, FORMULA]]
    for n in range(60):
        time = f"{noise.exponential(30) + 1:.1f}"
        event = int(noise.random() < 0.6)
        rows.append([f"{NAMES[n % 10]} {n}", time, event, NAMES[n % 3], NAMES[2 + n // 3 % 2]])
    words = [
        "prognosis",
        write(tmp_path / "p.csv", rows),
        "--time",
        SCRIPT,
        "--event",
        MATHS,
        "--group",
        MARKUP,
    ]
    assert (
        main([*words, "--covariates", '"' + FORMULA.replace('"', '""') + '"', "--out", str(tmp_path / "out")])
        == 0
    )
    require_harmless(tmp_path / "out", SCRIPT, MARKUP)


@pytest.mark.filterwarnings("ignore")
def test_genes(tmp_path):
    noise = np.random.default_rng(0)
    genes = [*NAMES, *(f"GENE{n}" for n in range(50))]
    cases = [f"{NAMES[n % 10]} {n}" for n in range(10)]
    counts = noise.poisson(80, (60, 10)) * np.where(
        np.arange(60)[:, None] < 10, np.where(np.arange(10) < 5, 1, 9), 1
    )
    write(tmp_path / "counts.csv", [["gene", *cases], *([gene, *row] for gene, row in zip(genes, counts))])
    write(
        tmp_path / "groups.csv",
        [["case_id", "group"], *([case, (SCRIPT, FORMULA)[n // 5]] for n, case in enumerate(cases))],
    )
    sets = tmp_path / "$x$ <b>.gmt"
    sets.write_text("\n".join("\t".join([name, "http://127.0.0.1", *genes[:12]]) for name in NAMES) + "\n")
    (tmp_path / "ppi.tsv").write_text(
        "a\tb\n" + "".join(f"{a}\t{b}\n" for a in genes[3:8] for b in genes[3:8] if a != b)
    )
    words = [
        "genes",
        str(tmp_path / "counts.csv"),
        "--groups",
        str(tmp_path / "groups.csv"),
        "--reference",
        SCRIPT,
        "--gmt",
        str(sets),
    ]
    assert main([*words, "--ppi", str(tmp_path / "ppi.tsv"), "--out", str(tmp_path / "out")]) == 0
    require_harmless(tmp_path / "out", MARKUP, FORMULA, TEMPLATE, MATHS)


@pytest.mark.filterwarnings("ignore")
def test_cohort(tmp_path):
    (tmp_path / "x.nrrd").touch()
    (tmp_path / "y.nrrd").touch()
    rows = [["case_id", "image", "roi", "ihc", "ish", "exclude", "patient_id", SCRIPT, FORMULA]]
    for n in range(24):
        for name in ("image", "roi"):
            (tmp_path / f"{name}{n}.nrrd").touch()
        reason = NAMES[n % 10] if n % 4 == 0 else ""
        own = (f"{NAMES[n % 10]} {n}", NAMES[n % 10], MATHS)
        rows.append(
            [f"case{n}", f"image{n}.nrrd", f"roi{n}.nrrd", ("0", "1+", "3+")[n % 3], "", reason, *own]
        )
    assert main(["cohort", write(tmp_path / "m.csv", rows), "--out", str(tmp_path / "out")]) == 0
    require_harmless(tmp_path / "out", SCRIPT, FORMULA, MATHS)


@pytest.mark.filterwarnings("ignore")
def test_batch(tmp_path, monkeypatch):
    """A bad image fails by itself, with a reason and not with an exception, and its name stays a name."""
    monkeypatch.setattr(batch, "executor", lambda *_: contextlib.nullcontext(ThreadPoolExecutor(1)))
    for n, fault in enumerate(
        ("spacing zero", "directions singular", "a huge dimension", "data file elsewhere", "colour")
    ):
        nrrd(tmp_path / f"=<b onclick=x>{n}.nrrd", **REFUSED_NRRD[fault])
    (tmp_path / "folder").mkdir()
    images = [*sorted(path.name for path in tmp_path.iterdir()), str(sample_phases()[1])]
    rows = [
        ["case_id", "image", "roi"],
        *([f"case {n}", image, sample_roi()] for n, image in enumerate(images)),
    ]
    bundle = a_bundle_folder(tmp_path / "bundle")
    words = [
        "batch",
        write(tmp_path / "m.csv", rows),
        "--bundle",
        str(bundle),
        "--device",
        "cpu",
        "--out",
        str(tmp_path / "out"),
    ]
    for _ in range(2):
        assert main(words) == 3
        require_harmless(tmp_path / "out", "case 0")
        with (tmp_path / "out" / "failures.csv").open(newline="") as file:
            failures = {row["case_id"]: row["reason"] for row in csv.DictReader(file)}
        assert list(failures) == [f"case {n}" for n in range(len(images) - 1)]
        assert not any(re.match(r"\w*(Error|Exception)\b", reason) for reason in failures.values())
        # what the next run goes on from may be damaged as well
        for record in (tmp_path / "out" / "cases").glob("*/*.json"):
            if record.name != "reading.json":
                record.write_text("[" * 100_000)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [SCRIPT, MATHS + TEMPLATE])
def test_read(tmp_path, name):
    """Case id, file names and the notice of a bundle."""
    file = re.sub("[/\0]", "_", name)
    image = shutil.copy(sample_phases()[1], tmp_path / f"{file}.nrrd")
    bundle = a_bundle_folder(tmp_path / file, notice=f"{name} {MARKUP}")
    words = [
        "read",
        str(image),
        "--roi",
        str(sample_roi()),
        "--bundle",
        str(bundle),
        "--case-id",
        name,
        "--keep-names",
        "--device",
        "cpu",
    ]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    require_harmless(tmp_path / "out", name, MARKUP, file)
    assert json.loads((tmp_path / "out" / "reading.json").read_text())["case_id"] == name
