"""Lists the packages: each folder of a room that holds modules, so that a new one needs no line anywhere."""

from pathlib import Path

from setuptools import setup

ROOMS = ("agents", "benchmark", "graders", "methods", "models", "organisms", "records", "results", "tools", "views")

setup(
    packages=[
        ".".join(("diffbench", *init.parent.parts))
        for room in ROOMS
        for init in sorted(Path(room).rglob("__init__.py"))
    ]
)
