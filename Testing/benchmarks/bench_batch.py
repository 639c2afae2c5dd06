"""The batch: against only reading the files and running the bare models (full-size ViT-Tiny), its memory as
cases grow, and a hundred kills.

`python Testing/benchmarks/bench_batch.py 120` takes so many cases instead of 1000, to look at the figures in
a minute or two.
"""

from __future__ import annotations

import csv
import functools
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import SimpleITK as sitk
import torch
from bundles import full_size_bundles
from measure import Claim, seconds

from HER2ViTLib.her2 import TWO_STEP
from HER2ViTLib.model.bundle import load_bundle
from HER2ViTLib.sample import demo_bundles
from HER2ViTTrainingLib.batch.batch import CHUNK, read_batch
from HER2ViTTrainingLib.parallel.executors import executor
from HER2ViTTrainingLib.simulation.cohorts import simulate_cohort
from HER2ViTTrainingLib.simulation.protocols import PROTOCOLS

HERE = Path(__file__).resolve().parent
WORKERS = 2
SCALE = 0.3
PARTS = 4
TURNS = 2
KILLS = 100
MODELS = "models"
MIN_RATE = 0.8
KILLED_CASES = 100


def claims(cases: int = 1000, kills: int = KILLS) -> list[Claim]:
    with tempfile.TemporaryDirectory() as folder:
        manifest = _simulated(Path(folder) / "cohort", cases)
        few = _first(manifest, max(1, cases // 10))
        full_size_bundles(Path(folder) / MODELS)
        found = []
        for where in ("processes", "dask"):
            found += _rate_and_memory(where, manifest, few, cases, Path(folder))
        return [*found, _killed(_first(manifest, min(KILLED_CASES, cases)), Path(folder), kills)]


# The cases


def _simulated(folder: Path, cases: int) -> Path:
    """A manifest of so many simulated cases, made in parts by several processes."""
    share = -(-cases // PARTS)
    with executor(WORKERS) as pool:
        list(pool.map(_simulate_part, [folder] * PARTS, range(PARTS), [share] * PARTS))
    rows = []
    for part in range(PARTS):
        with (folder / str(part) / "manifest.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                images = ";".join(f"{part}/{name}" for name in row["image"].split(";"))
                rows.append((f"{part}-{row['case_id']}", images, f"{part}/{row['roi']}", row["early_phase"]))
    return _written(folder / "manifest.csv", rows[:cases])


def _simulate_part(folder: Path, part: int, cases: int) -> None:
    simulate_cohort(cases, part + 1, PROTOCOLS["A"], folder / str(part), scale=SCALE)


def _written(path: Path, rows: Sequence[Sequence[str]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("case_id", "image", "roi", "early_phase"), *rows])
    return path


def _first(manifest: Path, cases: int) -> Path:
    with manifest.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    return _written(manifest.with_name(f"first{cases}.csv"), rows[:cases])


# The same cases without us: only the files read and the models run


@functools.lru_cache(maxsize=1)
def _models(folder: Path) -> list[torch.nn.Module]:
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    return [load_bundle(folder / task.name).model for task in TWO_STEP]


def bare_chunk(folder: Path, cases: Sequence[Sequence[str]]) -> None:
    models = _models(folder)
    image = torch.zeros(1, 3, 224, 224)
    with torch.inference_mode():
        for files in cases:
            for file in files:
                sitk.GetArrayFromImage(sitk.ReadImage(file))
            for model in models:
                model(image)


def _models_of(manifest: str) -> Path:
    """The models lie beside the cohort's folder."""
    return Path(manifest).parents[1] / MODELS


def bare(manifest: str, scheduler: str | None) -> None:
    folder = Path(manifest).parent
    with open(manifest, newline="") as file:  # noqa: PTH123
        rows = list(csv.DictReader(file))
    cases = []
    for row in rows:
        names = [*row["image"].split(";"), row["roi"]]
        cases.append([str(folder / name) for name in names])
    with executor(None if scheduler else WORKERS, scheduler) as pool:
        chunks = [cases[n : n + CHUNK] for n in range(0, len(cases), CHUNK)]
        list(pool.map(bare_chunk, [_models_of(manifest)] * len(chunks), chunks))


def ours(manifest: str, scheduler: str | None, out: str) -> None:
    bundles = [_models_of(manifest) / task.name for task in TWO_STEP]
    read_batch(
        manifest, bundles, out, device="cpu", workers=None if scheduler else WORKERS, scheduler=scheduler
    )


# Each run in a process of its own, whose memory is watched


def timed(where: str, run: Callable[[str | None], None]) -> None:
    """Prints the seconds of a run: with processes from their start, with a cluster that is there already."""
    if where == "processes":
        print(seconds(lambda: run(None)))
        return
    from distributed import LocalCluster

    with LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None) as cluster:
        print(seconds(lambda: run(cluster.scheduler_address)))


def _run(where: str, call: str) -> tuple[float, int]:
    """Seconds of a run, and the most memory (bytes) that its processes held together."""
    code = (
        f"import sys; sys.path.insert(0, {str(HERE)!r}); import bench_batch; bench_batch.timed({where!r},"
        f" lambda s: bench_batch.{call})"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    peak = 0
    while process.poll() is None:
        peak = max(peak, _memory(process.pid))
        time.sleep(0.1)
    if process.returncode:
        raise RuntimeError(f"{call} failed")
    return float(process.stdout.read()), peak


def _memory(pid: int) -> int:
    total = 0
    try:
        tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in tree:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def _rate_and_memory(where: str, manifest: Path, few: Path, cases: int, folder: Path) -> list[Claim]:
    times = []
    peaks = []
    for turn in range(TURNS):
        out = folder / f"{where}{turn}"
        mine, peak = _run(where, f"ours({str(manifest)!r}, s, {str(out)!r})")
        other, _ = _run(where, f"bare({str(manifest)!r}, s)")
        times.append((mine, other))
        peaks.append(peak)
    _, less = _run(where, f"ours({str(few)!r}, s, {str(folder / f'{where}few')!r})")
    name = (
        f"batch of {cases} cases, {WORKERS} {'worker processes' if where == 'processes' else 'Dask workers'}"
    )
    rate = cases / statistics.median(mine for mine, _ in times)
    detail = (
        f"median of {TURNS}: {rate:.1f} cases/s; a rate of {statistics.median(b / a for a, b in times):.2f}"
        " of the bare loop's"
    )
    slowdown = statistics.median(a / b for a, b in times)
    more = statistics.median(peaks)
    return [
        Claim(
            f"{name} against only reading the files and running the bare models",
            1 / MIN_RATE,
            slowdown,
            "x",
            detail,
        ),
        Claim(
            f"{name}: peak memory against that of a tenth of them",
            1.1,
            more / less,
            "x",
            f"{more / 1e6:.0f} MB against {less / 1e6:.0f} MB",
        ),
    ]


# A hundred kills


def _killed(manifest: Path, folder: Path, kills: int) -> Claim:
    """Runs killed at random moments and resumed (and killed again); whenever one comes to its end its table
    must be the undisturbed one.
    """
    started = time.perf_counter()
    _wait(_start(manifest, folder / "undisturbed"))
    takes = time.perf_counter() - started
    expected = (folder / "undisturbed" / "readings.csv").read_bytes()
    chance = random.Random(1)
    done = 0
    wrong = 0
    tables = 0
    out = folder / "killed0"
    while done < kills:
        process = _start(manifest, out)
        try:
            status = process.wait(timeout=chance.uniform(0, takes))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            done += 1
            if done < kills:
                continue
            status = _wait(_start(manifest, out))
        tables += 1
        wrong += (
            status != 0
            or (out / "readings.csv").read_bytes() != expected
            or len(list((out / "cases").iterdir())) != expected.count(b"\n") - 1
        )
        out = folder / f"killed{tables}"
    detail = f"{kills} SIGKILLs within the {takes:.1f} s of a run; {tables} tables compared byte by byte"
    return Claim(
        "tables that differ from an undisturbed run's after runs were killed and resumed",
        0,
        wrong,
        "",
        detail,
    )


def _start(manifest: Path, out: Path) -> subprocess.Popen:
    bundles = [word for path in demo_bundles() for word in ("--bundle", str(path))]
    command = [
        "batch",
        str(manifest),
        *bundles,
        "--device",
        "cpu",
        "--workers",
        str(WORKERS),
        "--out",
        str(out),
    ]
    return subprocess.Popen(
        [sys.executable, "-m", "HER2ViTTrainingLib.commands.main", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _wait(process: subprocess.Popen) -> int:
    if process.wait():
        raise RuntimeError("a run that nobody disturbed failed")
    return 0


if __name__ == "__main__":
    few = [int(word) for word in sys.argv[1:]]
    sys.stdout.write("\n".join(map(str, claims(*few))) + "\n")
