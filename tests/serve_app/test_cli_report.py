"""The HTML report: what it shows, and that hostile names stay text."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from serve_app.cli.report import ReportEntry, ReportPerson, render_report, write_report


def entry(name: str, *people: ReportPerson, error: dict[str, str] | None = None) -> ReportEntry:
    return ReportEntry(name, 10.0, 1234.0, list(people), [], error)


def test_shows_people_with_time_ranges_on_the_duration():
    person = ReportPerson("Ada", 0.93, 12, ((1.0, 3.0), (5.0, 7.5)), "QUJD")
    page = render_report([entry("a.mp4", person)], enrolled=3, elapsed_s=2.0, pack="open")
    assert "Ada" in page
    assert "93 % sure, 12 faces" in page
    assert "left:10.00%;width:20.00%" in page
    assert "left:50.00%;width:25.00%" in page
    assert "data:image/jpeg;base64,QUJD" in page


def test_names_are_escaped():
    person = ReportPerson("<script>alert(1)</script>", 0.9, 1, (), "")
    page = render_report([entry('"><img src=x>.mp4', person)], enrolled=1, elapsed_s=1.0, pack="open")
    assert "<script>" not in page
    assert "<img src=x>" not in page


def test_nobody_and_errors_are_said():
    failed = entry(
        "b.mp4", error={"error": "media_corrupt", "message": "Cannot decode b.mp4.", "hint": "Copy it again."}
    )
    page = render_report([entry("a.mp4"), failed], enrolled=1, elapsed_s=1.0, pack="open")
    assert "Nobody found." in page
    assert "Cannot decode b.mp4. Copy it again." in page


def test_is_well_formed_and_loads_nothing_from_elsewhere():
    page = render_report(
        [entry("a.mp4", ReportPerson("", 0.0, 2, ((0.0, 1.0),), "QUJD"))], enrolled=1, elapsed_s=1.0, pack="open"
    )
    body = page[page.index("<body>") : page.index("</body>") + len("</body>")]
    tree = ET.fromstring(body.replace('alt="unknown person">', 'alt="unknown person"/>'))  # noqa: S314 - own output
    assert all(image.get("src", "").startswith("data:") for image in tree.iter("img"))
    assert "http" not in page


def test_write_report_replaces_the_old_one(tmp_path: Path):
    target = tmp_path / "report.html"
    target.write_text("old")
    write_report(target, "new é")
    assert target.read_text(encoding="utf-8") == "new é"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
