"""What the paper shows and under which names: its tables and figures in order, its methods and workloads."""

from __future__ import annotations

from typing import NamedTuple

from orderdp.reporting.published import load_published

PUBLISHED_ROWS = {
    "full": "Whole Dataset",
    "random": "Dynamic Random",
    "epsilon_greedy": "epsilon-greedy",
    "ucb": "UCB",
    "infobatch": "InfoBatch",
    "infobatch_nominal": "InfoBatch",
    "orderdp": "OrderDP",
    "static_random": "Static Random",
    "contextual_diversity": "CD",
    "herding": "Herding",
    "k_center": "K-Center",
    "least_confidence": "Least Confidence",
    "margin": "Margin",
    "deepfool": "DeepFool",
    "forgetting": "Forgetting",
    "grand_4": "GraNd-4",
    "el2n_2": "EL2N-2",
    "el2n_20": "EL2N-20",
    "craig": "Craig",
    "glister": "Glister",
    "influence": "Influence",
    "dataset_pruning": "DP",
}
"""Our method -> its row in `published.csv`. A method that is not here is a baseline that the paper does not have."""

PUBLISHED_WORKLOADS = {
    "cifar10-resnet18": "CIFAR10/ResNet-18",
    "cifar10-resnet50": "CIFAR10/ResNet-50",
    "cifar100-resnet18": "CIFAR100/ResNet-18",
    "cifar100-resnet18-diagnostics": "CIFAR100/ResNet-18",
    "cifar100-resnet50": "CIFAR100/ResNet-50",
    "cifar100-resnet50-stability": "CIFAR100/ResNet-50",
    "cifar10-resnet50-adamw": "CIFAR10/ResNet-50",
    "cifar10-resnet50-lars": "CIFAR10/ResNet-50",
    "cifar10-resnet50-lamb": "CIFAR10/ResNet-50",
    "imagenet-resnet18": "ImageNet-1K/ResNet-18",
    "imagenet-resnet50": "ImageNet-1K/ResNet-50",
    "imagenet-resnet50-timm": "ImageNet-1K/ResNet-50-Timm",
    "imagenet-swin": "ImageNet-1K/Swin-T",
    "imagenet-vit-mae": "ImageNet-1K/ViT-B-MAE",
}
"""The paper's workload as `params.yaml` names it -> beginning of its columns in `published.csv`."""


PUBLISHED_OPTIMIZERS = {
    "cifar10-resnet50": "SGD",
    "cifar10-resnet50-adamw": "AdamW",
    "cifar10-resnet50-lars": "LARS",
    "cifar10-resnet50-lamb": "LAMB",
}
"""The paper's workload in Table 7 -> its optimizer."""


class Item(NamedTuple):
    """A table or figure of the paper."""

    experiment: str
    name: str
    title: str
    published: str = ""


ITEMS: tuple[Item, ...] = (
    Item("figure1", "Figure 1", "Training dynamics", "figure1"),
    Item("table1", "Table 1", "Static pruning on CIFAR-10 and CIFAR-100 with ResNet-18", "table1"),
    Item("table2", "Table 2", "Dynamic pruning on CIFAR-10 and CIFAR-100", "table2"),
    Item("figure3", "Figure 3", "Accuracy and time over the prune ratio", "figure3"),
    Item("table3", "Table 3", "Accuracy and time on ImageNet-1K", "table3"),
    Item("figure4", "Figure 4", "Explore and exploit ratios", "figure4"),
    Item("table4", "Table 4", "ImageNet-1K at several prune ratios", "table4"),
    Item("table5", "Table 5", "Other architectures on ImageNet-1K", "table5"),
    Item("table6", "Table 6", "Largest prune ratio without loss, by architecture", "table6"),
    Item("table7", "Table 7", "Optimizers on CIFAR-10 with ResNet-50", "table7"),
    Item("figures5_8", "Figures 5, 6, 7 and 8", "Weights of the ranks"),
    Item("table8", "Table 8", "Similarity of kept sets between checkpoints", "table8"),
    Item("figures9_11", "Figures 9, 10 and 11", "How often each sample is used"),
    Item("figures12_13", "Figures 12 and 13", "Time to accuracy"),
    Item("table9", "Table 9", "Stability over repeated runs", "table9"),
    Item("table10", "Table 10", "Toy example of InfoBatch's estimator", "table10"),
    Item("table11", "Table 11", "Cosine between pruned and full gradients", "table11"),
)
"""In the paper's order. Figure 2 is a drawing of the method: there is nothing to measure in it."""


def published_cells(table: str) -> dict[tuple[str, str], tuple[float, float]]:
    """(row, column) -> (value, std or NaN) of a published table."""
    frame = load_published()
    frame = frame[frame["table"] == table]
    return {(r, c): (v, s) for r, c, v, s in frame[["row", "column", "value", "std"]].itertuples(index=False)}


def printed(cells: dict[tuple[str, str], tuple[float, float]], method: str, column: str) -> tuple[float, float]:
    """Our method's (value, std) in `published_cells`; NaN where nothing is printed."""
    return cells.get((PUBLISHED_ROWS.get(method, ""), column), (float("nan"), float("nan")))


def published_ratios(cells: dict[tuple[str, str], tuple[float, float]], where: str) -> list[float]:
    """The prune ratios in (0, 1) that `published_cells` has for a published workload, ascending."""
    columns = [column.removeprefix(f"{where}/") for _, column in cells if column.startswith(f"{where}/")]
    found = {float(text) / 100 for column in columns if (text := column.split("/")[0]).replace(".", "", 1).isdigit()}
    return sorted(found - {0.0})


def published_workloads(stands_for: str) -> list[str]:
    """The published workloads that one of ours stands for, as they begin columns of `published.csv`."""
    return list(dict.fromkeys(PUBLISHED_WORKLOADS[paper] for paper in stands_for.split(",")))


def is_comparable(workload: str, stands_for: str) -> bool:
    """Whether a workload is the paper's own, and no substitute for it."""
    return workload in stands_for.split(",")


def workload_label(column: str) -> str:
    """`CIFAR10/ResNet-18` -> `CIFAR-10, ResNet-18`."""
    return column.replace("CIFAR100", "CIFAR-100").replace("CIFAR10/", "CIFAR-10/").replace("/", ", ")
