"""What each section of the report shows. Results with a page show its body; the others are drawn here."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from HER2ViTLib.messages import InputError
from HER2ViTLib.model.operating_point import operating_point_of
from HER2ViTTrainingLib.pages.texts import estimate_text, p_text
from HER2ViTTrainingLib.stats.estimates import Estimate

from .body import body_of
from .study import Result

BEST_GENES = 10
_MADE_HERE = ("training", "validation", "out-of-fold")


@dataclass(frozen=True)
class Table:
    """A table of the report: what it says, and rows of column to text."""

    title: str
    rows: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Drawing:
    """What a section shows: a page's body (HTML), or texts, tables and pictures (name to PNG)."""

    body: str = ""
    texts: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Mapping[str, bytes] = field(default_factory=dict)


def drawing_of(result: Result) -> Drawing:
    """Raises `InputError` for files that are missing or damaged."""
    path = result.folder / result.kind.file
    again = f"run her2vit {result.kind.command} again"
    try:
        if result.kind.page:
            return Drawing(body=body_of((result.folder / result.kind.page).read_bytes()))
        return _DRAWN[result.kind.key](result)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{error.filename}: is missing; {again}") from error
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{path}: lacks what it should hold ({error}); {again}") from error


def parts_found(results: Iterable[Result]) -> set[str]:
    """Which of the parts are there that checklists ask for: "external", a set in Table 2 that no model was
    developed on; "sites", an audit by site or scanner.
    """
    found = set()
    for one in results:
        if one.kind.key == "table2" and set(one.content["sets"]).difference(_MADE_HERE):
            found.add("external")
        if one.kind.key == "audit" and one.content["columns"]:
            found.add("sites")
    return found


def csv_rows(result: Result, name: str) -> list[dict[str, str]]:
    """The rows of a table in the result's folder."""
    return list(csv.DictReader(io.StringIO((result.folder / name).read_text(encoding="utf-8"))))


# Cohort


def _cohort(result: Result) -> Drawing:
    content = result.content
    flows = [_flow_row(one["cohort"], one["role"], one) for one in content["cohorts"]]
    if len(flows) > 1:
        flows.append(_flow_row("all", "", content["total"]))
    reasons = [
        {"cohort": one["cohort"], "reason": why["reason"], "cases": why["n"]}
        for one in content["cohorts"]
        for why in one["reasons"]
    ]
    sets = []
    for task, parts in content["split"]["tasks"].items():
        for name in ("training", "validation"):
            sets.append({"task": task, "set": name, **_counts(parts[name])})
        for n, fold in enumerate(parts["folds"], start=1):
            sets.append({"task": task, "set": f"fold {n}", **_counts(fold)})
    tables = [Table("Flow of cases", flows), Table("Excluded", reasons), Table("Sets, by patient", sets)]
    texts = [f"Warning: {one['text']}" for one in content["warnings"]]
    note = content["split"].get("note")
    return Drawing("", [*([note] if note else []), *texts], _filled(tables), result.pictures())


def _flow_row(name: str, role: str, flow: Mapping[str, Any]) -> dict[str, Any]:
    assessed = {"assessed": flow["assessed"], "excluded": flow["excluded"]}
    return {"cohort": name, "role": role, **assessed, **_counts(flow["included"])}


def _counts(counts: Mapping[str, int]) -> dict[str, int]:
    shown = {"cases": counts["n"], "patients": counts["patients"]}
    return {**shown, **{name: counts[name] for name in ("zero", "low", "positive")}}


def _filled(tables: Sequence[Table]) -> list[Table]:
    return [table for table in tables if table.rows]


# Training


def _training(result: Result) -> Drawing:
    configs = sorted(result.folder.glob("config.json")) or sorted(result.folder.glob("*/config.json"))
    if not configs:
        return Drawing(texts=["No model learnt enough to be kept: there is no bundle."])
    models = {}
    for path in configs:
        name = path.parent.name if path.parent != result.folder else "the model"
        models[name] = result.json(path.relative_to(result.folder).as_posix())
    first = next(iter(models.values()))
    ours = first["her2vit"]
    texts = [f"Task {ours['task']}. {ours.get('notice', '')}".strip()]
    if len(models) > 1:
        texts.append(f"{len(models)} models, one for each fold and seed; settings of the first.")
    tables = [
        Table("Settings", _settings(first)),
        Table("Sets: cases, and the model's AUC", [row for item in models.items() for row in _sets(*item)]),
        Table("What the threshold gives", [row for item in models.items() for row in _points(*item)]),
    ]
    return Drawing("", texts, _filled(tables), result.pictures())


def _settings(config: Mapping[str, Any]) -> list[dict[str, str]]:
    ours = config["her2vit"]
    made = ours["provenance"]
    found = {
        "architecture": config["architecture"],
        **{f"network: {name}": value for name, value in made.get("network", {}).items()},
        **{f"preprocessing: {name}": value for name, value in ours["preprocessing"].items()},
        **{f"recipe: {name}": value for name, value in made.get("recipe", {}).items()},
        "epochs run": made.get("epochs_run"),
        "seed": made.get("seed"),
        "calibration (Platt)": "slope {slope:.3f}, intercept {intercept:.3f}".format(**ours["calibration"]),
        "threshold (Youden, validation)": f"{ours['threshold']:.3f}",
        "prevalence": f"{ours['prevalence']:.3f}",
        "versions": ", ".join(f"{name} {value}" for name, value in made.get("versions", {}).items()),
        "device": made.get("device"),
        "weights SHA-256": ours["weights_sha256"],
    }
    return [
        {"setting": name, "value": _text(value)} for name, value in found.items() if value not in (None, {})
    ]


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(one)}" for name, one in value.items())
    return ", ".join(map(_text, value)) if isinstance(value, list) else str(value)


def _sets(model: str, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    sets = config["her2vit"]["provenance"].get("sets", {})
    return [
        {"model": model, "set": name, "cases": one["n"], "label 1": one["n_pos"], "AUC": _text(one["auc"])}
        for name, one in sets.items()
    ]


def _points(model: str, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for name, content in config["her2vit"].get("operating_point", {}).items():
        point = operating_point_of(name, content)
        rates = {"sensitivity": str(point.sensitivity), "specificity": str(point.specificity)}
        doubt = "yes: chosen on these cases" if point.optimistic else "no"
        rows.append({"model": model, "set": name, **rates, "optimistic": doubt})
    return rows


# Readings, two-step call


def _batch(result: Result) -> Drawing:
    readings = csv_rows(result, "readings.csv")
    calls = Counter(row["call"] or "no call" for row in readings)
    rows = [{"call": name, "cases": n} for name, n in sorted(calls.items())]
    failures = Counter(row["stage"] for row in csv_rows(result, "failures.csv"))
    failed = [{"failed at": stage, "cases": n} for stage, n in sorted(failures.items())]
    codes = Counter(code for row in readings for code in row["warnings"].split())
    warned = [{"warning": code, "cases": n} for code, n in sorted(codes.items())]
    tables = [Table("Calls", rows), Table("Not read", failed), Table("Warnings", warned)]
    return Drawing(texts=[f"{len(readings)} cases read."], tables=_filled(tables))


def _call(result: Result) -> Drawing:
    content = result.content
    parts = {"all cases": content}
    if len(content["cohorts"]) > 1:
        parts.update(content["cohorts"])
    tables = []
    for name, part in parts.items():
        tables.append(Table(f"Reference standard (rows) and call, {name}", _matrix(content["labels"], part)))
        figures = ("accuracy", "balanced_accuracy", "weighted_kappa")
        overall = [{"figure": one.replace("_", " "), "value": _estimate(part[one])} for one in figures]
        tables.append(Table(f"Overall, {name}", overall))
    texts = [content["optimism"], *content["notes"]]
    texts += [f"Not judged: {one['n']} cases, {one['reason']}." for one in content["excluded"]]
    sets = content.get("call_set")
    if sets:
        tables.append(Table("Statuses that cannot be excluded", _figures(sets)))
    return Drawing(texts=texts, tables=tables)


def _matrix(labels: Sequence[str], part: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for name, counts in zip(labels, part["matrix"]):
        of_class = part["classes"][name]
        rates = {"sensitivity": _estimate(of_class["sensitivity"]), "PPV": _estimate(of_class["ppv"])}
        rows.append({"": name, **dict(zip(labels, counts)), **rates})
    return rows


def _figures(found: Mapping[str, Any], above: str = "") -> list[dict[str, str]]:
    """The numbers of nested JSON, a row each; estimates with their intervals."""
    rows = []
    for name, value in found.items():
        shown = f"{above} {name}".strip().replace("_", " ")
        if isinstance(value, Mapping) and "value" not in value:
            rows += _figures(value, shown)
        elif isinstance(value, Mapping):
            rows.append({"figure": shown, "value": _estimate(value)})
        elif isinstance(value, (int, float, str)):
            rows.append(
                {"figure": shown, "value": f"{value:.3g}" if isinstance(value, float) else str(value)}
            )
    return rows


def _estimate(found: Mapping[str, Any]) -> str:
    numbers = [math.nan if found[name] is None else found[name] for name in ("value", "low", "high")]
    return estimate_text(Estimate(*numbers))


# Genes


def _genes(result: Result) -> Drawing:
    content = result.content
    limits = content["thresholds"]
    groups = ", ".join(f"{n} {name}" for name, n in content["cases"].items())
    rule = f"{limits['rule']}, alpha {limits['alpha']:g}, lfc {limits['lfc']:g}"
    texts = [f"{content['contrast']}. Cases: {groups}. Called differentially expressed: {rule}."]
    steps = [{"genes": name.replace("_", " "), "number": n} for name, n in content["genes"].items()]
    best = sorted(csv_rows(result, "deseq2.csv"), key=lambda row: float(row["padj"] or "inf"))[:BEST_GENES]
    tables = [
        Table("Genes", steps),
        Table(f"The {len(best)} genes of smallest p", [_gene(row) for row in best]),
    ]
    for name, title in (("ora.csv", "Over-represented sets"), ("hubs.csv", "Hub genes")):
        if (result.folder / name).is_file():
            rows = csv_rows(result, name)[:BEST_GENES]
            tables.append(Table(title, [_short(row) for row in rows]))
    versions = ", ".join(f"{name} {value}" for name, value in content["versions"].items())
    texts += [*content["notes"], f"Versions: {versions}."]
    return Drawing("", texts, _filled(tables), result.pictures())


def _gene(row: Mapping[str, str]) -> dict[str, str]:
    change = f"{float(row['log2FoldChange']):.2f} ({float(row['lfcSE']):.2f})"
    adjusted = p_text(float(row["padj"] or "nan"))
    return {"gene": row["gene"], "log2 fold change (SE)": change, "adjusted p": adjusted}


def _short(row: Mapping[str, str]) -> dict[str, str]:
    """A row with its p values as in other tables, and without the list of genes."""
    return {
        name: p_text(float(value or "nan")) if name in ("p", "padj") else value
        for name, value in row.items()
        if name != "genes"
    }


_DRAWN: dict[str, Callable[[Result], Drawing]] = {
    "cohort": _cohort,
    "training": _training,
    "batch": _batch,
    "call": _call,
    "genes": _genes,
}
