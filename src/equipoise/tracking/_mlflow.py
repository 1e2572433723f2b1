"""MLflow: a local SQLite file, or a server by its address. Nothing is tried for long; its telemetry is off."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from equipoise._checks import ArgumentError
from equipoise.runs import Run
from equipoise.tracking._send import TrackingError
from equipoise.tracking._state import Position

_MOST_PARAMETERS, _MOST_METRICS, _LONGEST_VALUE = 100, 1000, 6000  # limits of MLflow's own for one batch
_TOKEN = "equipoise.token"  # the tag that a run is found again by
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # what fails is sent again later, from the run folder
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "GIT_PYTHON_REFRESH": "quiet",
}


class MLflowTarget:
    """One run at MLflow.

    Args:
        uri: of a server (``http://...``) or a database (``sqlite:///...``).
        experiment: made where it is missing.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise ArgumentError(
                "tracking: mlflow needs the package mlflow. Install it: pip install 'equipoise[tracking]'."
            ) from error
        self._uri, self._experiment = uri, experiment
        self._run = ""
        self._told: list[Any] = []
        with self._errors():
            self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)

    def begin(self, position: Position, run: Run, parameters: Mapping[str, str]) -> None:
        """Make the run, or find the one that was made with the same token; send the recipe."""
        from mlflow.entities import Param

        with self._errors():
            if not position.run_id:
                position.run_id = self._found(position.token) or self._made(position.token, run)
            self._run = position.run_id
            texts = [Param(name, value[:_LONGEST_VALUE]) for name, value in parameters.items()]
            for start in range(0, len(texts), _MOST_PARAMETERS):
                self._client.log_batch(self._run, params=texts[start : start + _MOST_PARAMETERS])

    def tell(self, metrics: Mapping[str, float], step: int, time: int) -> None:
        """Take figures of an epoch."""
        from mlflow.entities import Metric

        self._told += [Metric(name, value, time, step) for name, value in metrics.items()]

    def flush(self) -> None:
        """Send what was told, in batches; the same figure with the same time and step is kept once there."""
        told, self._told = self._told, []
        with self._errors():
            for start in range(0, len(told), _MOST_METRICS):
                self._client.log_batch(self._run, metrics=told[start : start + _MOST_METRICS])

    def file(self, name: str, path: Path) -> None:
        """Send a file; one of the same name is replaced."""
        folder = name.rpartition("/")[0]
        with self._errors():
            self._client.log_artifact(self._run, str(path), folder or None)

    def end(self) -> None:
        """Say that the run is finished."""
        with self._errors():
            self._client.set_terminated(self._run, "FINISHED")

    def _made(self, token: str, run: Run) -> str:
        tags = {_TOKEN: token, "equipoise.version": str(run.about.get("equipoise", ""))}
        made = self._client.create_run(self._experiment_id(), tags=tags, run_name=run.path.resolve().name)
        return str(made.info.run_id)

    def _found(self, token: str) -> str:
        """Return the run that was made just before this process's forerunner died, if there is one."""
        experiment = self._client.get_experiment_by_name(self._experiment)
        if experiment is None:
            return ""
        runs = self._client.search_runs([experiment.experiment_id], f"tags.`{_TOKEN}` = '{token}'", max_results=1)
        return str(runs[0].info.run_id) if runs else ""

    def _experiment_id(self) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(self._experiment)
        if found is not None:
            return str(found.experiment_id)
        place = None
        if self._uri.startswith("sqlite:///"):  # a server knows where its files lie
            folder = Path(self._uri.removeprefix("sqlite:///")).resolve().parent / "mlflow-files"
            place = (folder / "".join(c if c.isalnum() or c in "-_." else "-" for c in self._experiment)).as_uri()
        try:
            return str(self._client.create_experiment(self._experiment, artifact_location=place))
        except MlflowException:  # another process made it in the meantime
            again = self._client.get_experiment_by_name(self._experiment)
            if again is None:
                raise
            return str(again.experiment_id)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (MlflowException, SQLAlchemyError, OSError) as error:
            first = " ".join(str(error).split())[:200]
            raise TrackingError(
                f"MLflow at {self._uri} could not be told ({first}). Send it later with: equipoise track RUN."
            ) from error
