"""The README's Python runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def test_the_snippets_run(exchange, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COINALYZE_API_KEY", "offline")
    snippets = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(snippets) == 3
    names = {"BASE_URL": exchange.url, "FOLDER": str(tmp_path)}
    for snippet in snippets:
        exec(snippet, names)
    assert capsys.readouterr().out.startswith("success ")
