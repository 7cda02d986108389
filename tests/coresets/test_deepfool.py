"""DeepFool's perturbation against closed forms and the loop of its definition, and what it leaves of the model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from orderdp.coresets import select
from orderdp.coresets.deepfool import perturbations
from tests.coresets.conftest import replaced

WORST = torch.finfo(torch.float32).max


def seeded(build):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build()


def images(n, *shape, seed=0):
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))


def smooth(classes=5):
    return seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, classes)).double())


def literal_deepfool(model, image, classes, iterations, overshoot):
    """Algorithm 2 of Moosavi-Dezfooli et al., for one image."""
    ranked = model(image[None])[0].argsort(descending=True).tolist()[:classes]
    answer, change = ranked[0], torch.zeros_like(image)
    for _ in range(iterations):
        point = (image + (1 + overshoot) * change).requires_grad_()
        f = model(point[None])[0]
        if int(f.argmax()) != answer:
            break
        ways = []
        for other in ranked[1:]:
            w = torch.autograd.grad(f[other] - f[answer], point, retain_graph=True)[0]
            gap = float(abs(f[other] - f[answer]).detach())
            ways.append((gap / float(w.norm()), gap / float(w.norm()) ** 2 * w))
        change = change + min(ways, key=lambda way: way[0])[1]
    return float(change.norm())


@pytest.mark.parametrize(
    ("classes", "iterations", "overshoot"), [(5, 50, 0.02), (5, 50, 0.0), (3, 50, 0.5), (10, 2, 0.02), (2, 1, 0.02)]
)
def test_against_the_loop(classes, iterations, overshoot):
    model, x = smooth(), images(40, 3, 4).double()
    ours = perturbations(model, x, classes=classes, iterations=iterations, overshoot=overshoot, batch_size=16)
    expected = [literal_deepfool(model, image, classes, iterations, overshoot) for image in x]
    assert ours.dtype == torch.float32 and ours.shape == (40,)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_linear_models_have_a_closed_form():
    """min over classes of (f_answer - f_c) / ||w_answer - w_c||, reached in one step."""
    layer, x = seeded(lambda: nn.Linear(7, 4)), images(30, 7)
    f, w = layer(x).detach(), layer.weight.detach()
    answer = f.argmax(1)
    far = (f.gather(1, answer[:, None]) - f) / (w[answer][:, None] - w[None]).norm(dim=2)
    expected = far.nan_to_num(torch.inf).min(1).values  # the answer itself is 0 / 0
    np.testing.assert_allclose(perturbations(layer, x), expected, rtol=1e-4)


def test_the_batch_size_does_not_matter():
    model, x = smooth(), images(23, 3, 4).double()
    np.testing.assert_allclose(perturbations(model, x, batch_size=1), perturbations(model, x, batch_size=23), rtol=1e-6)


def test_samples_that_crossed_cost_nothing_more():
    """A linear model: one pass to find the candidates, one step, one look at whether it was enough."""
    layer, sizes = seeded(lambda: nn.Linear(7, 4)), []
    layer.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    perturbations(layer, images(30, 7))
    assert sizes == [30, 30, 30]


def test_images_that_no_gradient_moves_rank_last(outputs):
    class Half(nn.Module):
        def forward(self, x):
            """Constant where the first feature is negative."""
            return torch.stack([x[:, 0].clamp(min=0), torch.ones(len(x))], dim=1)

    ours = perturbations(Half(), torch.tensor([[-1.0], [2.0], [-3.0]]))
    assert ours.tolist() == [WORST, pytest.approx(1.0), WORST]
    moved = replaced(outputs, perturbation=torch.where(torch.arange(outputs.n) < 60, outputs.perturbation, WORST))
    chosen = select("deepfool", moved, [60], np.random.default_rng(0), balance=False)[0].indices
    assert sorted(chosen.tolist()) == list(range(60))


def test_the_smallest_perturbations_are_kept_in_order(outputs):
    chosen = select("deepfool", outputs, [30], np.random.default_rng(0), balance=False)[0].indices
    assert chosen.tolist() == outputs.perturbation.argsort()[:30].tolist()


def test_nothing_is_left_behind_in_the_model():
    """Modes module by module, which parameters are trained, gradients, running statistics, the global random state."""
    model = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(32, 6),
        )
    )
    model.train()
    model[1].eval()
    model[0].requires_grad_(False)
    model[6](torch.ones(1, 32)).sum().backward()
    x = images(10, 3, 8, 8)
    modes, trained = [m.training for m in model.modules()], [p.requires_grad for p in model.parameters()]
    slopes = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    state, random, copy = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state(), x.clone()
    with torch.no_grad():
        first = perturbations(model, x)
        assert not torch.is_grad_enabled()
    assert [m.training for m in model.modules()] == modes
    assert [p.requires_grad for p in model.parameters()] == trained
    for parameter, slope in zip(model.parameters(), slopes, strict=True):
        assert (parameter.grad is None) == (slope is None) and (slope is None or torch.equal(parameter.grad, slope))
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    assert torch.equal(random, torch.get_rng_state()) and torch.equal(x, copy) and not x.requires_grad
    assert not first.requires_grad
    assert torch.equal(first, perturbations(model, x))


def test_modes_come_back_after_an_error():
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout()).train()
    with pytest.raises(RuntimeError):
        perturbations(model, torch.ones(2, 5))
    assert all(module.training for module in model.modules())


def test_a_boundary_already_reached_is_at_distance_zero():
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(2)), layer.bias.zero_()
    assert perturbations(layer, torch.tensor([[1.0, 1.0], [3.0, 1.0]])).tolist() == [0.0, pytest.approx(2**0.5)]


@pytest.mark.parametrize("option", [{"classes": 1}, {"iterations": 0}, {"batch_size": 0}])
def test_mistakes(option):
    with pytest.raises(ValueError, match="DeepFool needs classes >= 2, iterations >= 1, batch_size >= 1"):
        perturbations(smooth(), images(2, 3, 4).double(), **option)


def test_no_images():
    assert perturbations(smooth(), images(0, 3, 4).double()).shape == (0,)
