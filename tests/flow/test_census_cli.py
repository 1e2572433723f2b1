from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

import processes

NIH = ["--labels", "Finding Labels", "--separator", "|", "--groups", "Patient ID"]


def equipoise(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = processes.run(*arguments)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_nih_findings_are_printed(shared_data, tmp_path):
    path = shared_data("nih-chestxray14-labels") / "Data_Entry_2017_v2020.csv.gz"
    start = time.perf_counter()
    printed = equipoise("census", path, *NIH, "--out", tmp_path / "census.json").stdout
    assert time.perf_counter() - start < 15  # the figure is measured in benchmarks/census.py; this catches a collapse
    lines: dict[str, str] = {}
    for line in printed.splitlines():
        if line.startswith("│"):
            lines.setdefault(line.split("│")[1].strip(), line)  # the classes stand before the combinations
    assert "227" in lines["Hernia"]
    assert "0.178 % to 0.231 %" in lines["Hernia"]
    assert "19,894" in lines["Infiltration"]
    assert "800 label combinations with a positive" in printed
    assert "task: multilabel" in printed
    assert "30,805 groups" in printed
    from equipoise.labels import Census

    census = Census.from_dict(json.loads((tmp_path / "census.json").read_text()))
    assert census.groups == 30_805


def test_json_is_all_that_is_printed(shared_data):
    path = shared_data("nih-chestxray14-labels") / "Data_Entry_2017_v2020.csv.gz"
    value = json.loads(equipoise("census", path, *NIH, "--json").stdout)
    assert value["positives"][value["classes"].index("Hernia")] == 227
    assert value["groups"] == 30_805
    assert len(value["combinations"]) == 801
    assert "group_sets" not in value


def test_counting_does_not_import_what_it_does_not_need(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("y,p\n1,a\n0,b\n")
    code = (
        "import sys; from equipoise.labels import count_file, read_labels, split_labels, check_split;"
        f"count_file({str(path)!r}, 'y', groups='p'); x = read_labels({str(path)!r}, 'y', groups='none');"
        "check_split(split_labels(x, (0.5, 0.5, 0)), x);"
        "print([m for m in ('torch', 'sklearn', 'scipy.stats', 'polars', 'pandas', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_memory_does_not_grow_with_the_file(tmp_path):
    peaks = []
    for rows in (200_000, 2_000_000):
        path = tmp_path / f"{rows}.csv"
        block = "".join(
            f"image{n:06d}.png,{'Mass|Edema' if n % 9 else 'No Finding'},{n % 5000}\n" for n in range(10_000)
        )
        with path.open("w") as file:
            file.write("image,finding,patient\n")
            for _ in range(rows // 10_000):
                file.write(block)
        code = (
            "import resource, sys; from equipoise.labels import count_file;"
            f"c = count_file({str(path)!r}, 'finding', separator='|', groups='patient'); assert c.rows == {rows};"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout) / 1024)
        path.unlink()
    assert peaks[1] < peaks[0] + 60  # MB; the longer file is 80 MB, and as arrays would take far more


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--labels", "Finding Label"], 'has no column "Finding Label". Did you mean "Finding Labels"?'),
        (["--labels", "Finding Labels"], 'Pass separator="|"'),
        ([], "must name the label columns"),
        (["--labels", "Finding Labels", "--task", "multi"], 'Did you mean "multi'),
    ],
)
def test_mistakes_are_one_plain_message(shared_data, arguments, message):
    path = shared_data("nih-chestxray14-labels") / "Data_Entry_2017_v2020.csv.gz"
    done = equipoise("census", path, *arguments, code=2)
    assert done.stderr.startswith("equipoise: ")
    assert message in done.stderr
    assert done.stdout == ""


def test_names_from_data_are_not_markup(tmp_path):
    path = Path(tmp_path) / "labels.csv"
    path.write_text("y\n[bold]A[/bold]\nB\nC\n")
    assert "[bold]A[/bold]" in equipoise("census", path, "--labels", "y").stdout
