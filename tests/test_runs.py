"""The run folder: begun, locked, resumed, finished, refused; full disks and half-written files."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equipoise._checks import ArgumentError, DataError, RunError
from equipoise.recipe import Recipe, read_recipe
from equipoise.runs import FORMAT, Run, next_run_path, plain

RECIPE = Recipe(name="trial")


def make(path: Path, **settings: Any) -> Run:
    return Run.create(path, RECIPE, **settings)


def finished(path: Path) -> Path:
    with make(path) as run:
        run.write_record("metrics", {"macro_f1": 0.5})
        run.finish()
    return path


def test_a_new_run_holds_its_recipe_and_version(tmp_path: Path) -> None:
    with make(tmp_path / "a" / "run") as run:
        assert read_recipe(run.file("recipe.yaml")) == RECIPE
        assert json.loads(run.file("run.json").read_text())["format"] == FORMAT
        assert not run.is_done
    assert Run.open(tmp_path / "a" / "run").about["recipe"] == "trial"


def test_numbers_of_default_folders_go_on(tmp_path: Path) -> None:
    assert next_run_path("a b/c", tmp_path).name == "a-b-c-1"
    (tmp_path / "trial-2").mkdir()
    (tmp_path / "trial-10").mkdir()
    (tmp_path / "trial-x-99").mkdir()
    assert next_run_path("trial", tmp_path).name == "trial-11"
    assert next_run_path("..", tmp_path).name == "run-1"


def test_a_finished_run_is_not_overwritten_without_being_told(tmp_path: Path) -> None:
    path = finished(tmp_path / "run")
    with pytest.raises(RunError, match=r"finished run\. Choose another folder with --out, or .* --overwrite"):
        make(path)


def test_an_unfinished_run_says_resume(tmp_path: Path) -> None:
    make(tmp_path / "run").close()
    with pytest.raises(RunError, match=r"unfinished run\. Go on with --resume, or choose another folder"):
        make(tmp_path / "run")


def test_overwrite_keeps_the_old_run_until_the_new_one_is_finished(tmp_path: Path) -> None:
    path = finished(tmp_path / "run")
    previous = tmp_path / "run.previous"
    make(path, overwrite=True).close()
    assert Run.open(previous).read_record("metrics") == {"macro_f1": 0.5}
    make(path, overwrite=True).close()  # the unfinished one goes, the finished one stays
    assert Run.open(previous).is_done
    with make(path, resume=True) as run:
        run.finish()
    assert not previous.exists()
    assert Run.open(path).is_done


def test_a_finished_run_is_opened_as_it_is_on_resume(tmp_path: Path) -> None:
    path = finished(tmp_path / "run")
    with make(path, resume=True) as run:
        assert run.is_done
    with Run.create(path, resume=True) as run:
        assert run.read_record("metrics") == {"macro_f1": 0.5}


def test_resume_where_nothing_is_begins_a_run(tmp_path: Path) -> None:
    make(tmp_path / "run", resume=True).close()
    with pytest.raises(RunError, match="holds no run to resume"):
        Run.create(tmp_path / "other", resume=True)


def test_resume_with_another_recipe_names_the_keys(tmp_path: Path) -> None:
    make(tmp_path / "run").close()
    other = read_recipe("table", ["name=trial", "training.epochs=7"])
    with pytest.raises(RunError, match=rf"training\.epochs was {RECIPE.training.epochs}, now 7"):
        Run.create(tmp_path / "run", other, resume=True)


def test_resume_and_overwrite_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="Choose one"):
        make(tmp_path / "run", resume=True, overwrite=True)


def test_a_folder_with_other_files_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("years of work")
    for settings in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(RunError, match=r'holds other files \("thesis.docx"\)'):
            make(tmp_path, **settings)
    assert (tmp_path / "thesis.docx").read_text() == "years of work"
    with pytest.raises(RunError, match="is a file"):
        make(tmp_path / "thesis.docx")


def test_a_run_killed_while_it_began_can_begin_again(tmp_path: Path) -> None:
    path = tmp_path / "run"
    make(path).close()
    (path / "run.json").unlink()
    (path / ".run.json.1234.part").write_text("{")
    make(path).close()
    assert Run.open(path).about["format"] == FORMAT


def test_a_newer_run_is_refused_and_so_is_a_broken_one(tmp_path: Path) -> None:
    path = finished(tmp_path / "run")
    about = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps(about | {"format": FORMAT + 1, "equipoise": "9.0"}))
    for attempt in (Run.open, make):
        with pytest.raises(RunError, match=rf"made by Equipoise 9\.0 \(run format {FORMAT + 1}\).*Upgrade"):
            attempt(path, **({"overwrite": True} if attempt is make else {}))
    (path / "run.json").write_text('{"format": ')
    with pytest.raises(DataError, match=r"run\.json line 1 is not JSON"):
        Run.open(path)
    (path / "run.json").write_text("[]")
    with pytest.raises(RunError, match="has no format version"):
        Run.open(path)


def test_what_is_no_run_folder_names_the_run_inside(tmp_path: Path) -> None:
    finished(tmp_path / "trial-1")
    with pytest.raises(RunError, match=r"Did you mean .*trial-1"):
        Run.open(tmp_path)
    with pytest.raises(RunError, match="is not a run folder"):
        Run.open(tmp_path / "nowhere")


def test_two_processes_cannot_work_in_one_folder(tmp_path: Path) -> None:
    with make(tmp_path / "run"), pytest.raises(RunError, match=f"in use by process {os.getpid()} on"):
        make(tmp_path / "run", resume=True)
    make(tmp_path / "run", resume=True).close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX")
def test_a_killed_process_leaves_no_lock_even_when_its_worker_lives(tmp_path: Path) -> None:
    code = f"""
        import os, time
        from equipoise.recipe import Recipe
        from equipoise.runs import Run
        run = Run.create({str(tmp_path / "run")!r}, Recipe(name="trial"))
        run.append_event({{"event": "begin"}})
        child = os.fork()
        if child:
            print(child, flush=True)
        time.sleep(60)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    try:
        with pytest.raises(RunError, match=f"in use by process {process.pid}"):
            make(tmp_path / "run", resume=True)
        process.kill()
        process.wait()
        with make(tmp_path / "run", resume=True) as run:
            assert run.events() == [{"event": "begin"}]
    finally:
        os.kill(worker, signal.SIGKILL)
        process.stdout.close()


def test_events_come_back_in_order_with_nan_as_null(tmp_path: Path) -> None:
    with make(tmp_path / "run") as run:
        run.append_event({"loss": math.nan, "n": np.int64(3), "classes": np.array([0.5, np.inf]), "name": "Müller"})
        run.append_event({"epoch": 2})
        expected = [{"loss": None, "n": 3, "classes": [0.5, None], "name": "Müller"}, {"epoch": 2}]
        assert run.events() == expected
    assert Run.open(tmp_path / "run").events() == expected


def test_a_half_written_event_is_dropped_and_never_joined_to_the_next(tmp_path: Path) -> None:
    with make(tmp_path / "run") as run:
        run.append_event({"epoch": 1})
    with (tmp_path / "run" / "events.jsonl").open("ab") as opened:
        opened.write(b'{"epoch": 2, "lo')
    assert Run.open(tmp_path / "run").events() == [{"epoch": 1}]
    with make(tmp_path / "run", resume=True) as run:
        run.append_event({"epoch": 2})
        assert run.events() == [{"epoch": 1}, {"epoch": 2}]


def test_a_damaged_event_in_the_middle_is_named(tmp_path: Path) -> None:
    with make(tmp_path / "run") as run:
        run.file("events.jsonl").write_text('{"a": 1}\n{"b\n{"c": 3}\n')
        with pytest.raises(DataError, match="line 2 is damaged"):
            run.events()


def test_an_event_that_is_no_mapping_is_named(tmp_path: Path) -> None:
    with make(tmp_path / "run") as run:
        run.file("events.jsonl").write_text('{"a": 1}\n[1]\n')
        with pytest.raises(DataError, match="line 2 is damaged"):
            run.events()


@pytest.mark.parametrize("content", ["{}", "[]", '{"files": 3}'])
def test_a_done_that_names_no_files_is_said(tmp_path: Path, content: str) -> None:
    path = finished(tmp_path / "run")
    (path / "DONE").write_text(content)
    with pytest.raises(RunError, match=r"DONE is damaged: it names no files"):
        Run.open(path).require_done()


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    path = finished(tmp_path / "run")
    monkeypatch.setattr("hashlib.file_digest", refuse)
    with pytest.raises(RunError, match=r"metrics\.json could not be read: Permission denied"):
        Run.open(path).require_done()


def test_events_are_cut_back_to_the_checkpoint(tmp_path: Path) -> None:
    with make(tmp_path / "run") as run:
        assert run.events_position() == 0
        run.append_event({"epoch": 1})
        position = run.events_position()
        run.append_event({"epoch": 2})
        run.truncate_events(position)
        run.append_event({"epoch": "2 again"})
        assert run.events() == [{"epoch": 1}, {"epoch": "2 again"}]
        for wrong in (position - 1, 10_000):
            with pytest.raises(RunError, match="does not reach to the checkpoint"):
                run.truncate_events(wrong)
        run.truncate_events(0)
        assert run.events() == []


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with make(tmp_path / "run") as run:
        run.write_record("metrics", {"macro_f1": 0.5})
        run.append_event({"epoch": 1})
        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_text", full)
            with pytest.raises(RunError, match=r"metrics\.json could not be written: No space left"):
                run.write_record("metrics", {"macro_f1": 0.9})
            with pytest.raises(RunError, match=r"DONE could not be written: No space left"):
                run.finish()
            with pytest.raises(RunError, match="No space left"):
                make(tmp_path / "other")
        assert run.read_record("metrics") == {"macro_f1": 0.5}
        assert not run.is_done
        assert not list((tmp_path / "run").glob("*.part"))


def test_an_event_that_fits_only_in_part_is_taken_back(tmp_path: Path) -> None:
    class Short:
        """A file on a disk that is full after three bytes."""

        def __init__(self, path: Path) -> None:
            self.opened = path.open("ab", buffering=0)

        def write(self, line: bytes) -> int:
            return self.opened.write(line[:3])

        def fileno(self) -> int:
            return self.opened.fileno()

        def close(self) -> None:
            self.opened.close()

    with make(tmp_path / "run") as run:
        run.append_event({"epoch": 1})
        kept, run._events = run._events, Short(run.file("events.jsonl"))  # type: ignore[assignment]
        with pytest.raises(RunError, match=r"events\.jsonl could not be written: No space left.*--resume"):
            run.append_event({"epoch": 2})
        run._events.close()
        run._events = kept
        assert run.file("events.jsonl").read_text() == '{"epoch": 1}\n'


def test_done_vouches_for_the_files(tmp_path: Path) -> None:
    with make(tmp_path / "run") as run:
        run.write_record("metrics", {"macro_f1": 0.5})
        run.scores_file("test").write_bytes(b"scores")
        run.file("figures/run.png").write_bytes(b"a picture")
        with pytest.raises(RunError, match=r"is not finished\. Go on with: equipoise train"):
            run.require_done()
        run.finish()
        run.require_done()
        assert run.scores_roles() == ["test"]
        run.file("figures/run.png").write_bytes(b"a better picture")  # rebuilt from the folder at any time
        run.require_done()
        run.scores_file("test").write_bytes(b"others")
        run.file("metrics.json").unlink()
        with pytest.raises(RunError, match=r'changed after it was finished: "metrics.json", "scores/test.parquet"'):
            run.require_done()


def test_what_a_person_says_may_be_changed_in_a_finished_run(tmp_path: Path) -> None:
    path = finished(tmp_path / "run")
    recipe = path / "recipe.yaml"
    text = recipe.read_text()
    for said in (
        "log:\n  why: does it help?\n  decision: |\n    No.\n\n    Not at all.\n",
        'log: {why: "", decision: yes}\n',
        "",
    ):
        begin, end = text.split("log:")[0], ""
        recipe.write_text(begin + said + end)
        Run.open(path).require_done()
    assert read_recipe(recipe) == RECIPE
    recipe.write_text(text.replace("seed: 0", "seed: 1", 1))
    with pytest.raises(RunError, match=r'changed after it was finished: "recipe.yaml"'):
        Run.open(path).require_done()


def test_a_run_is_resumed_whatever_a_person_says_of_it(tmp_path: Path) -> None:
    make(tmp_path / "run").close()
    said = read_recipe("comorbidity", ["name=trial", "log.why=a question"])
    with Run.create(tmp_path / "run", RECIPE.model_copy(update={"log": said.log}), resume=True) as run:
        assert read_recipe(run.file("recipe.yaml")).log.why == ""


def test_records_and_files_have_known_names(tmp_path: Path) -> None:
    with make(tmp_path / "run") as run:
        with pytest.raises(ArgumentError, match=r'no record "census.json".*Did you mean "census"'):
            run.write_record("census.json", {})
        with pytest.raises(ArgumentError, match=r'no file "splits.csv".*Did you mean "split.csv"'):
            run.file("splits.csv")
        with pytest.raises(ArgumentError):
            run.file("scores/../../passwd")
        assert not run.has_record("census")
        with pytest.raises(RunError, match=r"census\.json is not there: the run has not come so far"):
            run.read_record("census")
        run.write_record("census", {"n": np.float32(0.5), "values": [math.nan]})
        assert run.read_record("census") == {"n": 0.5, "values": [None]}
        run.file("census.json").write_text("{")
        with pytest.raises(DataError, match="is not JSON"):
            run.read_record("census")


def test_plain_keeps_what_json_has() -> None:
    assert plain({"a": [True, None, 1, "x"], "b": Path("c")}) == {"a": [True, None, 1, "x"], "b": "c"}
