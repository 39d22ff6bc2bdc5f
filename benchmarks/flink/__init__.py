"""Flink's own environment: its Python package and jars, apart from Sluice's, made when first asked for."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pyspark

from sluice.java import find_java

_HOME = Path("build/flink")
_PACKAGE = "apache-flink==2.2.1"


def flink_python() -> Path:
    """The Python that runs Flink; made in build/flink, about 900 MB, if it is not there.

    Raises:
        RuntimeError: it could not be made; with the reason.
    """
    python, done = _HOME / "bin" / "python", _HOME / "complete"
    if done.exists():
        return python.absolute()
    print("  making Flink's environment (about two minutes the first time)", flush=True)
    shutil.rmtree(_HOME, ignore_errors=True)
    venv.create(_HOME, with_pip=True)
    _call([str(python), "-m", "pip", "install", "--quiet", _PACKAGE])
    ivy = next((Path(pyspark.__file__).parent / "jars").glob("ivy-*.jar"))
    library = next(_HOME.glob("lib/python3*/site-packages/pyflink/lib"))
    resolve = [str(find_java()), "-jar", str(ivy), "-ivy", str(Path(__file__).parent / "ivy.xml")]
    resolve += ["-cache", str(_HOME / "ivy"), "-retrieve", str(library / "[artifact]-[revision].[ext]")]
    _call([*resolve, "-types", "jar", "bundle"])
    done.touch()
    return python.absolute()


def _call(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        last = "\n".join(done.stdout.splitlines()[-5:])
        raise RuntimeError(f"Flink's environment: {' '.join(command[:4])} … exited with {done.returncode}:\n{last}")


if __name__ == "__main__":
    sys.stdout.write(f"{flink_python()}\n")
