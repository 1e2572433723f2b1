"""What the commands write: never over a file that is read, never two results in one file, all of it or nothing."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from equipoise._checks import ArgumentError, DataError
from equipoise.cli import COMMANDS, app
from equipoise.scores import Scores, write_scores


def run(*arguments):
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def yes_no(role, rows=120):
    random = np.random.default_rng(len(role))
    labels = (random.random((rows, 2)) < 0.3).astype(float)
    values = random.normal(size=(rows, 2)) + labels
    ids = [f"{role}{row}" for row in range(rows)]
    return Scores(labels=labels, values=values, kind="logits", ids=ids, role=role, classes=["Mass", "Hernia"])


def exclusive(role, rows=90):
    random = np.random.default_rng(len(role))
    labels = np.arange(rows) % 3
    values = random.normal(size=(rows, 3)) + np.eye(3)[labels]
    return Scores(
        labels=labels.astype(float), values=values, kind="logits", ids=[f"{role}{row}" for row in range(rows)],
        role=role, classes=["a", "b", "c"], task="multiclass",
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for role in ("validation", "test"):
        write_scores(yes_no(role), tmp_path / f"{role}.csv")
        write_scores(exclusive(role), tmp_path / f"many-{role}.csv")
    write_scores(yes_no("test"), tmp_path / "new.csv")
    (tmp_path / "views.csv").write_text("id,view\n" + "".join(f"test{row},{row % 2}\n" for row in range(120)))
    monkeypatch.chdir(tmp_path)
    run("decide", "validation.csv", "--groups", "none", "--out", "r.json")
    return tmp_path


READ = [
    ("decide validation.csv --out validation.csv", "validation.csv"),
    ("decide validation.csv --out sub/../validation.csv", "validation.csv"),
    ("evaluate test.csv --rule r.json --out r.json", "r.json"),
    ("evaluate test.csv --by view --by-table views.csv --out views.csv", "views.csv"),
    ("compare test.csv new.csv --rule-a r.json --rule-b r.json --metric macro_f1 --out r.json", "r.json"),
    ("compare test.csv new.csv --out new.csv", "new.csv"),
    ("prevalence test.csv --rule r.json --unlabelled new.csv --rule-out new.csv", "new.csv"),
    ("prevalence test.csv --rule r.json --at 0.1 --rule-out r.json", "r.json"),
    ("prevalence test.csv --rule r.json --out r.json", "r.json"),
    ("prevalence test.csv --rule r.json --at 0.1 --refit validation.csv --rule-out validation.csv", "validation.csv"),
]


@pytest.mark.parametrize(("command", "kept"), READ)
def test_a_file_that_is_read_is_never_replaced(folder, command, kept):
    (folder / "sub").mkdir()
    before = (folder / kept).read_bytes()
    with pytest.raises(ArgumentError, match=r"--(rule-)?out .* is a file that is read. Choose another name"):
        run(*command.split(), "--groups", "none", "--overwrite")
    assert (folder / kept).read_bytes() == before


@pytest.mark.parametrize(
    "command",
    [
        "prevalence test.csv --rule r.json --at 0.1 --rule-out x.png --out x.png",
        "prevalence test.csv --rule r.json --at 0.1 --rule-out x.png --figure x.png",
        "prevalence test.csv --rule r.json --out x.png --figure x.png",
        "compare test.csv new.csv --out x.png --figure sub/../x.png",
        "decide validation.csv --out x.png --figure x.png",
    ],
)
def test_two_results_need_two_names(folder, command):
    (folder / "sub").mkdir()
    with pytest.raises(ArgumentError, match="Give two names"):
        run(*command.split(), "--groups", "none", "--overwrite")
    assert not (folder / "x.png").exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("decide many-validation.csv --plot cost", "takes the most likely class after offsets.*--plot roc"),
        ("decide many-validation.csv --maximize argmax --plot thresholds", "takes the most likely class. Draw"),
        ("evaluate test.csv --plot cost", "needs a rule. Give --rule"),
        ("evaluate test.csv --threshold 0.5 --plot cost", "equipoise decide"),
    ],
)
def test_nothing_is_written_when_the_figure_cannot_be_drawn(folder, command, message):
    with pytest.raises(ArgumentError, match=message):
        run(*command.split(), "--groups", "none", "--out", "x.json", "--figure", "x.png")
    assert not (folder / "x.json").exists()
    assert not (folder / "x.png").exists()


def test_what_a_run_wrote_is_not_replaced(folder):
    (folder / "run" / "scores").mkdir(parents=True)
    for name in ("run.json", "decision.json", "scores/test.parquet"):
        (folder / "run" / name).write_text("{}")
        with pytest.raises(ArgumentError, match="is a file that is read"):
            run("evaluate", "run", "--out", f"run/{name}", "--overwrite")
        assert (folder / "run" / name).read_text() == "{}"


@pytest.mark.parametrize("command", ["evaluate x", "compare x y", "prevalence x", "split x", "preflight x", "demo"])
def test_a_negative_seed_is_one_clear_error(command):
    result = run(*command.split(), "--seed", "-1")
    assert result.exit_code == 2
    assert "--seed" in result.output
    assert "greater than or equal to 0" in result.output


@pytest.mark.parametrize("command", ["decide", "evaluate", "compare", "prevalence"])
def test_help_names_the_columns_of_scores(command):
    assert command in COMMANDS
    shown = "".join(one for one in run(command, "--help").output if one.isalnum() or one == "_")
    for name in ("y_CLASS", "p_CLASS", "z_CLASS"):
        assert name in shown, name


def test_a_class_without_a_negative_is_said_to_be_always_predicted(folder):
    (folder / "all.csv").write_text("id,y_a,p_a\n" + "".join(f"{row},1,0.{row + 1}\n" for row in range(9)))
    flags = ("all.csv", "--groups", "none", "--role", "validation")
    with pytest.raises(DataError, match='no negative .* accept that it is always predicted with empty="never"'):
        run("decide", *flags)
    assert "a has no known negative in the validation role: it is always predicted." in run(
        "decide", *flags, "--empty", "never"
    ).output.replace("\n", " ")


def test_a_target_of_a_class_without_positives_in_a_replicate_raises_no_warning(folder, recwarn):
    (folder / "zeros.csv").write_text("id,y_a,p_a\n" + "".join(f"{row},{int(row < 5)},0\n" for row in range(10)))
    flags = ("--role", "validation", "--groups", "none", "--method", "shrunk", "--maximize", "recall>=0.9")
    run("decide", "zeros.csv", *flags)
    assert [str(one.message) for one in recwarn if issubclass(one.category, RuntimeWarning)] == []


def test_logits_near_the_largest_number_are_calibrated_without_a_warning(folder, recwarn):
    random = np.random.default_rng(0)
    lines = [
        f"{row},{int(row % 5 == 0)},{value}"
        for row, value in enumerate(random.normal(0, 5e307, 60).clip(-1.7e308, 1.7e308))
    ]
    (folder / "huge.csv").write_text("id,y_a,z_a\n" + "\n".join(lines) + "\n")
    run("decide", "huge.csv", "--role", "validation", "--groups", "none", "--calibrate", "platt", "--method", "shrunk")
    assert [str(one.message) for one in recwarn if issubclass(one.category, RuntimeWarning)] == []


def test_probabilities_next_to_nothing_leave_the_figure_its_room(folder, recwarn):
    lines = [f"{row},{int(row % 3 == 0)},{3.0 if row % 10 == 0 else -200.0}" for row in range(60)]
    (folder / "low.csv").write_text("id,y_a,z_a\n" + "\n".join(lines) + "\n")
    flags = ("--role", "test", "--groups", "none", "--replicates", 0, "--plot", "reliability", "--figure", "x.png")
    run("evaluate", "low.csv", *flags)
    assert [str(one.message) for one in recwarn if "constrained_layout" in str(one.message)] == []
