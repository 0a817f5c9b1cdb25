"""The programs that the README shows, run as they stand there (but for address and prefix)."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from harness import Mill

README = Path(__file__).parents[2] / "README.md"


def _snippet(name: str, mill: Mill) -> str:
    match = re.search(rf"<!-- snippet: {name} -->\n```python\n(.*?)```", README.read_text("utf-8"), re.S)
    assert match is not None
    code = match.group(1).replace("127.0.0.1:9092", mill.settings.bootstrap_servers)
    return code.replace('"news.', f'"{mill.settings.topic_prefix}news.')


def _run(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.timeout(120)
def test_send_and_consume(mill: Mill) -> None:
    """The article of the first snippet comes out of the second one, with its theme."""
    mill.newsmill("worker", "--metrics-port", "0")
    _run(_snippet("send", mill))
    mill.wait_processed("enrich", 1, 60)
    printed = _run(_snippet("consume", mill))
    assert "Harbour robots load their first ship" in printed
    assert "industrial-ai" in printed
