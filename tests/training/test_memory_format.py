"""Networks that oneDNN would corrupt memory with keep the plain memory format on CPUs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from orderdp.models.resnet8 import resnet8
from orderdp.training.memory_format import arrange, unsafe_on_cpu
from tests.training.conftest import SPEC

CPU = torch.device("cpu")
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
"""Environment in which a newer CPU computes as one without AVX-512 does."""


@pytest.mark.parametrize(
    ("layer", "unsafe"),
    [
        (nn.Conv2d(4, 8, 1, stride=2), True),
        (nn.Conv2d(2, 8, 1, stride=(1, 2)), True),
        (nn.Conv2d(16, 16, 1, stride=2, groups=4), True),
        (nn.Conv2d(8, 16, 1, stride=2), False),
        (nn.Conv2d(4, 8, 1), False),
        (nn.Conv2d(4, 8, 3, stride=2), False),
        (nn.Linear(4, 8), False),
    ],
)
def test_unsafe_convolutions_are_found_by_their_shape(layer, unsafe):
    network = nn.Sequential(nn.ReLU(), nn.Sequential(layer))
    assert list(unsafe_on_cpu(network)) == (["1.0"] if unsafe else [])


def formats(network: nn.Module, channels: int) -> set[bool]:
    """Whether the outputs of its convolutions lie channels last, for images that do."""
    seen: set[bool] = set()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(
                lambda _, __, y: seen.add(y.is_contiguous(memory_format=torch.channels_last) and not y.is_contiguous())
            )
    network(torch.rand(5, channels, 8, 8).contiguous(memory_format=torch.channels_last))
    return seen


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("width", "channels_last"), [(4, False), (8, True)])
def test_a_narrow_network_is_computed_in_the_plain_format_as_a_whole(channels, width, channels_last):
    assert formats(arrange(resnet8(10, channels, width=width), CPU), channels) == {channels_last}


def test_the_format_changes_no_weight():
    network = resnet8(10, 1, width=4)
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    after = arrange(network, CPU).state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


TRAIN = """
import json, sys, torch
from pathlib import Path
from orderdp.datasets import load
from orderdp.spec import RunSpec
from orderdp.training.engine import Training
torch.set_num_threads(1)
data = load("digits", Path(sys.argv[1]))
for width in (2, 3, 4, 5, 6, 7, 8):
    chosen = json.loads(sys.argv[2])
    chosen["model"]["options"]["width"] = width
    Training(RunSpec.model_validate(chosen), data, torch.device("cpu")).fit(lambda training: None)
    print("trained", width, flush=True)
"""


@pytest.mark.parametrize("environment", [AVX2, {}], ids=["without AVX-512", "as it is"])
def test_narrow_networks_train_on_every_cpu(data, environment):
    """In a process that may die: widths 2 to 6 ended it by SIGABRT or SIGSEGV in channels last without AVX-512."""
    chosen = {**SPEC, "method": {"name": "full", "options": {}}, "recipe": {**SPEC["recipe"], "epochs": 2}}
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, str(data / "digits"), json.dumps(chosen)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr[-1000:])
    assert done.stdout.split() == " ".join(f"trained {width}" for width in range(2, 9)).split()
