"""The walls of the house: the screen never imports torch, the science never imports the screen."""

import ast
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import dashboard
import sslcore
from sslcore.notation import Plain

LIGHT = (
    "config",
    "plan",
    "datasets",
    "experiment",
    "archive",
    "vetting",
    "analysis",
    "launch",
    "progress",
    "worker",
    "ranks",
    "methods",
    "__main__",
)


def modules(package) -> list[str]:
    """Dotted names of all modules of a package that can be imported; pages are scripts, and so is the frame around them."""
    found = [module.name for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    return [package.__name__, *(name for name in found if name != "dashboard.main" and ".views" not in name)]


def imports_of(script: Path) -> list[str]:
    """What a script imports, at any depth of its code."""
    names = []
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
    return names


def loaded(imports: list[str], forbidden: tuple[str, ...]) -> str:
    """Those of `forbidden` that a fresh Python has loaded after the imports."""
    code = (
        f"import sys, importlib\nfor name in {imports!r}: importlib.import_module(name)\nprint(*[name for name in {forbidden!r} "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_dashboard_leaves_torch_alone():
    folder = Path(dashboard.__file__).parent
    pages = [name for script in [folder / "main.py", *sorted((folder / "views").glob("*.py"))] for name in imports_of(script)]
    assert len(pages) > 10
    assert loaded([*modules(dashboard), "streamlit_app", *pages], ("torch", "torchvision")) == ""


def test_science_knows_nothing_of_the_screen():
    assert loaded(modules(sslcore), ("streamlit", "plotly", "dashboard")) == ""


def test_what_the_screen_uses_is_free_of_torch():
    assert loaded([f"sslcore.{name}" for name in LIGHT], ("torch", "torchvision")) == ""


def test_training_starts_without_what_only_the_evaluation_needs():
    assert loaded(["sslcore.stages"], ("sklearn", "scipy.stats", "pandas", "umap", "matplotlib")) == ""


def test_the_check_itself_can_fail():
    assert loaded(["dashboard.plot"], ("torch", "streamlit")) == "streamlit"


# -- Nothing is unpickled ------------------------------------------------------------------

ROOT = Path(sslcore.__file__).parents[1]
PICKLES = ("pickle", "cPickle", "_pickle", "joblib", "shelve", "dill", "cloudpickle", "marshal")
CODE = ("eval", "exec", "compile", "__import__")
READERS = ("read_pickle", "to_pickle", "unsafe_load", "unsafe_load_all", "full_load", "full_load_all")


def sources(*folders: str) -> dict[str, str]:
    """Every Python file of the root and of these folders, by its path."""
    files = [*ROOT.glob("*.py"), *(file for folder in folders for file in sorted((ROOT / folder).rglob("*.py")))]
    return {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in files}


def unsafe(code: str) -> list[str]:
    """What in a piece of Python could run what a file says, as "line: code"."""
    found = []
    for node in ast.walk(ast.parse(code)):
        bad = False
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
            )
            bad = any(
                name.partition(".")[0] in PICKLES
                or (name.rpartition(".")[2] in (*READERS, "load") and name.partition(".")[0] in ("torch", "numpy", "yaml"))
                for name in names
            )
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            owner, _, name = called.rpartition(".")
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            bad = (called in CODE or name in READERS) or owner.split(".")[-1] in PICKLES
            bad |= called == "torch.load" and given.get("weights_only") != "True"
            bad |= called in ("np.load", "numpy.load", "np.fromfile") and (given.get("allow_pickle") != "False")
            bad |= (
                called in ("np.lib.format.open_memmap", "np.lib.format.read_array")
                and given.get("allow_pickle", "False") != "False"
            )
            # BaseLoader makes text alone, and Plain is a SafeLoader.
            safe = {"yaml.BaseLoader", "Plain"} & set(map(ast.unparse, node.args))
            bad |= owner == "yaml" and name in ("load", "load_all") and not safe
            bad |= (
                name == "import_module" and owner == "importlib" and not isinstance(node.args[0], (ast.Constant, ast.JoinedStr))
            )
        if bad:
            found.append(f"{node.lineno}: {ast.unparse(node)[:100]}")
    return found


def test_nothing_that_came_from_elsewhere_is_unpickled_or_run():
    files = sources("sslcore", "dashboard", "benchmarks")
    assert len(files) > 60
    assert {name: found for name, code in files.items() if (found := unsafe(code))} == {}
    assert issubclass(Plain, yaml.SafeLoader)


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib",
        "import shelve, os",
        "from dill import load",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "torch.load(f, weights_only=flag)",
        "np.load(f)",
        "np.load(f, allow_pickle=True)",
        "np.load(f, mmap_mode='r')",
        "pd.read_pickle(f)",
        "yaml.load(f)",
        "yaml.load(f, Loader=yaml.Loader)",
        "yaml.unsafe_load(f)",
        "eval(text)",
        "exec(text)",
        "from numpy import load",
        "from torch import load",
        "sklearn.externals.joblib.load(f)",
        "__import__(name)",
    ],
)
def test_that_check_can_fail(code):
    assert unsafe(code)


def test_that_check_lets_pass_what_is_safe():
    assert not unsafe(
        "import pickletools\ntorch.load(f, weights_only=True)\nnp.load(f, allow_pickle=False)\nyaml.safe_load(f)\nyaml.load(f, "
        "yaml.BaseLoader)\nmodel.eval()\nre.compile('x')\njson.load(f)"
    )


# -- The same files in every locale --------------------------------------------------------


def unencoded(code: str) -> list[str]:
    """Calls that read or write text in the locale's encoding, as "line: code"."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Call) or "encoding" in [keyword.arg for keyword in node.keywords]:
            continue
        owner, _, name = ast.unparse(node.func).rpartition(".")
        path = owner not in ("", "os", "Image", "archive", "arrays")  # these open other things than text
        mode = [ast.unparse(keyword.value) for keyword in node.keywords if keyword.arg == "mode"] or list(
            map(ast.unparse, node.args[not path :])
        )
        text = name == "open" and (path or not owner) and "b" not in "".join(mode[:1])
        if text or name in ("read_text", "write_text"):
            found.append(f"{node.lineno}: {ast.unparse(node)[:100]}")
    return found


def test_text_is_read_and_written_as_utf_8_whatever_the_locale():
    assert {name: found for name, code in sources("sslcore", "dashboard").items() if (found := unencoded(code))} == {}


@pytest.mark.parametrize(
    "code",
    [
        "open(name)",
        "open(name, 'a')",
        "path.open()",
        "path.open('w')",
        "(a / b).open(mode='r')",
        "path.read_text(errors='replace')",
        "path.write_text(x)",
    ],
)
def test_that_check_of_encodings_can_fail(code):
    assert unencoded(code)


def test_that_check_of_encodings_lets_pass_what_names_one_or_is_no_text():
    assert not unencoded(
        "open(n, encoding='utf-8')\nopen(n, 'rb')\npath.open('wb')\npath.open(mode='xb')\nos.open(n, os.O_RDONLY)\n"
        "Image.open(n)\np.write_text(x, encoding='utf-8')"
    )
