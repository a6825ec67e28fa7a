"""The README against the code: settings, routes, commands, packs, benchmarks; `python -m tests.test_docs` rewrites."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.main import get_command

from pipelines.faces.catalogue import PACKS
from pipelines.settings import DEFAULT_DATA_DIR, Settings
from serve_app.cli import build_cli
from tests.bench.__main__ import names

REPOSITORY = Path(__file__).parents[1]
README = REPOSITORY / "README.md"
START, END = "<!-- settings -->\n", "<!-- /settings -->"


def settings_table() -> str:
    """Returns every setting with default and meaning as a Markdown table."""
    rows = ["| setting | default | what |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        value = field.default
        shown = "" if value in (None, ()) else f"`{DEFAULT_DATA_DIR if name == 'data_dir' else value}`"
        rows.append(f"| `{name}` | {shown} | {field.description} |")
    return "\n".join(rows) + "\n"


def test_the_settings_table_is_up_to_date():
    text = README.read_text()
    assert text[text.index(START) + len(START) : text.index(END)] == settings_table(), "run python -m tests.test_docs"


def test_every_route_is_in_the_readme():
    routes = json.loads((REPOSITORY / "serve_app" / "openapi.json").read_text())["paths"]
    text = README.read_text()
    assert {r for r in routes if r not in text} == set()


def test_every_command_is_in_the_readme():
    text = README.read_text()
    for name in get_command(build_cli()).commands:
        assert re.search(rf"stash-sense {name}\b", text), name


def test_every_pack_is_in_the_readme():
    text = README.read_text()
    assert all(f"`{pack_id}`" in text for pack_id in PACKS)


@pytest.mark.parametrize("name", names())
def test_every_benchmark_is_in_the_readme(name: str):
    assert f"NAME={name}" in README.read_text()


def test_nothing_is_left_to_fill_in():
    assert not re.search(r"\bTODO|<!-- picture", README.read_text())


def rewrite() -> None:
    text = README.read_text()
    README.write_text(text[: text.index(START) + len(START)] + settings_table() + text[text.index(END) :])


if __name__ == "__main__":
    rewrite()
