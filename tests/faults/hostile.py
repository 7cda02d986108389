"""Input that was made to do harm, and input that makes no sense: refused in a sentence, without running it, without
writing outside, without taking all memory."""

from __future__ import annotations

import base64
import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.faults.children import Child, command, job
from tests.faults.count import Count, Fault
from tests.faults.together import limited
from tests.faults.undisturbed import Undisturbed

MARK = "it-ran"
"""File in the project's folder that hostile code would make."""
MEMORY_MB = 3000
HTML = "<script>document.title='ran'</script><img src=x onerror=\"alert(1)\">&amp;"
OUTSIDE = ("../outside", "/tmp/outside", "..", ".", "a/b", "a\\b", "", " ", "-rf", "$(touch it-ran)", "`id`")


class Code:
    """Runs a command where it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return Path.touch, (Path(MARK),)  # type: ignore[return-value]


def faults(undisturbed: Undisturbed) -> Iterator[Fault]:
    """Pickles, bombs, HTML, names that lead elsewhere, arguments out of every range."""
    run = next(name for name in undisturbed.grid.runs if "-p70-" in name)
    for kind, content in bad_files().items():
        for file in ("checkpoint.pt", "status.json"):
            yield Fault(f"{kind} as {file}", partial(of_state, undisturbed, run, file, content))
        for file in ("manifest.json", "train_images.npy"):
            yield Fault(f"{kind} as {file}", partial(of_data, undisturbed, run, file, content))
        yield Fault(f"{kind} as proxy outputs", partial(of_outputs, undisturbed, content))
        yield Fault(f"{kind} as a bundle", partial(of_bundle, undisturbed, content))
        yield Fault(f"{kind} as params.yaml", partial(of_params, undisturbed, content))
    for name, text in bad_yaml().items():
        yield Fault(f"YAML {name}", partial(of_params, undisturbed, text))
    for key in ("title", "reproduces"):
        yield Fault(f"HTML as {key}", partial(of_html, undisturbed, key))
    for name in OUTSIDE:
        for words in (
            ("run", name), ("plan", "--scale", name), ("report", "--only", name), ("prepare", "--dataset", name),
            ("run", "--bundle", name), ("plan", "--params", name),
        ):  # fmt: skip
            yield Fault(f"{words}", partial(of_words, undisturbed, words))
    for words in bad_words(run):
        yield Fault(f"{words}", partial(of_words, undisturbed, words))


def bad_files() -> dict[str, bytes]:
    """Contents of files that somebody might be handed."""
    objects = io.BytesIO()
    np.save(objects, np.array([Code()], dtype=object), allow_pickle=True)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(Code()))
        file.writestr("archive/version", "3\n")
    return {
        "a pickle": pickle.dumps(Code()),
        "an array of objects": objects.getvalue(),
        "an archive with a pickle": archive.getvalue(),
        "an .npz with objects": zipped({"features": objects.getvalue(), "labels": objects.getvalue()}),
        "a bomb": bomb(),
        "an .npy of a huge shape": header((10**15,)),
        "an .npz that leads outside": zipped({"../../outside": header((0,)), "labels": header((0,))}),
        "deep JSON": b"[" * 100_000,
        "JSON of a number": b"1e999",
        "zeros": bytes(100_000),
    }


def header(shape: tuple[int, ...]) -> bytes:
    """The beginning of an .npy file of this shape."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    """An .npz file."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(f"{name}.npy", content)
    return archive.getvalue()


def bomb() -> bytes:
    """8 GB of zeros in 8 MB."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        with file.open("features.npy", "w", force_zip64=True) as inside:
            inside.write(header((2_000_000, 1000)))
            for _ in range(500):
                inside.write(bytes(16_000_000))
        file.writestr("labels.npy", header((0,)))
    return archive.getvalue()


def bad_yaml() -> dict[str, bytes]:
    """Parameter files that run code, grow without end, or are none."""
    laughs = "a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
    )
    texts = {
        "that runs code": f"scale: !!python/object/apply:os.system ['touch {MARK}']\n",
        "that makes an object": "scale: !!python/object/new:pathlib.Path [x]\n",
        "of a billion laughs": f"{laughs}scale: *a8\n",
        "that holds itself": "scale: &a [*a]\n",
        "that is deep": "scale: " + "[" * 5000 + "]" * 5000 + "\n",
        "of two documents": "scale: quick\n---\nscale: cifar\n",
        "of a number": "1\n",
        "of a list": "- scale\n",
        "of nothing": "",
        "of conflict marks": "<<<<<<< HEAD\nscale: quick\n=======\nscale: cifar\n>>>>>>> x\n",
        "with a date": "scale: 2020-13-45\n",
        "with a huge number": f"scale: {'9' * 5000}\n",
        "with a merge of nothing": "scale: quick\n<<: 3\n",
    }
    return {name: text.encode() for name, text in texts.items()}


def bad_words(run: str) -> list[tuple[str, ...]]:
    """Arguments out of range."""
    huge = "9" * 30
    numbers = ("0", "-1", huge, "1.5", "x", "")
    return [
        *[("run", run, "--threads", number) for number in numbers],
        *[("run", run, "--workers", number) for number in ("-1", huge, "x")],
        *[("run", run, "--at-once", number) for number in numbers],
        *[("run", run, "--gpus", number) for number in ("-1", huge, "x")],
        *[("run", run, "--device", device) for device in ("gpu", "", "meta", "cpu:7")],
        *[("track", "--watch", "--parent", number) for number in ("-1", huge, "x")],
        *[("theory", "--n", number, "--s", "10", "--q", "5") for number in ("0", "-1", str(10**12), huge, "x")],
        *[("theory", "--n", "100", "--s", number, "--q", "5") for number in ("0", "-1", str(10**12), "101", "x")],
        *[("plan", "--config", text) for text in ("scale", "scale=", "seed=3", "=", "scale=..", "scale=a/b")],
        *[("prepare", "--dataset", "digits", "--out", out) for out in ("params.yaml", "orderdp", "/proc/x")],
        ("track", "--params", "/dev/null"), ("verify", "--params", "."), ("gc", "--scale", "nowhere"),
    ]  # fmt: skip


def harmless(count: Count, undisturbed: Undisturbed, where: str) -> None:
    """Nothing ran, nothing was written elsewhere, all is as it was."""
    folder = undisturbed.folder
    for path in (folder / MARK, folder.parent / "outside", folder.parent / "outside.npy", Path("/tmp/outside")):
        count.expect(not path.exists(), where, f"{path} was made")
        path.unlink(missing_ok=True)
    undisturbed.compare(count, where)


def refused(count: Count, where: str, status: int, output: str) -> None:
    """The status is not 0, and the reason is a few lines."""
    count.read(where, output)
    count.expect(status in (1, 2), where, f"it ended with {status}: {output[-500:]}")
    count.expect(0 < len(output) < 6000, where, f"it said {len(output)} characters: {output[:300]}")


def of_state(undisturbed: Undisturbed, run: str, file: str, content: bytes, count: Count) -> None:
    """A run begins with a state that somebody else wrote. It begins again."""
    where = f"{run} from a hostile {file}, {content[:20]!r}"
    work = undisturbed.folder / ".work" / run
    shutil.rmtree(undisturbed.folder / "runs" / run)
    work.mkdir(parents=True)
    (work / file).write_bytes(content)
    for words in (("plan",), ("track",)):
        count.read(where, Child(undisturbed.folder, command, *words).end()[1])
    undisturbed.again(count, where, run)
    harmless(count, undisturbed, where)


def of_data(undisturbed: Undisturbed, run: str, file: str, content: bytes, count: Count) -> None:
    """A data set holds a file that somebody else wrote. A run refuses it, and preparing it again mends it."""
    where, path = f"{run} on a hostile {file}", undisturbed.folder / "data/digits" / file
    shutil.rmtree(undisturbed.folder / "runs" / run)
    path.write_bytes(content)
    record = undisturbed.grid.jobs[run].record()
    refused(count, where, *Child(undisturbed.folder, job, record, prepare=partial(limited, MEMORY_MB)).end())
    status, output = Child(undisturbed.folder, command, "prepare", "--dataset", "digits").end()
    count.read(where, output)
    count.expect(status == 0, where, f"prepare: {output[-500:]}")
    undisturbed.again(count, where, run)
    harmless(count, undisturbed, where)


def of_outputs(undisturbed: Undisturbed, content: bytes, count: Count) -> None:
    """`orderdp coreset` reads a file that somebody else wrote."""
    path = undisturbed.folder.parent / "outputs.npz"
    path.write_bytes(content)
    words = ("coreset", "--proxy-outputs", str(path), "--method", "herding", "--n-keep", "3", "--out", "chosen.npy")
    status, output = Child(undisturbed.folder, command, *words, prepare=partial(limited, MEMORY_MB)).end()
    refused(count, "hostile proxy outputs", status, output)
    count.expect(not (undisturbed.folder / "chosen.npy").exists(), "hostile proxy outputs", "a file was written")
    harmless(count, undisturbed, "hostile proxy outputs")


def of_bundle(undisturbed: Undisturbed, content: bytes, count: Count) -> None:
    """`orderdp run --bundle` reads a file that somebody else wrote."""
    path = undisturbed.folder.parent / "bundle.json"
    path.write_bytes(content)
    status, output = Child(
        undisturbed.folder, command, "run", "--bundle", str(path), prepare=partial(limited, MEMORY_MB)
    ).end()
    refused(count, "hostile bundle", status, output)
    harmless(count, undisturbed, "hostile bundle")


def of_params(undisturbed: Undisturbed, content: bytes, count: Count) -> None:
    """Every command refuses hostile parameters, and so does Snakemake."""
    where, path = f"params.yaml of {base64.b64encode(content[:30])!r}", undisturbed.folder / "params.yaml"
    kept = path.read_bytes()
    path.write_bytes(content)
    try:
        for words in (("plan",), ("report",), ("track",), ("gc", "--delete")):
            child = Child(undisturbed.folder, command, *words, prepare=partial(limited, MEMORY_MB))
            refused(count, f"{where}, {words[0]}", *child.end(60))
    finally:
        path.write_bytes(kept)
    harmless(count, undisturbed, where)


def of_html(undisturbed: Undisturbed, key: str, count: Count) -> None:
    """Text of params.yaml is shown on the page, not run."""
    project, where = undisturbed.project, f"HTML as {key}"
    path = undisturbed.folder / "params.yaml"
    kept, reports = path.read_bytes(), undisturbed.folder / "reports"
    shutil.copytree(reports, undisturbed.folder / ".reports")
    params = project.params()
    params["experiments"]["table2"][key] = HTML
    project.write_params(params)
    try:
        status, output = Child(undisturbed.folder, command, "report").end()
        count.read(where, output)
        if status == 0:
            page = (reports / "quick/index.html").read_text()
            count.expect(HTML not in page and "<img src=x" not in page, where, "the page holds it as it is")
    finally:
        path.write_bytes(kept)
        shutil.rmtree(reports)
        (undisturbed.folder / ".reports").rename(reports)
    harmless(count, undisturbed, where)


def of_words(undisturbed: Undisturbed, words: tuple[str, ...], count: Count) -> None:
    """A command with arguments that make no sense."""
    where = json.dumps(words)
    child = Child(undisturbed.folder, command, *words, prepare=partial(limited, MEMORY_MB))
    refused(count, where, *child.end(60))
    harmless(count, undisturbed, where)
