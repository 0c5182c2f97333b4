"""Lints the conda recipe: it parses, its version is the workspace's, and it has what conda-forge's
linter asks for (https://conda-forge.org/docs/maintainer/adding_pkgs/): sections in their order, a
build number, tests, a licence with its files, a home, a summary, maintainers."""

import sys
import tomllib
from pathlib import Path

from souschef.recipe import Recipe

path, workspace = map(Path, sys.argv[1:])
recipe = Recipe(load_file=path)
package = tomllib.loads(workspace.read_text())["workspace"]["package"]
faults = []


def check(holds: object, fault: str) -> None:
    if not holds:
        faults.append(fault)


text = path.read_text()
order = ["package", "source", "build", "requirements", "test", "about", "extra"]
found = [line[:-1] for line in text.splitlines() if line and line[0].isalpha() and line[-1] == ":"]
check(found == order, f"sections {found}, expected {order}")
check(f'{{% set version = "{package["version"]}" %}}' in text, "version is not the workspace's")
check("\n  number: " in text, "build/number is missing")
check("git_rev: v{{ version }}" in text, "source/git_rev is not the tag of the version")
for place in ("build", "host", "run"):
    check(place in recipe["requirements"], f"requirements/{place} is missing")
check(recipe["test"]["imports"] and recipe["test"]["commands"], "test is incomplete")
for field in ("home", "license", "license_file", "summary", "dev_url", "doc_url"):
    check(field in recipe["about"], f"about/{field} is missing")
check(str(recipe["about"]["license"].value) == package["license"], "about/license differs")
check(recipe["extra"]["recipe-maintainers"], "extra/recipe-maintainers is missing")
for licence in ("LICENSE-MIT", "LICENSE-APACHE"):
    check(licence in text and (workspace.parent / licence).exists(), f"{licence} is missing")
check(text.endswith("\n") and not text.endswith("\n\n"), "there must be one line end at the end")
check(not any(line != line.rstrip() for line in text.splitlines()), "blanks at the end of a line")
if faults:
    sys.exit("\n".join(f"{path}: {fault}" for fault in faults))
print(f"{path}: version {package['version']}, no faults")
