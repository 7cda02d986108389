"""Puts into the wheel what `orderdp init` writes: the parameters, the Snakefile, its rules and the profiles."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
PROJECT = ("params.yaml", "Snakefile", "workflow", "profiles")
"""The same names as in `orderdp.launch.new_project`, which cannot be imported here: it may not be installed yet."""


class WithProject(build_py):
    """Copies the project beside the modules. A checkout that is installed editable has it already."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "orderdp" / "project"
        for name in PROJECT:
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / name, target / name, ignore=ignored, dirs_exist_ok=True)
            else:
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target / name)


setup(cmdclass={"build_py": WithProject})
