from __future__ import annotations

import gzip
import subprocess
import sys
import threading
from pathlib import Path

import polars as pl
import pytest

from equipoise._checks import DataError
from equipoise.labels.columns import read_columns
from equipoise.labels.table import _CheckedBytes, hash_rows, open_table, read_table


def written(tmp_path: Path, content: bytes, name: str = "t.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        b"a,b\n007,x\n1.0,NA\n",
        b"a,b\r\n007,x\r\n1.0,NA\r\n",
        b"a,b\r007,x\r1.0,NA\r",
        b"\xef\xbb\xbfa,b\n007,x\n\n1.0,NA",
        b'"a","b"\n"007","x"\n"1.0","NA"\n',
    ],
    ids=["unix", "windows", "bare CR", "BOM and empty line", "quoted"],
)
def test_cells_stay_text_whatever_ends_the_lines(tmp_path, content):
    assert read_table(written(tmp_path, content)).to_dict(as_series=False) == {"a": ["007", "1.0"], "b": ["x", "NA"]}


def test_quoted_newlines_and_separators_are_part_of_the_cell(tmp_path):
    frame = read_table(written(tmp_path, b'a,b\n1,"x\ny, ""z"""\n2,w\n'))
    assert frame["b"].to_list() == ['x\ny, "z"', "w"]


@pytest.mark.parametrize(("name", "mark"), [("t.tsv", "\t"), ("t.csv", ";"), ("t.txt", "\t")])
def test_other_delimiters(tmp_path, name, mark):
    path = written(tmp_path, f"a{mark}b\n1{mark}2,5\n".encode(), name)
    assert read_table(path).row(0) == ("1", "2,5")


def test_semicolons_are_said_and_do_not_win_over_commas(tmp_path):
    assert "semicolons" in open_table(written(tmp_path, b"a;b\n1;2\n")).notes[0]
    assert open_table(written(tmp_path, b"id,labels (a;b;c)\n1,2\n")).columns == ("id", "labels (a;b;c)")


def test_gzip_of_several_members(tmp_path):
    path = written(tmp_path, gzip.compress(b"a,b\n1,2\n") + gzip.compress(b"3,4\n"), "t.csv.gz")
    assert read_table(path)["a"].to_list() == ["1", "3"]


def test_parquet_gives_the_same_text(tmp_path):
    path = tmp_path / "t.parquet"
    pl.DataFrame({"i": [1, None], "f": [1.0, 0.5], "s": ["007", ""], "b": [True, False]}).write_parquet(path)
    assert read_table(path).rows() == [("1", "1", "007", "true"), ("", "0.5", "", "false")]


def test_columns_are_chosen_and_ordered(tmp_path):
    assert read_table(written(tmp_path, b"a,b,c\n1,2,3\n"), ["c", "a"]).row(0) == ("3", "1")


MANY = b"1,2\n" * 200_000
FAULTS = {
    "empty": (b"", "is empty. A table needs a header"),
    "empty lines": (b"\n\n\n", "holds only empty lines"),
    "no rows": (b"a,b\n", "has a header but no rows"),
    "too many cells": (b"a,b\n1,2\n1,2,3\n", r"t.csv row 2 \(line 3\) has 3 cells where the header has 2. Put quotes"),
    "too few cells": (b"a,b\n1,2\n\n1\n", r"row 2 \(line 4\) has 1 cells where the header has 2"),
    "far too many cells": (b"a,b\n" + MANY + b"1,2,3\n", r"row 200001 \(line 200002\) has 3 cells"),
    "open quote": (b'a,b\n1,2\n1,"x\n2,3\n', r"row 2 \(line 3\).*quote.*never closed"),
    "long open quote": (b'a,b\n1,"x\n' + MANY * 2, r"row 1 \(line 2\).*quote.*never closed"),
    "open quote in another column": (b'a,b\n"x,2\n' + MANY, r"row 1 \(line 2\).*quote"),
    "latin-1": (b"a,b\n1,2\n1,caf\xe9\n", r"line 3 is not UTF-8 text \(byte 0xe9\). Save the file as UTF-8"),
    "latin-1 far down": (b"a,b\n" + MANY * 3 + b"1,caf\xe9\n", "line 600002 is not UTF-8"),
    "latin-1 with bare CR": (b"a,b\r1,2\r1,caf\xe9\r", "line 3 is not UTF-8"),
    "cut in a character": (b"a,b\n1,caf\xc3", "line 2 is not UTF-8"),
    "latin-1 header": (b"a,\xe9\n1,2\n", "line 1 is not UTF-8"),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "is UTF-16 text"),
    "binary": (b"\x89PNG\r\n\x1a\n\0\0\0", "not UTF-8|zero byte"),
    "zero bytes": (b"a,b\n1,\0\n", "line 2 holds a zero byte"),
    "zip": (b"PK\x03\x04aaaa", "zip archive or a spreadsheet"),
    "double column": (b"a,b,a\n1,2,3\n", r't.csv: the header has "a" 2 times \(columns 1, 3\)'),
    "not Parquet": (b"PAR1aaaaaaaaaaaa", "is not a whole Parquet file"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_file_is_named_with_place_and_remedy(tmp_path, fault):
    content, message = FAULTS[fault]
    with pytest.raises(DataError, match=message):
        read_table(written(tmp_path, content))


def test_damaged_compression(tmp_path):
    whole = gzip.compress(b"a,b\n" + b"".join(b"%d,2\n" % (i * 7919 % 10007) for i in range(50_000)))
    with pytest.raises(DataError, match=r"t.csv.gz is truncated.*Copy or export it again"):
        read_table(written(tmp_path, whole[:-100], "t.csv.gz"))
    broken = bytearray(whole)
    broken[len(broken) // 2] ^= 0x10
    with pytest.raises(DataError, match=r"t.csv.gz is damaged"):
        read_table(written(tmp_path, bytes(broken), "t.csv.gz"))
    with pytest.raises(DataError, match=r"named .gz but is not compressed"):
        read_table(written(tmp_path, b"a,b\n1,2\n", "t.csv.gz"))


def test_what_is_not_a_file(tmp_path):
    with pytest.raises(DataError, match=r"is a directory. Give the table inside it"):
        read_table(tmp_path)
    written(tmp_path, b"a,b\n1,2\n", "labels.csv")
    with pytest.raises(DataError, match=r'does not exist.*Did you mean "labels.csv"'):
        read_table(tmp_path / "label.csv")


def test_a_missing_column_names_the_nearest(tmp_path):
    with pytest.raises(DataError, match=r't.csv has no column "Patient Id". Did you mean "Patient ID"'):
        read_table(written(tmp_path, b"Patient ID,b\n1,2\n"), ["Patient Id"])


def test_nested_parquet_is_refused(tmp_path):
    path = tmp_path / "t.parquet"
    pl.DataFrame({"a": [[1, 2], [3]]}).write_parquet(path)
    with pytest.raises(DataError, match=r'column "a" holds .*list.*not plain values'):
        read_table(path)


def test_truncated_parquet(tmp_path):
    path = tmp_path / "t.parquet"
    pl.DataFrame({"a": list(range(10_000))}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="is not a whole Parquet file"):
        read_table(path)


def test_hashes_of_rows_see_the_place_of_a_cell(tmp_path):
    hashes = hash_rows(written(tmp_path, b"id,a,b\n1,x,y\n2,y,x\n3,x,y\n"), ["id"])
    assert hashes is not None
    assert hashes[0] == hashes[2] != hashes[1]


def test_nih_header_with_stray_commas(shared_data):
    path = shared_data("nih-chestxray14-labels") / "Data_Entry_2017_v2020.csv.gz"
    columns = open_table(path).columns
    assert columns[7:] == ("OriginalImage[Width", "Height]", "OriginalImagePixelSpacing[x", "y]")
    assert len(read_table(path, ["Patient ID"])) == 112_120


def test_reading_runs_python_in_no_thread_but_its_own(tmp_path, monkeypatch):
    """A thread of the parser that calls Python while the program ends aborts it: at random, after any error."""
    called = []

    def watched(stream, size=-1):
        called.append(threading.get_ident())
        return plain(stream, size)

    plain = _CheckedBytes.read
    monkeypatch.setattr(_CheckedBytes, "read", watched)
    path = tmp_path / "t.csv"
    path.write_text("id,x,word\n" + "a,1,b\n" * 1000)
    source = open_table(path)
    read_columns(source, ["x"], ["word"], names=["id"])
    list(source.batches(["word"], ["id"]))
    assert called
    assert set(called) == {threading.get_ident()}


def test_an_error_right_after_reading_never_aborts(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,x,word\n" + "a,1,b\n" * 3000)
    ending = (
        "import sys; from equipoise.labels.columns import read_columns; from equipoise.labels.table import open_table; "
        f"source = open_table({str(path)!r}); read_columns(source, ['x'], ['word'], names=['id']); "
        "next(iter(source.batches(['word']))); raise SystemExit(2)"
    )
    for _ in range(4):  # six at once, so that they disturb each other
        running = [subprocess.Popen([sys.executable, "-c", ending]) for _ in range(6)]
        assert [one.wait() for one in running] == [2] * 6
