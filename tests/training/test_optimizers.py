"""AdamW, LARS and LAMB against literal twins; which parameters decay; layer decay; clipping."""

from __future__ import annotations

import copy

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn
from torch.nn import functional as F

from orderdp.models import MODELS
from orderdp.spec import OptimizerSpec
from orderdp.training.optim import build_optimizer, clipped
from orderdp.training.precision import Precision

BASE = {"weight_decay": 0.01, "decay": "all", "clip_norm": None}
SPECS = {
    "sgd": {"name": "sgd", "nesterov": False},
    "adamw": {"name": "adamw", "beta2": 0.99, "eps": 1e-8, "layer_decay": None},
    "lars": {
        "name": "lars",
        "nesterov": False,
        "trust_coefficient": 0.001,
        "eps": 1e-8,
        "adapt": "all",
        "trust_clip": False,
    },
    "lamb": {"name": "lamb", "beta2": 0.99, "eps": 1e-6, "bias_correction": True, "adapt": "all", "trust_clip": False},
}


def optimizer_spec(name, **changes):
    return TypeAdapter(OptimizerSpec).validate_python({**BASE, **SPECS[name], **changes})


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.Linear(7, 3))


def step_of(optimizer, lr, momentum):
    """One step, as the engine takes it."""
    Precision("fp32", torch.device("cpu")).step(optimizer, lr, momentum)


class Twin:
    """One tensor's update, as the papers write it."""

    def __init__(self, weight, spec, decays):
        self.weight, self.spec = weight.detach().clone(), spec
        self.decay = spec.weight_decay if decays else 0.0
        self.adapts = decays or getattr(spec, "adapt", "") == "all"
        self.m = self.v = self.buffer = None
        self.t = 0

    def step(self, gradient, lr, momentum):
        spec, w = self.spec, self.weight
        self.t += 1
        if spec.name in ("sgd", "lars"):
            gradient = gradient + self.decay * w
            if spec.name == "lars" and self.adapts:
                norm = (gradient - self.decay * w).norm()
                gradient = gradient * (spec.trust_coefficient * w.norm() / (norm + self.decay * w.norm() + spec.eps))
            self.buffer = gradient if self.buffer is None else momentum * self.buffer + gradient
            step = gradient + momentum * self.buffer if spec.nesterov else self.buffer
            self.weight = w - lr * step
            return
        self.m = (1 - momentum) * gradient + momentum * (0 if self.m is None else self.m)
        self.v = (1 - spec.beta2) * gradient**2 + spec.beta2 * (0 if self.v is None else self.v)
        corrected = spec.name == "adamw" or spec.bias_correction
        m, v = (self.m / (1 - momentum**self.t), self.v / (1 - spec.beta2**self.t)) if corrected else (self.m, self.v)
        update = m / (v.sqrt() + spec.eps)
        if spec.name == "adamw":
            self.weight = w - lr * self.decay * w - lr * update
            return
        update = update + self.decay * w
        trust = w.norm() / update.norm() if self.adapts else 1.0
        self.weight = w - lr * trust * update


@pytest.mark.parametrize("decay", ["all", "matrices"])
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("sgd", {}), ("sgd", {"nesterov": True}), ("adamw", {}), ("lars", {}), ("lars", {"adapt": "decayed"}),
        ("lamb", {}),
        ("lamb", {"bias_correction": False}), ("lamb", {"adapt": "decayed"}),
    ],
)  # fmt: skip
def test_every_optimizer_is_its_formula(name, changes, decay):
    spec, model = optimizer_spec(name, decay=decay, **changes), network()
    with torch.no_grad():
        for parameter in model.parameters():  # no trust in a tensor of zeros
            parameter.add_(0.1)
    twins = [Twin(p, spec, decay == "all" or p.ndim > 1) for p in model.parameters()]
    optimizer = build_optimizer(model, spec)
    for step in range(5):
        x, y = torch.randn(16, 5), torch.randint(0, 3, (16,))
        # A constant beta1: the correction's power of a changing one is no formula of any paper.
        lr, momentum = 0.01 / (step + 1), 0.9
        F.cross_entropy(model(x), y).backward()
        for parameter, twin in zip(model.parameters(), twins, strict=True):
            twin.step(parameter.grad.clone(), lr, momentum)
        step_of(optimizer, lr, momentum)
        assert all(parameter.grad is None for parameter in model.parameters())
        if step == 2:
            state = copy.deepcopy(optimizer.state_dict())
            optimizer = build_optimizer(model, spec)
            optimizer.load_state_dict(state)
    for parameter, twin in zip(model.parameters(), twins, strict=True):
        torch.testing.assert_close(parameter.detach(), twin.weight, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SPECS)
def test_the_schedule_reaches_momentum_or_beta1(name):
    """One weight, two steps: what the second step adds depends on the momentum told."""
    moved = []
    for momentum in (0.0, 0.9):
        model = nn.Linear(1, 1, bias=False)
        nn.init.ones_(model.weight)
        optimizer = build_optimizer(
            model, optimizer_spec(name, weight_decay=0.0, **({"adapt": "decayed"} if name[0] == "l" else {}))
        )
        for gradient in (1.0, 0.5):
            model.weight.grad = torch.tensor([[gradient]])
            step_of(optimizer, 0.1, momentum)
        moved.append(1 - float(model.weight.detach()))
    assert moved[1] != pytest.approx(moved[0])
    if name == "sgd":
        assert moved == pytest.approx([0.15, 0.1 + 0.1 * 1.4])


def test_what_decays():
    model = MODELS["vit"](3, 3, image=8, patch=4, width=16, depth=1)
    optimizer = build_optimizer(model, optimizer_spec("adamw", decay="matrices")).optimizer
    names = {parameter: name for name, parameter in model.named_parameters()}
    decayed, others = ([names[p] for p in group["params"]] for group in optimizer.param_groups)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01, 0.0]
    assert all(name.endswith("weight") and "norm" not in name for name in decayed)
    assert {"body.cls_token", "body.pos_embed", "head.bias", "body.blocks.0.norm1.weight"} <= set(others)
    assert len(decayed) + len(others) == len(names)


def test_layer_decay_falls_from_head_to_embedding():
    model = MODELS["vit"](3, 3, image=8, patch=4, width=16, depth=3)
    optimizer = build_optimizer(model, optimizer_spec("adamw", decay="matrices", layer_decay=0.5))
    names = {parameter: name for name, parameter in model.named_parameters()}
    scales = {names[p]: group["lr_scale"] for group in optimizer.optimizer.param_groups for p in group["params"]}
    assert scales["head.weight"] == scales["body.fc_norm.bias"] == 1
    assert scales["body.blocks.2.mlp.fc1.weight"] == 0.5
    assert scales["body.blocks.0.attn.qkv.bias"] == 0.125
    assert scales["body.patch_embed.proj.weight"] == scales["body.pos_embed"] == scales["body.cls_token"] == 0.0625
    assert len(scales) == len(names)
    model(torch.rand(2, 3, 8, 8)).sum().backward()
    step_of(optimizer, 0.2, 0.9)
    assert {group["lr"] for group in optimizer.optimizer.param_groups} == {0.2 * 0.5**k for k in range(5)}
    with pytest.raises(
        ValueError,
        match=r"The 'layer_decay' of adamw needs a network with numbered blocks, as vit has\. Sequential has none",
    ):
        build_optimizer(network(), optimizer_spec("adamw", layer_decay=0.5))


def test_clipping_is_torchs():
    model = network()
    theirs = copy.deepcopy(model)
    for limit in (1e-3, 1e3):
        for each in (model, theirs):
            each.zero_grad()
            F.cross_entropy(each(torch.ones(4, 5)), torch.zeros(4, dtype=torch.int64)).backward()
        gradients = [p.grad for p in model.parameters()]
        clipped(gradients, limit)
        nn.utils.clip_grad_norm_(theirs.parameters(), limit)
        for a, b in zip(model.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a.grad, b.grad)
