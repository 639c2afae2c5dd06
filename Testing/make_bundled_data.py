"""Makes what is bundled in HER2ViT/HER2ViTLib/data: the sample case and the two demo models, from the
simulation alone.

make data        (about an hour on two cores, 20 GB of disk; at most once per release: the binaries stay in
the history)

The demo models are a small member of the ViT-Tiny family (96 wide, 6 blocks, 3 heads), trained from scratch,
as `her2vit train` trains, on simulated images of both protocols, at three resolutions, outlined by two
readers. They are for trying the software only.
"""

from __future__ import annotations

import argparse
import csv
import sys
from dataclasses import replace
from pathlib import Path

from HER2ViTLib.files.output import csv_bytes, write_atomically
from HER2ViTLib.her2 import TWO_STEP
from HER2ViTLib.messages import RESEARCH_NOTICE
from HER2ViTLib.model.bundle import load_bundle, save_bundle
from HER2ViTLib.model.config_file import CARD_FILE
from HER2ViTTrainingLib.cohort.manifest import read_manifest
from HER2ViTTrainingLib.cohort.splits import make_splits
from HER2ViTTrainingLib.commands.options import progress_bar
from HER2ViTTrainingLib.simulation.cohorts import simulate_cohort, write_sample
from HER2ViTTrainingLib.simulation.protocols import PROTOCOLS
from HER2ViTTrainingLib.training.experiment import Experiment
from HER2ViTTrainingLib.training.networks import Network, stored_model_args
from HER2ViTTrainingLib.training.recipes import RECIPES
from HER2ViTTrainingLib.training.runs import TrainingJob, run_experiment

DATA = Path(__file__).resolve().parent.parent / "HER2ViT" / "HER2ViTLib" / "data"
# Half of the patches are dropped while training: twice as fast, and it keeps a small cohort from being learnt
# by heart.
NETWORK = Network(
    pretrained="none", model_args={"embed_dim": 96, "depth": 6, "num_heads": 3, "patch_drop_rate": 0.5}
)
NOTICE = (
    "Demo model: trained on simulated images; for trying the software only. It knows nothing of real"
    " patients."
)
SEED = 2025
SCALES = (1.0, 0.75, 0.5)
EXTERNAL_SHARE = 8
"""One case in so many is kept out of training, to judge the models on."""


def simulate(cases: int, folder: Path) -> Path:
    """A cohort per protocol and resolution, each with a seed of its own (not the sample's), and the manifest
    of them all.
    """
    rows = []
    parts = [(name, scale) for name in PROTOCOLS for scale in SCALES]
    for number, (name, scale) in enumerate(parts):
        part = folder / f"{name}{scale:g}"
        path = simulate_cohort(cases // len(parts), SEED + number, PROTOCOLS[name], part, scale=scale)
        say(f"simulated {path}")
        rows += [joined(row, index, part.name) for index, row in enumerate(read_rows(path))]
    write_atomically(folder / "manifest.csv", csv_bytes(tuple(rows[0]), rows))
    return folder / "manifest.csv"


def joined(row: dict[str, str], index: int, part: str) -> dict[str, str]:
    """A row of one cohort as a row of the joint manifest, a folder higher; the readers take turns."""
    image = ";".join(f"{part}/{path}" for path in row["image"].split(";"))
    external = index % EXTERNAL_SHARE == 0
    return {
        **{name: row[name] for name in ("case_id", "patient_id", "laterality", "early_phase", "ihc", "ish")},
        "image": image,
        "roi": f"{part}/{row[('roi', 'roi_b')[index % 2]]}",
        "cohort": "simulated-test" if external else "simulated",
        "role": "external" if external else "development",
    }


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def store_small(trained: Path, folder: Path) -> None:
    """The bundle with its weights in half precision: the clone should stay small."""
    bundle = load_bundle(trained)
    card = (trained / CARD_FILE).read_text().replace(RESEARCH_NOTICE, "")
    save_bundle(
        folder, bundle.model.half(), NETWORK.architecture, stored_model_args(NETWORK), bundle.settings, card
    )


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=DATA)
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("build/bundled-data"),
        help="folder for the cohort and the trainings",
    )
    parser.add_argument("--cases", type=int, default=2600)
    parser.add_argument("--epochs", type=int, default=40)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    write_sample(options.out)
    cohort = read_manifest(simulate(options.cases, options.work))
    splits = make_splits(cohort, seed=SEED)
    # From scratch there is no pretrained layer to spare: a higher rate, the same for all.
    recipe = replace(RECIPES["default"], epochs=options.epochs, learning_rate=1e-3, layer_decay=None)
    for task in TWO_STEP:
        trained = options.work / task.name
        experiment = Experiment(task, recipe, network=NETWORK, seed=SEED, notice=NOTICE)
        job = TrainingJob(experiment, cohort, splits, trained, options.work / "cache")
        with progress_bar(task.name) as progress:
            run_experiment(job, progress)
        store_small(trained, options.out / f"demo_{task.name.replace('-', '_')}")
        say(f"{task.name}: {load_bundle(trained).settings.provenance['sets']}")


if __name__ == "__main__":
    main()
