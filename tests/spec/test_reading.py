"""A slip in params.yaml is one line that says where it is and what to write instead."""

from __future__ import annotations

import copy
import random
from pathlib import Path

import pytest
import yaml

from orderdp import code_fingerprint as code
from orderdp import grid as grids
from orderdp.grid.checks import GIVEN_BY_ENGINE, REGISTRIES
from orderdp.grid.options import RANGES, wrong
from orderdp.spec import SpecError

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "params.yaml").read_text()
PARAMS = yaml.safe_load(TEXT)


def refused(tmp_path, text: str | bytes) -> str:
    path = tmp_path / "params.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SpecError) as caught:
        grids.load(path, "quick")
    return str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        # pyyaml#165, yacs#17, ArcticTraining#85: of a key that is there twice, the last one counts.
        ("scale: quick\n", "scale: quick\nscale: cifar\n", r"line 4: the key 'scale' is there twice, first in line 3"),
        ("  random: {", "  ucb: {label: x, name: random}\n  random: {", "the key 'ucb' is there twice, first in line"),
        ("    epochs: 200\n", "    epochs: 010\n", "YAML reads 010 as 8. Write the number in decimal digits"),
        ("    epochs: 200\n", "    epochs: 1:30\n", "YAML reads 1:30 as 90. Write the number in decimal digits"),
        ("    epochs: 200\n", "    epochs: 2_0\n", "YAML reads 2_0 as 20."),
        ("    epochs: 200\n", "    epochs: 0x10\n", "YAML reads 0x10 as 16."),
        ("      max_lr: 0.2\n", "      max_lr: yes\n", "YAML reads yes as True. Write true or false, or quotes"),
        (
            "      max_lr: 0.2\n",
            "      max_lr: true\n",
            "recipes.paper.schedule.max_lr: Input should be a valid number",
        ),
        ("weight_decay: 0.0005, decay: all", "weight_decay: off, decay: all", "YAML reads off as False."),
    ],
)
def test_what_yaml_reads_otherwise_is_refused(tmp_path, old, new, message):
    assert old in TEXT
    said = refused(tmp_path, TEXT.replace(old, new, 1))
    assert message in said and "Traceback" not in said


@pytest.mark.parametrize("number", ["1e-3", "1.0e-3", "0.001", "1E-3"])
def test_powers_of_ten_are_numbers(tmp_path, number):
    path = tmp_path / "params.yaml"
    path.write_text(TEXT.replace("      max_lr: 0.2\n", f"      max_lr: {number}\n", 1))
    runs = grids.load(path, "cifar").runs.values()
    assert 0.001 in {run.spec.recipe.schedule.max_lr for run in runs}


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_another_encoding_is_one_line(tmp_path, encoding):
    text = TEXT.replace("ε", "é")
    assert "is not text in UTF-8" in refused(tmp_path, text.encode(encoding))


def test_a_folder_is_one_line(tmp_path):
    with pytest.raises(SpecError, match="cannot be read: Is a directory"):
        grids.load(tmp_path)


def test_a_row_that_is_there_twice_is_refused(tmp_path):
    """Copied and pasted entries counted each run twice: more runs, and an interval that is too small."""
    params = copy.deepcopy(PARAMS)
    params["experiments"]["table2"]["grid"].append(params["experiments"]["table2"]["grid"][1])
    assert "the method 'random' at prune ratio 0.3 on digits-resnet8 is there twice" in refused(
        tmp_path, yaml.safe_dump(params)
    )


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("scales/quick/seeds", [0, 1, 1], "scales.quick.seeds: 1 is there twice"),
        ("experiments/table2/grid/1/prune_ratios", [0.5, 0.5], "prune_ratios: 0.5 is there twice"),
        ("workloads/digits-resnet8/model_options/width", "8", "width: must be a whole number. Got '8'"),
        ("workloads/digits-resnet8/model_options/width", -4, "width: must be in [1, 1000000]. Got -4"),
        ("workloads/digits-resnet8/model_options/width", 16.5, "width: must be a whole number. Got 16.5"),
        ("workloads/digits-resnet8/model_options/width", None, "width: must be a whole number. Got None"),
        ("workloads/digits-resnet8/overrides/batch_size", 10**30, "Input should be less than or equal to 1000000"),
        (
            "workloads/digits-resnet8/overrides/augment", {"crop_padding": 8, "flip": False},
            "crop_padding: must be below the images' 8 pixels. Got 8",
        ),
        ("workloads/digits-vit-mae/pretraining", "nobody", "pretraining: unknown name 'nobody'"),
        ("methods/glister/coreset/options/rounds", -1, "rounds: must be in [1, 1000000]. Got -1"),
        ("methods/prototypes_hard/coreset/options/keep", "heard", "keep: must be hard or easy. Got 'heard'"),
        ("methods/influence/coreset/options/target", "los", "target: must be parameters or loss. Got 'los'"),
        ("methods/influence/coreset/options/curvature", 1, "curvature: must be auto or exact or kronecker or cg"),
        ("methods/herding/coreset/epoch", 4, "herding looks at the trained proxy. Leave it out. Got 4"),
        ("scales/quick/early_epochs/el2n_2", 3, "must be one of coresets.proxy.early_epochs"),
        ("coresets/proxy/seed", 0, "which would repeat a proxy's training"),
        ("coresets/proxy/deepfool/classes", 99, "must be at most the 10 classes of the data set"),
        ("methods/orderdp_rising/options/schedule", "stepp", "must be constant or linear or cosine or step"),
    ],
)  # fmt: skip
def test_what_the_parameters_show_does_not_fail_later(tmp_path, path, value, message):
    params = copy.deepcopy(PARAMS)
    *way, last = path.split("/")
    place = params
    for key in way:
        place = place[int(key) if isinstance(place, list) else key]
    place[last] = value
    assert message in refused(tmp_path, yaml.safe_dump(params))


@pytest.mark.parametrize("name", ["..", "a/b", ".hidden", "a b", "", "ü", "a\nb", "-x"])
@pytest.mark.parametrize("section", ["scales", "experiments", "methods", "workloads", "recipes", "optimizers"])
def test_a_name_is_no_path(tmp_path, section, name):
    params = copy.deepcopy(PARAMS)
    params[section][name] = next(iter(params[section].values()))
    assert "A name has letters, digits and _" in refused(tmp_path, yaml.safe_dump(params))


# Options: every one that is registered has a type, and a range or names


def registered():
    for kind in ("model", "method", "coreset"):
        for name, entry in code.registry(*REGISTRIES[kind]).items():
            for option in code.options(*entry):
                if option not in GIVEN_BY_ENGINE:
                    yield pytest.param(entry, option, id=f"{kind}-{name}-{option}")


@pytest.mark.parametrize(("entry", "option"), registered())
def test_every_option_is_held_to_its_signature_and_range(entry, option):
    types = code.accepted(*entry)[option]
    assert object not in types
    numbers = {int, float} & set(types)
    assert (option in RANGES) == bool(numbers), "a number has a range, and nothing else"
    word = () if str in types else ("no such word",)
    for value in (*word, [1], {"a": 1}, *([float("nan")] if numbers else [])):
        assert option in wrong(entry, {option: value})


@pytest.mark.slow
def test_any_other_value_is_accepted_or_one_error(tmp_path):
    """Random values at random places of the file."""
    draw = random.Random(7)
    values = [None, True, -1, 0, 1, 3, 0.5, 1.5, 10**30, "text", "", [], [1, 1], {}, {"a": 1}, float("inf"), "../x"]

    def leaves(tree, way=()):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
        for key, value in items:
            yield (*way, key)
            yield from leaves(value, (*way, key))

    places = list(leaves(PARAMS))
    path, kept = tmp_path / "params.yaml", 0
    for _ in range(150):
        params = copy.deepcopy(PARAMS)
        *way, last = draw.choice(places)
        place = params
        for key in way:
            place = place[key]
        place[last] = draw.choice(values)
        path.write_text(yaml.safe_dump(params))
        try:
            grids.load(path, "quick")
            kept += 1
        except SpecError as error:
            assert str(error).count("\n") >= 0 and len(str(error)) > 10
    assert kept < 75
