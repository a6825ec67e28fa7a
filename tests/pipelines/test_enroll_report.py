"""Reports of enrolments: counts, few examples, a page that shows them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from pipelines.enroll.report import CROP_PX, ENROLLED, GateReport


def test_counts_examples_and_a_page(tmp_path: Path):
    report = GateReport(examples=2)
    red = np.zeros((400, 200, 3), np.uint8)
    red[..., 0] = 250
    for number in range(3):
        report.add("small_face", f"{number} px <b>", red)
    report.add(ENROLLED, count=5)
    report.add("no_face")
    assert report.counts == {"enrolled": 5, "small_face": 3, "no_face": 1}
    assert not report.wants("small_face")
    assert report.wants("no_face")
    folder = tmp_path / "reports" / "box"
    for _ in range(2):  # the second one replaces the first
        page = report.write(folder, title="Box", facts={"performers": 4})
    assert sorted(p.name for p in folder.iterdir()) == [
        "index.html", "report.json", "small_face-0.jpg", "small_face-1.jpg",
    ]  # fmt: skip
    shown = cv2.imread(str(folder / "small_face-0.jpg"))
    assert shown.shape == (CROP_PX, CROP_PX // 2, 3)
    assert (shown[80, 40] > 200).tolist() == [False, False, True]
    text = page.read_text()
    assert "0 px &lt;b&gt;" in text
    assert "the face is too small" in text
    said = json.loads((folder / "report.json").read_text())
    assert said["facts"] == {"performers": 4}
    assert [(r["reason"], r["count"], len(r["examples"])) for r in said["rows"]] == [
        ("enrolled", 5, 0), ("small_face", 3, 2), ("no_face", 1, 0),
    ]  # fmt: skip
    assert [p.name for p in folder.parent.iterdir()] == ["box"]
