from __future__ import annotations

import numpy as np
import pytest

from equipoise._checks import ArgumentError, DataError
from equipoise.labels import Labels, Split, check_split, read_labels, split_labels, write_split


def made(rows: int = 300, grouped: bool = True) -> Labels:
    rng = np.random.default_rng(0)
    values = (rng.random((rows, 2)) < [0.1, 0.4]).astype(np.float32)
    groups = np.arange(rows) // 3 if grouped else None
    return Labels("multilabel", ("rare", "common"), values, np.arange(rows), groups, source="labels.csv")


def test_a_sound_split_has_no_findings(tmp_path):
    labels = made()
    for split in (split_labels(labels), split_labels(labels, folds=4)):
        write_split(split, tmp_path / "split.csv")
        for subject in (split, tmp_path / "split.csv"):
            found = check_split(subject, labels)
            assert found.ok
            assert found.findings == ()
            assert "nothing wrong was found" in str(found)


def test_a_planted_leak_of_groups():
    labels = made()
    split = split_labels(labels)
    roles = split.roles.copy()
    row = int(split.rows("train")[0])
    roles[row] = "test"
    found = check_split(Split(split.ids, roles), labels)
    assert not found.ok
    (finding,) = found.of("overlapping_groups")
    assert finding.count == 1
    assert f'1 group is in more than one part (3 rows): "{row // 3}" in train and test' in finding.message


def test_a_group_in_three_parts_counts_once(tmp_path):
    path = tmp_path / "folds.csv"
    path.write_text("id,fold\n0,2\n1,0\n2,1\n3,0\n4,0\n5,1\n6,0\n")
    labels = Labels(
        "binary", ("y",), np.array([1, 0, 1, 0, 1, 1, 0], np.float32), np.arange(7), np.array(list("aaabbbc"))
    )
    contents = np.array(["same", "same", "same", "x", "y", "z", "v"])
    found = check_split(path, labels, contents=contents)
    (finding,) = found.of("overlapping_groups")
    assert finding.count == 2
    assert finding.message.startswith(
        '2 groups are in more than one part (6 rows): "a" in fold 0, fold 1 and fold 2; "b" in fold 0 and fold 1. '
    )
    assert found.of("identical_rows")[0].count == 1


def test_a_planted_id_in_two_roles(tmp_path):
    path = tmp_path / "split.csv"
    path.write_text("id,role\n0,train\n1,test\n0,test\n2,train\n2,train\n99,train\n")
    labels = Labels("binary", ("y",), np.array([1, 1, 0, 0], np.float32), np.arange(4))
    found = check_split(path, labels)
    assert [f.kind for f in found.findings] == ["overlapping_ids", "repeated_rows", "rows_absent", "unknown_ids"]
    assert '1 id is in more than one part: "0" in train and test' in found.findings[0].message
    assert '1 row of labels is in no part, such as id "3"' in found.of("rows_absent")[0].message
    assert '1 id of split.csv is not in labels: "99"' in found.of("unknown_ids")[0].message
    assert not found.ok


def test_label_shift_is_found_with_its_size():
    rng = np.random.default_rng(1)
    roles = np.repeat(np.array(["train", "test"], dtype=object), 1000)
    values = np.stack([rng.random(2000) < np.repeat([0.1, 0.3], 1000), rng.random(2000) < 0.5], axis=1)
    labels = Labels("multilabel", ("moved", "same"), values.astype(np.float32), np.arange(2000))
    found = check_split(Split(labels.ids, roles), labels)
    (finding,) = found.of("label_shift")
    assert found.ok
    assert finding.label == "moved"
    assert finding.p_value < 1e-6
    assert 0.2 < finding.effect < 0.3
    assert "train 9.200% of 1,000, test 28.600% of 1,000" in finding.message
    assert "chi-square" in finding.message


def test_a_class_missing_from_a_part():
    labels = Labels("binary", ("y",), np.array([1, 1, 0, 0, 0, 0], np.float32), np.arange(6))
    roles = np.array(["train", "train", "train", "test", "test", "test"], dtype=object)
    (finding,) = check_split(Split(labels.ids, roles), labels).of("class_missing")
    assert finding.severity == "warning"
    assert '"y" has no positive in test (2 elsewhere)' in finding.message
    swapped = np.where(roles == "train", "test", "train").astype(object)
    assert not check_split(Split(labels.ids, swapped), labels).ok


def test_copies_under_other_ids():
    labels = made(30, grouped=False)
    split = split_labels(labels)
    contents = np.arange(30)
    a, b = int(split.rows("train")[0]), int(split.rows("test")[0])
    contents[b] = contents[a]
    (finding,) = check_split(split, labels, contents=contents).of("identical_rows")
    assert finding.count == 1
    assert f'"{min(a, b)}", "{max(a, b)}"' in finding.message
    with pytest.raises(ArgumentError, match="one entry per row"):
        check_split(split, labels, contents=contents[:3])


def test_groups_that_nobody_declared(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("y\n" + "1\n0\n" * 20)
    labels = read_labels(path, "y")
    split = split_labels(read_labels(path, "y", groups="none"))
    assert [f.kind for f in check_split(split, labels).findings] == ["groups_unsaid"]


def test_columns_of_a_file_made_elsewhere(tmp_path):
    path = tmp_path / "theirs.csv"
    labels = made(60)
    split = split_labels(labels)
    rows = "".join(f"{i},{r}\n" for i, r in zip(split.ids, split.roles, strict=True))
    path.write_text("image,which\n" + rows)
    assert check_split(path, labels, ids="image", roles="which").ok
    with pytest.raises(DataError, match="no column of roles"):
        check_split(path, labels, ids="image")


def test_nothing_in_common_is_an_error():
    labels = made(10)
    with pytest.raises(DataError, match="have no id in common"):
        check_split(Split(np.arange(10) + 100, np.array(["train"] * 10, dtype=object)), labels)


def test_a_real_data_set_with_its_own_split(shared_data):
    path = shared_data("idrid-dr-grading") / "labels.csv"
    labels = read_labels(path, "dr_grade", ids="image", groups="none")
    found = check_split(path, labels, ids="image")
    assert found.parts == ("train", "test")
    assert found.rows == 516
    assert found.ok


def test_a_good_grouped_split_of_real_data_is_not_called_shifted(shared_data):
    path = shared_data("nih-cxr14-small") / "labels.csv"
    labels = read_labels(path, ["Effusion", "Infiltration", "Mass", "Nodule"], ids="image", groups="patient_id")
    assert not check_split(split_labels(labels), labels).of("label_shift")
