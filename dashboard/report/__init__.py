"""One experiment as a single HTML file that opens anywhere, offline; and the same in Markdown, for a wiki.

Figures, colours and chart code are the app's own. What comes from the folder is text to the template, and notes are
Markdown without HTML; should something slip through all the same, the file's content security policy lets none but
its own two scripts run, and nothing be fetched.
"""

import re
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from dashboard import words
from dashboard.figures import style
from dashboard.report import charts, images, look
from dashboard.report.content import gather
from sslcore.experiment import Experiment
from sslcore.files import stamp

MARKDOWN = MarkdownIt("js-default", {"html": False}).disable("image")  # nothing is fetched; links are links, and only to the web
TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=lambda name: ".html" in name,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= {name: getattr(words, name) for name in ("percent", "plain", "count", "fewer", "share", "cost", "tenths")}
TEMPLATES.globals["colour"] = style.colour


def html(experiment: Experiment) -> str:
    """The report of the experiment's runs, those that are not hidden, as one HTML file."""
    content = gather(experiment)
    runs, measured, probed, results = (content[name] for name in ("runs", "measured", "probed", "results"))
    return TEMPLATES.get_template("report.html.jinja").render(
        content,
        notes=Markup(MARKDOWN.render(content["spec"].notes)),
        css=Markup(look.css()),
        policy=look.policy(),
        plotly=Markup(get_plotlyjs()),
        script=Markup(look.script()),
        sections=charts.sections(runs, measured, probed, results),
        confusions=charts.confusions(probed, results),
        ablations=charts.varied(experiment, runs),
        embeddings=charts.layouts(runs),
        sheets=images.sheets(runs),
        views=images.views(runs),
    )


def kept_html(experiment: Experiment) -> str:
    """`html`, made anew only where a file of the experiment, or the state of a run, has changed."""
    runs = experiment.runs()
    files = [*experiment.files(), *(file for run in runs for file in run.files())]
    states = [run.status().state for run in runs]  # of a run that was killed, no file says it
    return _kept(experiment.path, (*((file.relative_to(experiment.path), *stamp(file)) for file in files), *states))


@lru_cache(maxsize=4)  # some MB each
def _kept(folder: Path, stamps: tuple) -> str:
    return html(Experiment(folder))


def markdown(experiment: Experiment) -> str:
    """Question, answer, notes, settings and how to reproduce it, as Markdown; figures are in the HTML alone."""
    content = gather(experiment)
    notes = re.sub(r"<(?=[A-Za-z/!?])", "<\N{WORD JOINER}", words.notes(content["spec"].notes))  # no tag begins so
    return TEMPLATES.get_template("report.md.jinja").render(content, notes=notes)
