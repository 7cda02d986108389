"""A newcomer adds a pruner, a kind of job and a data set, each by one new file and one line, as CONTRIBUTING says.

In a copy of the package, run by its own processes. A table: `tests/reporting/test_items.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
HARDEST = '''
"""The samples of largest last loss, without exploring."""

from orderdp.pruning.base import Pruner
from orderdp.pruning.checks import n_kept
from orderdp.pruning.ranking import top, unseen


class Greedy(Pruner):
    """Keeps the samples of largest last loss.

    Args:
        n: number of samples.
        prune_ratio: share left out of every epoch, in (0, 1).
        seed: decides ties and order.
    """

    def __init__(self, n, *, prune_ratio=0.5, seed=0):
        super().__init__(n, seed=seed)
        self.kept = n_kept(self, self.n, prune_ratio)
        self.target_ratio = float(prune_ratio)
        self._scores = unseen(self.n)

    def select_mask(self, epoch, draw):
        return top(self._scores, self.kept, draw), None

    def update_scores(self, indices, losses):
        self._scores[indices] = losses

    def extra_state(self):
        return {"_scores": self._scores}
'''
CENSUS = '''
"""How many samples of each class a data set has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from orderdp.code_fingerprint import code_checksums
from orderdp.files import write_rows
from orderdp.jobs.base import Job, Resources
from orderdp.spec import Name, Strict


class CensusSpec(Strict):
    """What to count."""

    dataset: Name


@dataclass(frozen=True)
class Census(Job):
    """Counts the classes of a data set."""

    kind: ClassVar[str] = "census"
    Spec: ClassVar[type[CensusSpec]] = CensusSpec
    by_experiment: ClassVar[bool] = True

    spec: CensusSpec

    @classmethod
    def code(cls, spec):
        return code_checksums(("orderdp.datasets.load_images",), (("datasets", "DATASETS", spec.dataset),))

    @property
    def dataset(self):
        return self.spec.dataset

    def resources(self):
        return Resources(seconds=5, gpus=0)

    def compute(self, out, execution):
        from orderdp.datasets import load_images

        counts = load_images(self.dataset, execution.data / self.dataset).train_labels.bincount().tolist()
        rows = [{"label": label, "samples": count} for label, count in enumerate(counts)]
        write_rows(out / "classes.csv", ("label", "samples"), rows)
        return {"classes": len(counts)}
'''
STRIPES = '''
"""Images of stripes, upright or lying."""

from dataclasses import dataclass

import numpy as np

from orderdp.datasets.base import Arrays, ImageDataset


@dataclass(frozen=True, kw_only=True)
class Stripes(ImageDataset):
    """Drawn here, so that there is no file to find."""

    def read(self, folder):
        rng = np.random.default_rng(0)
        labels = np.arange(self.n_train + self.n_test) % 2
        images = rng.integers(0, 80, (len(labels), 1, 8, 8)).astype(np.uint8)
        images[labels == 0, :, ::2] += 150
        images[labels == 1, :, :, ::2] += 150
        n = self.n_train
        return Arrays(images[:n], labels[:n].astype(np.int64), images[n:], labels[n:].astype(np.int64))


STRIPES = Stripes(
    name="stripes", classes=2, shape=(1, 8, 8), n_train=200, n_test=100, mean=(0.45,), std=(0.31,), raw={},
    bundled_with="numpy",
)
'''


MINE = {"title": "Mine", "reproduces": "Mine", "workloads": ["cifar10-resnet18"]}


def project(folder: Path, params: dict[str, Any]) -> Path:
    """A folder with a copy of the package and these parameters."""
    shutil.copytree(ROOT / "orderdp", folder / "orderdp", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False, allow_unicode=True))
    return folder


def add_line(folder: Path, file: str, registry: str, line: str, imported: str) -> None:
    """A line in a registry, and the import that it needs."""
    path = folder / "orderdp" / file
    text = path.read_text()
    assert text.count(registry) == 1
    text = text.replace(registry, f"{registry}\n    {line}")
    path.write_text(
        text.replace("from __future__ import annotations\n", f"from __future__ import annotations\n\n{imported}\n", 1)
    )


def run(folder: Path, *command: str) -> str:
    env = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, *command], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def orderdp(folder: Path, *words: str) -> str:
    return run(folder, "-m", "orderdp", *words)


def names(folder: Path) -> list[str]:
    return [line.split()[0] for line in orderdp(folder, "plan", "--jobs").splitlines()]


@pytest.fixture
def params() -> dict[str, Any]:
    """The real parameters without experiments, at one scale with one seed."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    quick = params["scales"]["quick"] | {"seeds": [0], "experiments": {}}
    params["workloads"]["digits-resnet8"]["overrides"] = {"epochs": 2}
    return params | {"experiments": {}, "scales": {"quick": quick}}


def test_a_pruner(tmp_path, params):
    params["methods"]["greedy"] = {"label": "Greedy", "name": "greedy"}
    grid = [{"methods": ["greedy"], "prune_ratios": [0.7]}]
    params["experiments"]["mine"] = {
        "title": "Mine",
        "reproduces": "Mine",
        "workloads": ["cifar10-resnet18"],
        "grid": grid,
    }
    folder = project(tmp_path, params)
    (folder / "orderdp/pruning/greedy.py").write_text(HARDEST)
    imported = "from orderdp.pruning.greedy import Greedy"
    add_line(folder, "pruning/__init__.py", "PRUNERS: dict[str, type[Pruner]] = {", '"greedy": Greedy,', imported)
    (name,) = names(folder)
    assert name.startswith("digits-resnet8w8-greedy-p70-")
    orderdp(folder, "prepare", "--dataset", "digits")
    orderdp(folder, "run", name, "--threads", "1")
    summary = json.loads((folder / "runs" / name / "summary.json").read_text())
    assert summary["status"] == "finished" and summary["prune_ratio"] == pytest.approx(0.7, abs=1e-3)
    assert f"{name}  finished" in orderdp(folder, "plan", "--jobs")
    # And it takes part in the contract tests, which no one edited.
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    told = run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/pruning/test_contract.py", "-k", "greedy")
    assert "failed" not in told and told.count(".") > 10


def test_a_kind_of_job(tmp_path, params):
    job = {"kind": "census", "dataset": "digits"}
    params["experiments"]["census"] = {"title": "Census", "reproduces": "Mine", "job": job}
    folder = project(tmp_path, params)
    (folder / "orderdp/jobs/census.py").write_text(CENSUS)
    imported = "from orderdp.jobs.census import Census"
    add_line(folder, "jobs/__init__.py", "KINDS: dict[str, type[Job]] = {", '"census": Census,', imported)
    (name,) = names(folder)
    assert name.startswith("census-")
    orderdp(folder, "prepare", "--dataset", "digits")
    orderdp(folder, "run", name)
    assert (folder / "runs" / name / "classes.csv").read_text().startswith("label,samples\n0,")
    assert json.loads((folder / "runs" / name / "summary.json").read_text())["classes"] == 10
    assert f"{name}  finished" in orderdp(folder, "plan", "--jobs")
    assert "Every run belongs to a grid." in orderdp(folder, "gc")


def test_a_data_set(tmp_path, params):
    params["workloads"]["stripes"] = {**params["workloads"]["digits-resnet8"], "dataset": "stripes"}
    params["scales"]["quick"]["substitutes"]["cifar10-resnet18"] = "stripes"
    grid = [{"methods": ["orderdp"], "prune_ratios": [0.5]}]
    params["experiments"]["mine"] = {
        "title": "Mine",
        "reproduces": "Mine",
        "workloads": ["cifar10-resnet18"],
        "grid": grid,
    }
    folder = project(tmp_path, params)
    (folder / "orderdp/datasets/stripes.py").write_text(STRIPES)
    imported = "from orderdp.datasets.stripes import STRIPES"
    registry = "DATASETS: dict[str, ImageDataset | Folders] = {"
    add_line(folder, "datasets/__init__.py", registry, '"stripes": STRIPES,', imported)
    (name,) = names(folder)
    assert name.startswith("stripes-resnet8w8-orderdp-x70-p50-")
    orderdp(folder, "prepare", "--dataset", "stripes")
    orderdp(folder, "run", name, "--threads", "1")
    summary = json.loads((folder / "runs" / name / "summary.json").read_text())
    assert (summary["status"], summary["n"], summary["classes"]) == ("finished", 200, 2)
    assert np.load(folder / "runs" / name / "selection.npz")["usage"].sum() == 2 * 100
