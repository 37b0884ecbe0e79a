"""Files and folders are there whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from diffbench.records.files import file_sha256, replaced_file, whole_folder, write_whole

DEAD = 2**22 + 1
"""No process has this number: Linux counts to 2^22 at most."""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_with_its_folders(tmp_path: Path) -> None:
    write_whole(tmp_path / "a" / "b.txt", "zwölf\n")
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"zw\xc3\xb6lf\n"
    assert names(tmp_path / "a") == ["b.txt"]


def test_bytes_replace_what_was_there_and_its_mode_stays(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    path.chmod(0o640)
    write_whole(path, b"\x00new")
    assert path.read_bytes() == b"\x00new"
    assert path.stat().st_mode & 0o777 == 0o640


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")

    def fail() -> None:
        with replaced_file(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("disk")

    with pytest.raises(RuntimeError, match="disk"):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["x"]


def test_text_that_cannot_be_encoded_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        write_whole(tmp_path / "x", "half of a character: \ud800")
    assert names(tmp_path) == []


def test_a_folder_takes_the_place_of_another_whole(tmp_path: Path) -> None:
    target = tmp_path / "t"
    target.mkdir()
    (target / "old").write_text("1")
    with whole_folder(target) as folder:
        (folder / "new").write_text("2")
        assert names(target) == ["old"], "the old folder stays until the block ends"
    assert names(target) == ["new"]
    assert names(tmp_path) == ["t"]


def test_an_error_leaves_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "t"
    target.mkdir()
    (target / "old").write_text("1")

    def fail() -> None:
        with whole_folder(target) as folder:
            (folder / "new").write_text("2")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert names(tmp_path) == ["t"]
    assert names(target) == ["old"]


def test_a_folder_that_cannot_take_its_name_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "t"
    target.mkdir()
    (target / "old").write_text("1")
    rename, calls = Path.rename, []

    def second_fails(path: Path, to: Path) -> Path:
        calls.append(path)
        if len(calls) == 2:
            raise OSError("no space")
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", second_fails)

    def fail() -> None:
        with whole_folder(target) as folder:
            (folder / "new").write_text("2")

    with pytest.raises(OSError, match="no space"):
        fail()
    assert names(tmp_path) == ["t"]
    assert names(target) == ["old"]


def test_leftovers_of_dead_processes_go_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    dead, living = f".partial-{DEAD}-0-x", f".partial-{os.getpid()}-0-x"
    (tmp_path / dead).write_text("half")
    (tmp_path / living).mkdir()
    write_whole(tmp_path / "y", "1")
    assert names(tmp_path) == [living, "y"]


def test_a_killed_process_leaves_no_half_file(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, signal\n"
        "from diffbench.records.files import replaced_file\n"
        f"with replaced_file(pathlib.Path({str(tmp_path / 'x')!r})) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "x").exists()
    write_whole(tmp_path / "x", "whole")
    assert names(tmp_path) == ["x"], "the next write removes what was left"


def test_the_first_of_two_like_folders_may_stay(tmp_path: Path) -> None:
    target = tmp_path / "t"
    with whole_folder(target, first_stays=True) as mine:
        (mine / "x").write_text("mine")
        with whole_folder(target, first_stays=True) as others:
            (others / "x").write_text("others")
    assert (target / "x").read_text() == "others"
    assert names(tmp_path) == ["t"]


def test_a_folder_that_cannot_take_its_place_is_no_success(tmp_path: Path) -> None:
    target = tmp_path / "missing" / "t"

    def lose_the_place() -> None:
        with whole_folder(target, first_stays=True):
            target.parent.rename(tmp_path / "moved")

    with pytest.raises(FileNotFoundError):
        lose_the_place()


def test_hash_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    # The first example of FIPS 180-2.
    assert file_sha256(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
