"""The load test stands on its own: in a container there is this folder and the locust package, and nothing else of ours."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_the_folder_works_where_nothing_else_of_the_project_is(tmp_path: Path) -> None:
    """Mounted alone, its modules find each other, and every scenario is there."""
    shutil.copytree(REPOSITORY / "locust", tmp_path / "mounted", ignore=shutil.ignore_patterns("__pycache__"))
    listed = subprocess.run(
        [sys.executable, "-P", "-m", "locust", "-f", str(tmp_path / "mounted" / "locustfile.py"), "--list"],
        cwd=tmp_path,
        env={"PATH": os.environ.get("PATH", os.defpath)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    scenarios = {"Browser", "Dropper", "Impatient", "Latecomer", "Refresher", "Rusher"}
    assert scenarios <= set(listed.stdout.split())
