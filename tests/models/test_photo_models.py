"""Networks for photographs: sizes as published, the shared interface, the masked autoencoder against a loop, starting
from weights."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch

from orderdp.models import MODELS, build, start_from
from orderdp.models.mae import sines

torch.set_num_threads(1)
TRANSFORMER = {"image": 32, "patch": 8, "width": 24, "depth": 2}
MAE = {**TRANSFORMER, "decoder_width": 16, "decoder_depth": 1}
SMALL = {
    "imagenet_resnet18": {"depth": 1},
    "imagenet_resnet50": {"depth": 1, "width": 8},
    "timm_resnet50": {"depth": 1, "width": 8, "drop_path": 0.0},
    "swin_tiny": {"image": 32, "patch": 2, "window": 4, "width": 12, "depth": 1, "drop_path": 0.0},
    "vit": {**TRANSFORMER, "drop_path": 0.0},
    "torchvision_network": {"architecture": "shufflenet_v2_x0_5"},
    "timm_network": {"architecture": "resnet10t"},
}


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("imagenet_resnet18", 11.689512),  # torchvision's documentation
        ("imagenet_resnet50", 25.557032),
        ("timm_resnet50", 25.557032),
        ("swin_tiny", 28.288354),
        ("vit", 86.567656),
    ],
)
def test_published_parameter_counts(name, millions):
    assert sum(p.numel() for p in build(name, 1000, 3).parameters()) == round(1e6 * millions)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", SMALL)
def test_interface(name, channels):
    torch.manual_seed(0)
    model = build(name, 7, channels, **SMALL[name])
    images = torch.rand(3, channels, 32, 32).to(memory_format=torch.channels_last)
    assert model.features(images).shape == (3, model.head.in_features)
    model(images).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    model.eval()
    torch.testing.assert_close(model(images), model.head(model.features(images)))
    assert model.no_weight_decay() <= {parameter for parameter, _ in model.named_parameters()} | {
        "body.reg_token",
        "body.dist_token",
    }


def test_torchvisions_resnet_with_its_own_head():
    from torchvision.models import resnet18

    torch.manual_seed(0)
    theirs = resnet18(num_classes=5).eval()
    ours = build("imagenet_resnet18", 5, 3).eval()
    torch.nn.Module.load_state_dict(
        ours.body, {k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")}
    )
    ours.head.load_state_dict(theirs.fc.state_dict())
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(ours(images), theirs(images))


def test_the_autoencoder_against_a_loop():
    """Twin: image by image, patch by patch."""
    torch.manual_seed(0)
    model = build("mae_vit", 1, 3, **MAE).eval()
    images = torch.randn(2, 3, 32, 32)
    torch.manual_seed(5)
    losses = model(images)
    torch.manual_seed(5)
    order = torch.rand(2, 16).argsort(1)
    encoder = model.encoder
    for image, ranks, loss in zip(images, order, losses, strict=True):
        seen = ranks[:4].tolist()
        patches = [image[:, 8 * (i // 4) : 8 * (i // 4) + 8, 8 * (i % 4) : 8 * (i % 4) + 8] for i in range(16)]
        weight, bias = encoder.patch_embed.proj.weight.flatten(1), encoder.patch_embed.proj.bias
        tokens = [encoder.cls_token[0, 0] + encoder.pos_embed[0, 0]]
        tokens += [weight @ patches[i].flatten() + bias + encoder.pos_embed[0, i + 1] for i in seen]
        encoded = model.embed(encoder.norm(encoder.blocks(torch.stack(tokens)[None])))[0]
        whole = [encoded[0] + model.positions[0, 0]]
        for i in range(16):
            token = encoded[1 + seen.index(i)] if i in seen else model.mask_token[0, 0]
            whole.append(token + model.positions[0, i + 1])
        decoded = torch.stack(whole)[None]
        for block in model.blocks:
            decoded = block(decoded)
        predicted = model.predict(model.norm(decoded))[0, 1:]
        errors = []
        for i in set(range(16)) - set(seen):
            pixels = patches[i].permute(1, 2, 0).flatten()
            target = (pixels - pixels.mean()) / (pixels.var() + 1e-6).sqrt()
            errors.append(((predicted[i] - target) ** 2).mean())
        torch.testing.assert_close(loss, torch.stack(errors).mean(), rtol=1e-4, atol=1e-5)


def test_position_embeddings_against_a_loop():
    got = sines(2, 3, 8)
    for row in range(2):
        for column in range(3):
            want = []
            for place in (column, row):
                for function in (math.sin, math.cos):
                    want += [function(place / 10000 ** (k / 2)) for k in range(2)]
            torch.testing.assert_close(got[3 * row + column], torch.tensor(want))
    with pytest.raises(ValueError, match=r"must be a multiple of 4\. Got 6"):
        sines(2, 2, 6)


def test_what_the_autoencoder_trains():
    model = build("mae_vit", 1, 3, **MAE)
    model(torch.rand(2, 3, 32, 32)).mean().backward()
    still = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert still == ["encoder.pos_embed"]
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_a_vision_transformer_starts_from_the_encoder():
    encoder, model = build("mae_vit", 1, 3, **MAE), build("vit", 5, 3, **SMALL["vit"])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    start_from(model, encoder.state_dict())
    for name, value in model.state_dict().items():
        if name.startswith("body.") and "fc_norm" not in name:
            assert torch.equal(value, encoder.state_dict()["encoder." + name.removeprefix("body.")])
        else:
            assert torch.equal(value, before[name])
    other = build("vit", 5, 3, **{**SMALL["vit"], "depth": 3})
    with pytest.raises(
        ValueError, match=r"body\.blocks\.2\.\S+ needs \(.*\), they hold nothing\. Give both networks the same 'image'"
    ):
        start_from(other, encoder.state_dict())


def test_a_share_is_checked():
    with pytest.raises(ValueError, match=r"The 'drop_path' of model 'vit' must be in \[0, 1\)\. Got 1\.5\."):
        build("vit", 5, 3, drop_path=1.5)


def test_importing_the_registry_imports_neither_timm_nor_torchvision():
    code = "import sys; from orderdp.models import MODELS; assert not {'timm', 'torchvision'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert set(SMALL) | {"mae_vit"} <= set(MODELS)
