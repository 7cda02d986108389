"""Run specifications: what one training run is, fully resolved and validated.

A :class:`RunSpec` holds everything that can change a run's result and nothing that only says how to execute it (device,
workers, logging). No field has a default: `params.yaml` states every value, so that a default changed in code can never
pass an old result off as a new one. Field docstrings feed the JSON schema in `workflow/schemas`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    StrictBool,
    StrictInt,
    Tag,
    ValidationError,
    model_serializer,
    model_validator,
)

INFINITE: dict[object, float] = {"Infinity": float("inf"), "-Infinity": float("-inf")}
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Number = Annotated[float, Field(strict=True)]
"""No truth value, and no text."""
Scalar = Annotated[
    # Strict JSON has no infinity, so a stored spec has the text.
    StrictBool | StrictInt | float | str | None,
    BeforeValidator(lambda value: INFINITE.get(value, value) if isinstance(value, str) else value),
]
Fraction = Annotated[Number, Field(gt=0, le=1)]
PruneRatio = Annotated[Number, Field(gt=0, lt=1)]
Seed = Annotated[StrictInt, Field(ge=0, lt=2**32)]
Count = Annotated[StrictInt, Field(ge=1, le=10**6)]
Diagnostic = Literal["gradients"]
PrecisionName = Literal["fp32", "tf32", "bf16", "fp16", "auto"]
Balance = StrictBool | Literal["equal"]
LabelNoise = Annotated[Number, Field(ge=0, lt=1)]
ScoreName = Literal["loss", "gradient_norm", "margin"]


class Strict(BaseModel):
    """Base of all configuration: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, ser_json_inf_nan="strings")

    def canonical(self) -> str:
        """The spec as canonical JSON: the text that is hashed."""
        return json.dumps(self.plain(), sort_keys=True, separators=(",", ":"))

    def plain(self) -> dict[str, Any]:
        """The spec as plain values of strict JSON; infinity is the text "Infinity"."""
        return json.loads(self.model_dump_json())


class Sparse(Strict):
    """Configuration whose options beyond the paper stand in it, and in what is hashed, only where they are in force.

    They have neutral defaults, so that they need not be stated everywhere: absent means as in the paper.
    """

    @model_serializer(mode="wrap")
    def _without_neutral(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        neutral = {name: field.default for name, field in type(self).model_fields.items() if not field.is_required()}
        return {key: value for key, value in handler(self).items() if key not in neutral or value != neutral[key]}


class OwnDataSpec(Strict):
    """What a run needs to know of a data set that `params.yaml` describes."""

    shape: tuple[Count, Count, Count]
    """(channels, height, width), or (features, 1, 1) of a table."""
    classes: Annotated[StrictInt, Field(ge=2)]
    n_train: Count
    """Training samples."""
    n_test: Count
    """Test samples."""
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    """Of all samples and labels."""
    photos: bool
    """Whether they are photographs that stay in their files."""


class DatasetSpec(Sparse):
    """The data set of a run."""

    name: Name
    """A name in `orderdp.datasets.DATASETS`, or under `datasets` in `params.yaml`."""
    label_noise: LabelNoise = 0.0
    """Share of the training labels that are wrong on purpose, as `orderdp.datasets.noise` draws them."""
    own: OwnDataSpec | None = None
    """Of a data set under `datasets`."""


class ModelSpec(Strict):
    """The network of a run."""

    name: Name
    """A name in `orderdp.models.MODELS`."""
    options: dict[Name, Scalar]
    """Keyword arguments of its builder, for example `width`."""

    def label(self) -> str:
        """Name and width, for example `resnet8w16`."""
        width = self.options.get("width")
        return self.name + (f"w{width}" if width is not None else "")


class MethodSpec(Sparse):
    """The pruning method of a run."""

    name: Name
    """A name in `orderdp.pruning.PRUNERS`."""
    options: dict[Name, Scalar]
    """Keyword arguments of its constructor (or of `at_ratio`, where `prune_ratio` is given)."""
    score: ScoreName | None = None
    """What it ranks by, a name in `orderdp.pruning.scores.SCORES`; none for the loss."""

    @model_validator(mode="after")
    def _ratios_are_possible(self) -> MethodSpec:
        ratio, explore, exploit = (self.options.get(key) for key in ("prune_ratio", "explore", "exploit"))
        for key, value in (("explore", explore), ("exploit", exploit)):
            if value is not None and not 0 < float(value) <= 1:
                raise ValueError(f"'{key}' must be in (0, 1]")
        if ratio is not None and not 0 < float(ratio) < 1:
            raise ValueError("'prune_ratio' must be in (0, 1)")
        if ratio is not None and explore is not None and 1 - float(ratio) > float(explore) + 1e-9:
            raise ValueError(
                f"q > s: 'explore' = {explore:g} draws fewer candidates than the {1 - float(ratio):g} of the data that "
                f"'prune_ratio' = {ratio:g} keeps. Raise 'explore' to at least {1 - float(ratio):g}"
            )
        return self

    @model_validator(mode="after")
    def _variants_are_possible(self) -> MethodSpec:
        ratio, explore, trim, rise = (self.options.get(key) for key in ("prune_ratio", "explore", "trim", "rise"))
        if ratio and explore and trim and 1 - float(ratio) > float(explore) * (1 - float(trim)) + 1e-9:
            raise ValueError(
                f"'trim' = {trim:g} of 'explore' = {explore:g} leaves fewer candidates than the {1 - float(ratio):g} "
                f"of the data that 'prune_ratio' = {ratio:g} keeps. Lower 'trim' to at most "
                f"{1 - (1 - float(ratio)) / float(explore):.4g}"
            )
        if ratio and rise and not abs(float(rise)) / 2 < min(float(ratio), 1 - float(ratio)):
            raise ValueError(f"'rise' = {rise:g} around 'prune_ratio' = {ratio:g} leaves (0, 1). Lower 'rise'")
        return self


class UpdateSpec(Strict):
    """What every optimizer states. Its momentum (beta1 of AdamW and LAMB) follows the schedule, as `OneCycleLR` has
    it."""

    weight_decay: Annotated[Number, Field(ge=0)]
    """Coupled L2 penalty for SGD and LARS, decoupled decay for AdamW and LAMB."""
    decay: Literal["all", "matrices"]
    """What decays: every parameter, batch-norm and biases too (as in the released code), or only tensors of two or more
    dimensions, less those that the network exempts (position embeddings, class tokens)."""
    clip_norm: Annotated[Number, Field(gt=0)] | None
    """Gradients of a larger norm, over all parameters together, are scaled down to it."""


class SgdSpec(UpdateSpec):
    """SGD with momentum."""

    name: Literal["sgd"]
    nesterov: bool
    """Nesterov momentum."""


class AdamWSpec(UpdateSpec):
    """AdamW of torch (Loshchilov and Hutter 2019)."""

    name: Literal["adamw"]
    beta2: Annotated[Number, Field(gt=0, lt=1)]
    """Decay of the mean of squared gradients."""
    eps: Annotated[Number, Field(gt=0)]
    """Added to the denominator."""
    layer_decay: Annotated[Number, Field(gt=0, le=1)] | None
    """Factor on the learning rate from each block to the one below it; for networks with numbered blocks."""


class LarsSpec(UpdateSpec):
    """LARS of timm (You et al. 2017): SGD with momentum whose step is scaled, per tensor, by trust_coefficient |w| /
    (|g| + weight_decay |w|)."""

    name: Literal["lars"]
    nesterov: bool
    """Nesterov momentum."""
    trust_coefficient: Annotated[Number, Field(gt=0)]
    """0.001 in timm and in the released scripts."""
    eps: Annotated[Number, Field(ge=0)]
    """Added to the denominator."""
    adapt: Literal["all", "decayed"]
    """Which tensors are scaled: every one (as in the released code), or those that decay (timm's default)."""
    trust_clip: bool
    """Bound the scale by the learning rate (LARC)."""


class LambSpec(UpdateSpec):
    """LAMB of timm (You et al. 2020): Adam whose step is scaled, per tensor, by |w| / |update|."""

    name: Literal["lamb"]
    beta2: Annotated[Number, Field(gt=0, lt=1)]
    """Decay of the mean of squared gradients."""
    eps: Annotated[Number, Field(gt=0)]
    """Added to the denominator."""
    bias_correction: bool
    """Adam's correction of the first means: on in timm, off in the released code."""
    adapt: Literal["all", "decayed"]
    """Which tensors are scaled: every one (as in the released code), or those that decay (timm's default)."""
    trust_clip: bool
    """Bound the scale by 1."""


OptimizerSpec = Annotated[SgdSpec | AdamWSpec | LarsSpec | LambSpec, Field(discriminator="name")]
"""How gradients become steps."""


class ScheduleSpec(Strict):
    """OneCycle: learning rate and momentum as functions of training progress in [0, 1]."""

    name: Literal["onecycle"]
    """Cosine up to `max_lr`, cosine down."""
    max_lr: Annotated[Number, Field(gt=0)]
    """Peak learning rate."""
    pct_start: Annotated[Number, Field(gt=0, lt=1)]
    """Share of training spent rising."""
    div_factor: Annotated[Number, Field(ge=1)]
    """Starts at max_lr / div_factor."""
    final_div_factor: Annotated[Number, Field(ge=1)]
    """Ends at the start value / final_div_factor."""
    base_momentum: Annotated[Number, Field(ge=0, lt=1)]
    """Momentum at the peak of the learning rate."""
    max_momentum: Annotated[Number, Field(ge=0, lt=1)]
    """Momentum at start and end. Equal to base_momentum: no cycling."""

    @model_validator(mode="after")
    def _momentum_order(self) -> ScheduleSpec:
        if self.base_momentum > self.max_momentum:
            raise ValueError("'base_momentum' must be at most 'max_momentum'")
        return self


class AugmentSpec(Strict):
    """Training-time augmentation of images that lie in memory, all of one size."""

    crop_padding: Annotated[int, Field(ge=0, le=16)]
    """Pixels of reflect padding before the random crop back to the image's size; 0 for no crop."""
    flip: bool
    """Random horizontal flip."""


class RandAugmentSpec(Strict):
    """RandAugment (Cubuk et al. 2020) as torchvision has it: this many random operations of one magnitude."""

    operations: Count
    """Operations per image."""
    magnitude: Annotated[StrictInt, Field(ge=0)]
    """Strength, from 0 to `levels` - 1."""
    levels: Annotated[StrictInt, Field(ge=2)]
    """31 in torchvision and in the method's paper. With 11, a magnitude means what it means in timm."""

    @model_validator(mode="after")
    def _one_of_the_levels(self) -> RandAugmentSpec:
        if self.magnitude >= self.levels:
            raise ValueError(f"'magnitude' must be below 'levels' = {self.levels}. Got {self.magnitude}")
        return self


class PhotoAugmentSpec(Strict):
    """Augmentation of photographs that are decoded by loader workers."""

    size: Count
    """Side, in pixels, of what the network sees, in training and evaluation."""
    min_scale: Fraction
    """Least share of the image's area that a training crop takes; its aspect ratio is between 3/4 and 4/3."""
    flip: bool
    """Random horizontal flip."""
    interpolation: Literal["bilinear", "bicubic"]
    """How images are resized, in training and evaluation."""
    rand_augment: RandAugmentSpec | None
    """Random operations on colour and shape after the crop."""
    test_resize: Count
    """Shorter side, in pixels, before the central crop in evaluation."""


def _kind_of_augmentation(value: Any) -> str:
    photos = "size" in value if isinstance(value, dict) else isinstance(value, PhotoAugmentSpec)
    return "photos" if photos else "small"


class MixSpec(Strict):
    """What is done to whole batches on the device, after augmentation."""

    mixup: Annotated[Number, Field(ge=0)]
    """alpha of MixUp (Zhang et al. 2018): shares are drawn from Beta(alpha, alpha), one a batch; 0 for none."""
    cutmix: Annotated[Number, Field(ge=0)]
    """alpha of CutMix (Yun et al. 2019), likewise; 0 for none."""
    probability: Annotated[Number, Field(ge=0, le=1)]
    """Share of the batches that are mixed."""
    cutmix_share: Annotated[Number, Field(ge=0, le=1)]
    """Share of the mixed batches that take CutMix, where both are on."""
    erase: Annotated[Number, Field(ge=0, le=1)]
    """Share of the images that lose a random rectangle (random erasing, Zhong et al. 2017), filled with the mean
    colour."""


class RecipeSpec(Strict):
    """How the network is trained: the same for every method that a table compares."""

    epochs: Count
    """Epochs; under pruning each visits only the kept samples."""
    batch_size: Count
    """Samples per optimiser step; the last batch of an epoch may be smaller."""
    optimizer: OptimizerSpec
    schedule: ScheduleSpec
    label_smoothing: Annotated[Number, Field(ge=0, lt=1)]
    """Of the training loss, and so of the scores. The test loss is not smoothed."""
    task: Literal["classify", "reconstruct"]
    """reconstruct: a masked autoencoder, whose network gives each image's reconstruction loss itself."""
    augment: Annotated[
        Annotated[AugmentSpec, Tag("small")] | Annotated[PhotoAugmentSpec, Tag("photos")],
        Discriminator(_kind_of_augmentation),
    ]
    mix: MixSpec | None
    """MixUp, CutMix and random erasing. A sample's loss, and so its score, is then against its mixed target."""
    precision: PrecisionName
    """auto: bf16 autocast where the hardware computes in it, else tf32. tf32: fp32, with products in TF32 on GPUs that
    have it. fp16: autocast with a loss scale that adapts; recorded norms are unscaled."""
    evaluate_every: Count
    """Epochs between evaluations on the test set; the last epoch is always evaluated."""
    match_steps_at: PruneRatio | None
    """Stop after as many optimiser steps as a run takes that prunes this share of every epoch (a baseline on full
    data)."""


class DeepFoolSpec(Strict):
    """How the distance of a sample's input from the decision boundary is searched, see `orderdp.coresets.deepfool`."""

    classes: Annotated[StrictInt, Field(ge=2)]
    """Candidates per sample, its predicted class included."""
    iterations: Count
    """Steps at most."""
    overshoot: Annotated[Number, Field(ge=0)]
    """Share of the change added to it to get across the boundary."""


class ProxySpec(Strict):
    """The networks that are trained before a static selection, and what is noted of them, see
    `orderdp.training.proxy`."""

    dataset: DatasetSpec
    model: ModelSpec
    recipe: RecipeSpec
    models: Count
    """Networks trained on the whole training set, one after the other."""
    early_epochs: tuple[Count, ...]
    """Epochs after which every network's outputs are noted, for scores of early training."""
    validation: Annotated[Number, Field(gt=0, lt=0.5)]
    """Share of the training set that one more network does not see, for methods that want held-out samples; never the
    test set."""
    deepfool: DeepFoolSpec
    seed: Seed
    """Of the first network; the next ones count on. Beyond the seeds of the runs, so that no run repeats a proxy's
    training."""

    @model_validator(mode="after")
    def _early_is_in_time(self) -> ProxySpec:
        late = [epoch for epoch in self.early_epochs if epoch > self.recipe.epochs]
        if late:
            raise ValueError(f"'early_epochs' must be at most the proxy's {self.recipe.epochs} epochs. Got {late[0]}")
        return self


class CoresetChoice(Strict):
    """How samples are chosen from the outputs of a proxy."""

    method: Name
    """A name in `orderdp.coresets.CORESETS`."""
    options: dict[Name, Scalar]
    """Its keyword arguments."""
    models: Count
    """How many of the proxy's networks it looks at, the last ones."""
    epoch: Count | None
    """The early epoch whose outputs it looks at, for scores of early training."""
    balance: Balance
    """Classes in proportion (true), all samples at once (false), or as many of each class ("equal")."""
    prune_ratio: PruneRatio
    """Share of the training set that is left out."""


class CoresetSpec(CoresetChoice):
    """The samples that the pruner `static` trains on."""

    proxy: ProxySpec

    @model_validator(mode="after")
    def _proxy_has_it(self) -> CoresetSpec:
        if self.models > self.proxy.models:
            raise ValueError(f"'models' must be at most the proxy's {self.proxy.models}")
        if self.epoch is not None and self.epoch not in self.proxy.early_epochs:
            raise ValueError(
                f"'epoch' must be one of the proxy's 'early_epochs' {list(self.proxy.early_epochs)}. Got {self.epoch}"
            )
        return self


NEUTRAL = {"hard_fraction": 1, "trim": 0, "smoothing": 1, "rise": 0}
"""Shares among a method's options that stand in a run's name where they are in force -> their value where they are
not."""


class RunSpec(Sparse):
    """One training run, fully resolved."""

    dataset: DatasetSpec
    model: ModelSpec
    method: MethodSpec
    recipe: RecipeSpec
    pretraining: RunSpec | None = None
    """The run whose final weights this one starts from; None for weights drawn from the seed."""
    record_at: tuple[Fraction, ...]
    """Positions in training, as fractions of its epochs, at which the kept set is recorded."""
    diagnostics: tuple[Diagnostic, ...]
    """What is measured of the run where kept sets are recorded, afterwards, from weights that it keeps there.
    "gradients": gradients, losses and labels of what is kept, against all data."""
    seed: Seed
    """Decides initial weights, order, augmentation and selection, each from a stream of its own."""
    coreset: CoresetSpec | None = None
    """What the pruner `static` trains on; none for every other pruner."""

    @model_validator(mode="after")
    def _score_fits(self) -> RunSpec:
        mixed = self.recipe.mix is not None and max(self.recipe.mix.mixup, self.recipe.mix.cutmix) > 0
        if self.method.score not in (None, "loss") and (mixed or self.recipe.task != "classify"):
            raise ValueError(
                f"'score' = {self.method.score} is of one label, which images that are mixed or reconstructed do not "
                "have: rank by the loss"
            )
        return self

    def stem(self) -> str:
        """Readable part of the run's name, for example `digits-resnet8w16-orderdp-p70-x50-e10-s0`."""
        recipe, method = self.recipe, self.method
        parts = [self.dataset.name, self.model.label(), method.name]
        if self.dataset.label_noise > 0:
            parts.insert(1, f"noise{percent(self.dataset.label_noise)}")
        if method.score is not None:
            parts.append(method.score)
        for key, value in method.options.items():
            if key == "prune_ratio" and value is not None:
                parts.append(f"p{percent(value)}")
            elif key == "explore" and value is not None:
                parts.append(f"x{percent(value)}")
            elif isinstance(value, str):
                parts.append(value)
            elif key in NEUTRAL and value != NEUTRAL[key]:
                parts.append(f"{key}{percent(value)}")
            elif value is True:
                parts.append(key)
        if self.coreset is not None:
            parts += [self.coreset.method, f"p{percent(self.coreset.prune_ratio)}"]
        if recipe.match_steps_at is not None:
            parts.append(f"steps{percent(1 - recipe.match_steps_at)}")
        if recipe.optimizer.name != "sgd":
            parts.append(recipe.optimizer.name)
        if self.pretraining is not None:
            method = self.pretraining.method
            ratio = method.options.get("prune_ratio")
            parts.append(f"pre_{method.name}" + (f"_p{percent(ratio)}" if ratio is not None else ""))
        return "-".join([*parts, f"e{recipe.epochs}", f"s{self.seed}"])


class SpecError(ValueError):
    """The configuration is wrong. The message lists every problem, each with its key, value and remedy."""


def percent(share: object) -> str:
    """0.7 -> '70', 0.125 -> '12.5'."""
    return f"{100 * float(share):.6g}"  # type: ignore[arg-type]


def explain(error: ValidationError, where: str = "") -> list[str]:
    """One line per problem of a pydantic error: dotted key, what is wrong, what was given."""
    return [f"{'.'.join(filter(None, (where, *map(str, path))))}: {text}" for path, text in problems(error)]


def problems(error: ValidationError, given: Any = None) -> list[tuple[tuple[int | str, ...], str]]:
    """(keys down to it, what is wrong and what was given) for each problem of a pydantic error.

    Args:
        error: of a validation.
        given: what was validated. With it, the keys are those that stand in it: pydantic puts the names of
            alternatives, such as "photos", among them.
    """
    found = []
    for item in error.errors():
        text = "Unknown key" if item["type"] == "extra_forbidden" else item["msg"].removeprefix("Value error, ")
        if item["loc"] and item["loc"][-1] == "[key]":
            text = "A name has letters, digits and _ (that of a workload also -), and begins with a letter or a digit"
        shown = item["input"] if not isinstance(item["input"], dict | BaseModel) else None
        item["loc"] = tuple(part for part in item["loc"] if part != "[key]")
        path = item["loc"] if given is None else _keys(item["loc"], item["type"] == "missing", given)
        found.append((path, text + ("" if shown is None else f". Got {shown!r}")))
    return found


def _keys(path: tuple[int | str, ...], missing: bool, given: Any) -> tuple[int | str, ...]:
    keys: list[int | str] = []
    for place, part in enumerate(path):
        if isinstance(given, Mapping) and part not in given:
            if missing and place == len(path) - 1:
                keys.append(part)
            continue
        keys.append(part)
        given = given[part] if isinstance(given, Mapping) or isinstance(part, int) else None
    return tuple(keys)
