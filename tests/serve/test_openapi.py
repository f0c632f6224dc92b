"""The server does what its OpenAPI schema says; schemathesis makes up requests by the schema."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
COMMAND = shutil.which("schemathesis", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.skipif(COMMAND is None, reason="schemathesis isn't installed")
def test_schemathesis_finds_no_answer_that_the_schema_lacks(client, tmp_path):
    address = f"{client.base_url}/openapi.json".replace("//openapi", "/openapi")
    limits = ["--max-examples", "30", "--phases", "coverage,fuzzing", "--seed", "1"]
    done = subprocess.run(
        [COMMAND, "run", address, "--checks", CHECKS, *limits],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout
