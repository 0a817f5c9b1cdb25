"""Fixtures of the monitoring tier. It needs Prometheus with promtool (Debian, Ubuntu: apt install prometheus).

Where they are absent these tests are skipped and say so; in continuous integration (CI=true) absence is a failure.
"""

from __future__ import annotations

import os
import shutil

import pytest


@pytest.fixture(scope="session", autouse=True)
def tools() -> None:
    """prometheus and promtool, or no test of this tier."""
    missing = [name for name in ("prometheus", "promtool") if shutil.which(name) is None]
    if not missing:
        return
    told = f"{' and '.join(missing)} not found: apt install prometheus"
    if os.environ.get("CI") == "true":
        pytest.fail(told)
    pytest.skip(told)
