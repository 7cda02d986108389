"""Schedule, optimizer and augmentation against torch's own and against literal twins."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from orderdp.spec import AugmentSpec, ScheduleSpec
from orderdp.training.augment import Draws, Images, draw
from orderdp.training.device import choose_device, choose_dtype
from orderdp.training.optim import one_cycle

SCHEDULE = ScheduleSpec(
    name="onecycle",
    max_lr=0.2,
    pct_start=0.3,
    div_factor=25.0,
    final_div_factor=1e4,
    base_momentum=0.85,
    max_momentum=0.95,
)


def test_one_cycle_is_torchs_up_to_one_step():
    total = 2000
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.2, total_steps=total, pct_start=0.3, div_factor=25.0, final_div_factor=1e4
    )
    for step in range(total):
        group = optimizer.param_groups[0]
        # torch puts the last step at the curve's end, (step / (total - 1)); here step / total is the position before
        # the step.
        lr, momentum = one_cycle(step / total, SCHEDULE)
        assert lr == pytest.approx(group["lr"], abs=0.2 * 4 / total)
        assert momentum == pytest.approx(group["momentum"], abs=0.1 * 4 / total)
        optimizer.step()
        if step + 1 < total:
            scheduler.step()


def test_one_cycle_ends_and_peak():
    assert one_cycle(0.0, SCHEDULE) == pytest.approx((0.2 / 25, 0.95))
    assert one_cycle(0.3, SCHEDULE) == pytest.approx((0.2, 0.85))
    assert one_cycle(1.0, SCHEDULE) == pytest.approx((0.2 / 25 / 1e4, 0.95))


@pytest.mark.parametrize(("shape", "pad"), [((3, 32, 32), 4), ((1, 8, 8), 1), ((1, 28, 28), 2), ((3, 5, 9), 0)])
def test_augmentation_is_reflect_pad_crop_flip(shape, pad):
    """Twin: pad by reflection, cut the window out, mirror it, scale to [0, 1], normalise."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (20, *shape), dtype=torch.uint8, generator=generator)
    mean, std = (0.4, 0.5, 0.6)[: shape[0]], (0.2, 0.3, 0.25)[: shape[0]]
    draws = draw(20, AugmentSpec(crop_padding=pad, flip=True), generator)
    indices = torch.tensor([3, 19, 0, 7, 7])
    batch = Images(images, mean, std).augmented(indices, draws)
    for got, index in zip(batch, indices, strict=True):
        image = images[index].float()
        if pad:
            image = F.pad(image[None], (pad, pad, pad, pad), mode="reflect")[0]
        down, right = (draws.shift[index] + pad).tolist()
        image = image[:, down : down + shape[1], right : right + shape[2]]
        if draws.flip[index]:
            image = image.flip(2)
        want = (image / 255 - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


def test_draws_do_not_depend_on_what_is_kept_and_cover_their_range():
    spec = AugmentSpec(crop_padding=2, flip=True)
    first, second = (draw(5000, spec, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first.shift, second.shift)
    assert torch.equal(first.flip, second.flip)
    assert set(first.shift.unique().tolist()) == {-2, -1, 0, 1, 2}
    assert 0.45 < first.flip.float().mean() < 0.55
    assert isinstance(first.to(torch.device("cpu")), Draws)
    assert not draw(100, AugmentSpec(crop_padding=2, flip=False), torch.Generator()).flip.any()


def test_devices():
    assert choose_device("cpu") == torch.device("cpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match=r"'cuda' is not available here\. Available: .*cpu"):
            choose_device("cuda")
    assert choose_dtype("fp32", torch.device("cpu")) is torch.float32
    assert choose_dtype("bf16", torch.device("cpu")) is torch.bfloat16
