"""The notebook: what is committed is its source, and it runs from top to bottom."""

from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SOURCE, NOTEBOOK = NOTEBOOKS / "segnet_pets.py", NOTEBOOKS / "segnet_pets.ipynb"

# Drawing 720 pets takes ten seconds, and a network of 15 million parameters half a minute to see them.
FEW_STEPS = """
from segnet.data.synthetic import load_synthetic

load_synthetic.__kwdefaults__.update(train=40, val=24)
SETTINGS = {"epochs": 1, "size": 32, "batch_size": 20}
"""


def cells(notebook):
    return [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in notebook.cells]


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_the_notebook_is_its_source(notebook):
    assert cells(notebook) == cells(jupytext.read(SOURCE)), "make it anew: make notebook"


def test_the_notebook_is_committed_without_outputs(notebook):
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


@pytest.fixture
def executed(notebook, tmp_path):
    """The notebook after a run with the settings of few steps and of few pets set behind its own."""
    places = [i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", [])]
    assert len(places) == 1
    notebook.cells.insert(places[0] + 1, nbformat.v4.new_code_cell(FEW_STEPS))
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=where).execute()
    return notebook


@pytest.mark.campaign
def test_the_notebook_runs_from_top_to_bottom_and_shows_what_it_says(executed, tmp_path):
    (run,) = (tmp_path / "runs").iterdir()
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "15,274,892 parameters" in printed
    assert "epoch 1/1" in printed
    assert "━━━" not in printed, "a bar that moves on a terminal would be printed again and again"
    assert "best epoch 1, on 24 images, the val split of synthetic" in printed
    shown = [output.data for output in outputs if output.output_type == "display_data"]
    assert sum("image/png" in data for data in shown) >= 6
    assert any("data:image/gif" in data.get("text/html", "") for data in shown)
    assert (run / "learning.gif").exists()
    assert "stderr" not in {output.get("name") for output in outputs}
