"""What a wheel of ProcOS holds: all that bridge, workers and commands are made of, and nothing of the tests."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[2]
PACKAGES = ("procos", "bridge", "tasks")
PROCESSES = "processes"


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("wheel")
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


class TestWheel:
    @pytest.mark.parametrize("package", PACKAGES)
    def test_holds_every_module(self, names: set[str], package: str) -> None:
        expected = {file.relative_to(ROOT).as_posix() for file in (ROOT / package).rglob("*.py")}
        assert expected - names == set()

    @pytest.mark.parametrize("files", ["procos/starting_points/**/*.txt", "tasks/ai/prompts/shipped/*.md.j2"])
    def test_holds_what_modules_read(self, names: set[str], files: str) -> None:
        read = {file.relative_to(ROOT).as_posix() for file in ROOT.glob(files)}
        assert read
        assert read - names == set()

    def test_holds_every_process_with_all_that_belongs_to_it(self, names: set[str]) -> None:
        files = {file.relative_to(ROOT).as_posix() for file in (ROOT / PROCESSES).rglob("*") if file.is_file()}
        assert files
        assert {name for name in names if name.startswith(f"{PROCESSES}/")} == files

    def test_holds_nothing_else(self, names: set[str]) -> None:
        assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {*PACKAGES, PROCESSES}
