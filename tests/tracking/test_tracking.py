"""Runs shown elsewhere: what is sent, once, whatever dies; MLflow and TensorBoard read it back themselves."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equipoise._checks import ArgumentError, RunError
from equipoise.recipe import Recipe, make_recipe, read_recipe
from equipoise.runs import Run
from equipoise.tracking import Tracker, files_to_send, flat_recipe, send_run
from equipoise.tracking._state import State
from equipoise.training import train

CLASSES = ("<script>alert(1)</script>", "rare?")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a small table; tests work on copies."""
    folder = tmp_path_factory.mktemp("tracked")
    random = np.random.default_rng(1)
    signal = random.normal(size=(400, 3))
    labels = signal[:, :2] + random.normal(size=(400, 2)) > [0.8, 1.5]
    lines = ["x,y,z," + ",".join(f'"{name}"' for name in CLASSES)]
    lines += [f"{a:.3f},{b:.3f},{c:.3f},{int(one)},{int(two)}"
              for (a, b, c), (one, two) in zip(signal, labels, strict=True)]  # fmt: skip
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    recipe = make_recipe(
        folder / "table.csv", list(CLASSES), groups="none",
        overrides=["model.name=linear", "training.epochs=4", "training.members=2"],
    )  # fmt: skip
    run = train(recipe, out=folder / "run")
    (run.path / "figures").mkdir(exist_ok=True)
    from matplotlib.figure import Figure

    Figure(figsize=(1, 1)).savefig(run.path / "figures" / "run.png")
    return run.path


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Run:
    shutil.copytree(finished, tmp_path / "our run")
    return Run.open(tmp_path / "our run")


def epochs_of(run: Run) -> list[dict[str, Any]]:
    return [event for event in run.events() if event["event"] == "epoch"]


def mlflow_client(uri: str) -> Any:
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def check_history(client: Any, run_id: str, run: Run) -> None:
    """Every figure of every epoch is there, and nothing twice."""
    for member, before in ((0, ""), (1, "member-2/")):
        epochs = [event for event in epochs_of(run) if event["member"] == member]
        assert epochs
        for name, wanted in (
            ("training_loss", [event["training_loss"] for event in epochs]),
            ("auc/rare_", [event["auc"][1] for event in epochs]),
        ):
            history = sorted(client.get_metric_history(run_id, before + name), key=lambda one: one.step)
            assert [one.step for one in history] == [event["epoch"] for event in epochs]
            assert [one.value for one in history] == pytest.approx(wanted)


# --- what is sent


def test_no_row_of_the_data_is_sent_and_nothing_of_a_closed_test_role(run: Run) -> None:
    names = set(files_to_send(run))
    assert {"recipe.yaml", "model.safetensors", "decision.json", "metrics.json", "figures/run.png"} <= names
    assert not {name for name in names if name.startswith(("scores", "split", "events", "gallery"))}
    (run.path.parent / "ablation.json").write_text("{}")
    assert "metrics.json" not in files_to_send(run)
    assert not {name for name in files_to_send(run) if name.startswith("figures")}


def test_a_word_is_enough_and_equality_of_runs_does_not_hang_on_it(run: Run, tmp_path: Path) -> None:
    recipe = read_recipe(run.file("recipe.yaml"), ["tracking=mlflow"])
    assert recipe.tracking.kind == "mlflow"
    assert recipe.without_log() == read_recipe(run.file("recipe.yaml")).without_log()
    assert not any(name.startswith(("tracking", "log")) for name in flat_recipe(recipe.model_dump()))
    Run.create(run.path, recipe, resume=True).close()  # a resume may be shown elsewhere
    with pytest.raises(ArgumentError, match="names no tracker"):
        send_run(run)
    with pytest.raises(ArgumentError, match="tracking.kind"):
        read_recipe(run.file("recipe.yaml"), ["tracking=wandb"])


# --- MLflow


def test_mlflow_reads_back_parameters_figures_and_files_sent_once_whatever_dies(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{run.path.parent}/mlflow.db"
    client = mlflow_client(uri)
    write, calls = State.write, []

    def dies(state: State, *arguments: Any) -> None:
        """The process is killed when it has sent something and before it could note it."""
        calls.append(1)
        if len(calls) in (3, 5, 9):
            raise KeyboardInterrupt
        write(state, *arguments)

    monkeypatch.setattr(State, "write", dies)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            send_run(run, "mlflow")
    sent = send_run(run, "mlflow")
    assert sent.complete
    assert sent.address == uri
    again = send_run(run, "mlflow")
    assert (again.events, again.files, again.complete) == (0, 0, True)
    experiment = client.get_experiment_by_name(read_recipe(run.file("recipe.yaml")).name)
    runs = client.search_runs([experiment.experiment_id])
    assert [one.info.run_name for one in runs] == ["our run"]
    assert runs[0].info.status == "FINISHED"
    recipe = read_recipe(run.file("recipe.yaml"))
    assert runs[0].data.params == flat_recipe(recipe.model_dump(mode="json"))
    check_history(client, runs[0].info.run_id, run)
    macro = next(row["value"] for row in run.read_record("metrics")["rule"]["rows"]
                 if (row["average"], row["metric"]) == ("macro", "f1"))  # fmt: skip
    assert runs[0].data.metrics["test/rule/macro_f1"] == pytest.approx(macro)
    for name in ("model.safetensors", "decision.json", "figures/run.png"):
        assert Path(client.download_artifacts(runs[0].info.run_id, name)).read_bytes() == (run.path / name).read_bytes()
    assert run.changed_files() == []


def test_a_server_that_cannot_be_reached_is_named_and_nothing_is_lost(run: Run) -> None:
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    began = time.monotonic()
    with pytest.raises(RunError, match=r"MLflow at http://127\.0\.0\.1:9 could not be told .* equipoise track"):
        send_run(run, "mlflow", uri="http://127.0.0.1:9")
    assert time.monotonic() - began < 60
    assert run.changed_files() == []


def test_training_goes_on_where_nobody_listens(finished: Path, tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    recipe = read_recipe(finished / "recipe.yaml", ["tracking.kind=mlflow", "tracking.uri=http://127.0.0.1:9"])
    tracker = Tracker(at_most=0.5)
    made = train(recipe, out=tmp_path / "run", tracker=tracker)
    said = tracker.finish()
    made.require_done()
    assert len(said) == 1
    assert f"equipoise track {made.path}" in said[0]
    same = ("scores/test.parquet", "model.safetensors", "events.jsonl", "decision.json")
    assert all((made.path / name).read_bytes() == (finished / name).read_bytes() for name in same)


@contextlib.contextmanager
def server(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/server.db",
        "--artifacts-destination", str(folder / "files"), "--port", str(port), "--host", "127.0.0.1", "--workers", "1",
    ]  # fmt: skip
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(
        command, cwd=folder, env=os.environ | quiet, stdout=nowhere, stderr=nowhere, start_new_session=True
    )
    try:
        until(lambda: _answers(port), 180)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()


def _answers(port: int) -> bool:
    import urllib.request

    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).status == 200
    except OSError:
        return False


def until(there: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.3)


def _position(run: Run) -> int:
    file = run.file("tracking.json")
    return next(iter(json.loads(file.read_text()).values()))["events"] if file.exists() else 0


@pytest.mark.slow
def test_a_server_that_dies_while_a_run_is_trained_loses_nothing(run: Run, tmp_path: Path) -> None:
    """The training is played: its events are written here, those of the second half after the server was killed."""
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    lines = (run.path / "events.jsonl").read_bytes().splitlines(keepends=True)
    done = (run.path / "DONE").read_bytes()
    (run.path / "DONE").unlink()
    (run.path / "events.jsonl").write_bytes(b"".join(lines[:3]))
    text = run.file("recipe.yaml").read_text()
    run.file("recipe.yaml").write_text(Recipe(**{**read_recipe(run.file("recipe.yaml")).model_dump(),
                                                 "tracking": {"kind": "mlflow", "uri": uri}}).to_yaml())  # fmt: skip
    tracker = Tracker(at_most=120)
    with server(tmp_path, port) as process:
        tracker.start(run.path, "mlflow")
        until(lambda: _position(run) > 0, 180)
        os.killpg(process.pid, 9)
        process.wait()
        with run.file("events.jsonl").open("ab") as events:
            events.write(b"".join(lines[3:]))
        run.file("DONE").write_bytes(done)
        assert len(tracker.finish()) == 1
    with server(tmp_path, port):
        assert send_run(run).complete
        assert send_run(run).events == 0
        client = mlflow_client(uri)
        experiment = client.get_experiment_by_name(read_recipe(run.file("recipe.yaml")).name)
        runs = client.search_runs([experiment.experiment_id])
        assert len(runs) == 1
        check_history(client, runs[0].info.run_id, run)
        there = {one.path for one in client.list_artifacts(runs[0].info.run_id)}
        assert {"decision.json", "model.safetensors", "figures"} <= there
    assert text != run.file("recipe.yaml").read_text()


# --- TensorBoard


def test_tensorboard_reads_back_every_figure_once(run: Run) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for _ in range(2):
        assert send_run(run, "tensorboard").complete
    read = EventAccumulator(str(run.path.parent / "tensorboard" / "our run"), {"scalars": 0, "images": 0})
    read.Reload()
    for member, before in ((0, ""), (1, "member-2/")):
        epochs = [event for event in epochs_of(run) if event["member"] == member]
        found = read.Scalars(f"{before}auc/rare_")
        assert [one.step for one in found] == [event["epoch"] for event in epochs]
        assert [one.value for one in found] == pytest.approx([event["auc"][1] for event in epochs])
    assert len(read.Images("figures/run")) == 1
    assert run.changed_files() == []
