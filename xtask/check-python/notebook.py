"""Runs a notebook from top to bottom and fails where a cell fails or a picture is missing."""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

path = Path(sys.argv[1])
notebook = nbformat.read(path, as_version=4)
nbformat.validate(notebook)
for cell in notebook.cells:
    if cell.cell_type == "code" and (cell.outputs or cell.execution_count):
        sys.exit(f"{path}: commit it without outputs (cell {cell.id})")
NotebookClient(
    notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": path.parent}}
).execute()
pictures = [
    output
    for cell in notebook.cells
    if cell.cell_type == "code"
    for output in cell.outputs
    if "image/png" in output.get("data", {})
]
wanted = sum("plt.show()" in cell.source for cell in notebook.cells)
if len(pictures) != wanted:
    sys.exit(f"{path}: {len(pictures)} pictures of {wanted}")
if len(sys.argv) > 2:
    import base64

    for number, picture in enumerate(pictures):
        data = base64.b64decode(picture["data"]["image/png"])
        Path(sys.argv[2], f"{path.stem}-{number}.png").write_bytes(data)
print(f"{path}: {len(notebook.cells)} cells, {len(pictures)} pictures")
