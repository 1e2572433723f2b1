"""Checkpoints: what goes in comes out bit for bit, and a file that is not ours is refused without being run."""

from __future__ import annotations

import errno
import math
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

import equipoise.training.checkpoint as module
from equipoise._checks import RunError
from equipoise.training import read_checkpoint, write_checkpoint
from equipoise.training.kept import resume_position


@given(st.floats(allow_nan=False), st.floats(width=32))
def test_every_bit_survives(tmp_path_factory: pytest.TempPathFactory, plain: float, number: float) -> None:
    path = tmp_path_factory.mktemp("checkpoint") / "last.safetensors"
    write_checkpoint(path, {"x": torch.tensor([number])}, {"plain": plain})
    tensors, state = read_checkpoint(path)
    assert torch.equal(tensors["x"], torch.tensor([number])) or math.isnan(number)
    assert state == {"plain": plain}


def test_a_pickle_is_refused_and_never_opened(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    marker = tmp_path / "executed"

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str, str]]:
            return (open, (str(marker), "w"))

    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(
        RunError, match=r"not a checkpoint of Equipoise .* never opened, because opening one can run code"
    ):
        read_checkpoint(path)
    torch.save({"bomb": Bomb()}, path)
    with pytest.raises(RunError, match="not a checkpoint of Equipoise"):
        read_checkpoint(path)
    assert not marker.exists()


def test_foreign_newer_damaged_and_missing_files_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(RunError, match="does not exist"):
        read_checkpoint(path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(RunError, match="Equipoise did not write it"):
        read_checkpoint(path)
    save_file({"x": torch.zeros(1)}, path, metadata={"equipoise": '{"version": 99, "state": {}}'})
    with pytest.raises(RunError, match=r"newer Equipoise .* Upgrade"):
        read_checkpoint(path)
    write_checkpoint(path, {"x": torch.zeros(1000)}, {})
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(RunError, match="damaged"):
        read_checkpoint(path)


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.safetensors"
    write_checkpoint(path, {"x": torch.ones(3)}, {"epoch": 1})

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(RunError, match="No space left on device"):
        write_checkpoint(path, {"x": torch.zeros(3)}, {"epoch": 2})
    assert read_checkpoint(path)[1] == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["last.safetensors"]


@pytest.mark.parametrize("state", [{}, {"member": 0, "events": "x"}, {"member": "x", "events": 0}, {"member": -1}])
def test_a_state_that_says_not_where_it_was_is_damaged(tmp_path: Path, state: dict[str, object]) -> None:
    write_checkpoint(tmp_path / "last.safetensors", {"x": torch.zeros(1)}, state)
    with pytest.raises(RunError, match=r"last\.safetensors is damaged: (member|events) is .* --overwrite"):
        resume_position(tmp_path, 1)
