"""How a report looks, and what may run in it: the app's own colours and chart code, and a policy that lets in nothing else."""

import base64
import hashlib
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from plotly.offline import get_plotlyjs

HERE = Path(__file__).parent
DASHBOARD = HERE.parent
THEME = DASHBOARD.parent / ".streamlit" / "config.toml"


@cache
def css() -> str:
    """The app's colours, the charts' styles and the report's own."""
    return "\n".join([_colours(), *(file.read_text(encoding="utf-8") for file in (DASHBOARD / "chart.css", HERE / "report.css"))])


def _colours() -> str:
    """The app's colours, light and dark, as the variables that chart.js and the stylesheets use."""
    theme = tomllib.loads(THEME.read_text(encoding="utf-8"))["theme"]
    light, dark = (_variables({**theme[name], "font": theme["font"]}) for name in ("light", "dark"))
    return f":root {{ {light} }}\n@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"


def _variables(theme: Mapping[str, str]) -> str:
    text, paper, border = theme["textColor"], theme["backgroundColor"], theme["borderColor"]
    values = {
        "text-color": text,
        "gray-text-color": _mixed(text, paper, 0.65),
        "background-color": paper,
        "secondary-background-color": theme["secondaryBackgroundColor"],
        "border-color": border,
        "border-color-light": _mixed(border, paper, 0.6),
        "primary-color": theme["primaryColor"],
        "font": theme["font"],
    }
    return " ".join(f"--st-{name}: {value};" for name, value in values.items())


def _mixed(colour: str, paper: str, share: float) -> str:
    pairs = ((int(colour[i : i + 2], 16), int(paper[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in pairs)


@cache
def script() -> str:
    """The chart code of the app's pages, and the report's own."""
    files = (DASHBOARD / "narrow.js", DASHBOARD / "chart.js", HERE / "report.js")
    return "".join(file.read_text(encoding="utf-8") for file in files)


@cache
def policy() -> str:
    """The content security policy of the file: its two scripts, inline styles and images, and no address outside the file."""
    hashes = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in (get_plotlyjs(), script())]
    scripts = " ".join(f"'sha256-{one}'" for one in hashes)
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action "
        "'none'"
    )
