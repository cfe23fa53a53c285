"""The documents name what there is: files, keys, settings, and the tests that try a fault."""

import re
from pathlib import Path

import pytest

from sslcore.config import GROUPS, OPTIONS
from sslcore.experiment import Run, Spec
from sslcore.launch.slurm.client import Job
from sslcore.launch.slurm.heard import Heard
from sslcore.results import Cost, Results
from sslcore.status import Status

ROOT = Path(__file__).parents[1]
BENCHMARKS = sorted(str(file.relative_to(ROOT)) for file in (ROOT / "benchmarks").glob("*.md"))
DOCUMENTS = ("README.md", "experiments/README.md", "docs/faults.md", *BENCHMARKS)


def text(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def anchors(document: str) -> set[str]:
    """What a document's headings are linked by."""
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", document, re.M)}


def test_every_file_and_key_of_the_folder_is_documented():
    files = {value.fget(Run(Path())).name for name, value in vars(Run).items() if name.endswith("_file")}
    keys = {name for model in (Spec, Status, Results, Cost, Job, Heard) for name in model.__annotations__}
    documented = set(re.findall(r"[.\w]*\w", text("experiments/README.md")))
    known = documented | {part for name in documented for part in name.split(".")}
    assert len(files) > 15 and len(keys) > 50
    assert (files | keys) - known == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere_and_every_setting_exists(document):
    for link, heading in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", text(document)):
        file = (ROOT / document).parent / link if link else ROOT / document
        assert file.exists() and (not heading or heading in anchors(file.read_text(encoding="utf-8"))), (link, heading)
    named = re.findall(rf"`((?:{'|'.join(GROUPS)})\.\w+)", text(document))
    assert [name for name in named if name not in OPTIONS] == []


def test_every_fault_names_tests_that_exist():
    """As `file, file: part of a name, part of a name`; several of them with semicolons between."""
    named, tests = [], list((ROOT / "tests").rglob("test_*.py"))
    for row in re.findall(r"^\|.*\| ([^|]+) \|$", text("docs/faults.md"), re.M)[1:]:
        for files, parts in re.findall(r"((?:[a-z]+/)?test_[\w/, ]+): ([\w, .]+)", row):
            ends = tuple(f"/{name}.py" for name in files.split(", "))
            code = "".join(file.read_text(encoding="utf-8") for file in tests if str(file).endswith(ends))
            named += [(files, part, code) for part in parts.split(", ")]
    assert len(named) > 50
    assert [(files, part) for files, part, code in named if not re.search(rf"def test_\w*{part.strip('_. ')}", code)] == []
