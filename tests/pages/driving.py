"""Driving the pages as a reader does, without a browser."""

from xml.etree import ElementTree

import pandas as pd
from streamlit.testing.v1 import AppTest

from dashboard import link

MAIN = str(link.VIEWS.parent / "main.py")


def open_page(name: str = "experiments", user: dict | None = None, **params: str) -> AppTest:
    """A page at an address, as somebody sees it who is logged in as `user`."""
    app = AppTest.from_file(MAIN, default_timeout=180)
    if user is not None:
        app.user = user
    if name != "experiments":
        app.switch_page(f"views/{name}.py")
    app.query_params.update(params)
    return clean(app.run())


def clean(app: AppTest) -> AppTest:
    assert not app.exception, [e.value for e in app.exception]
    return app


def texts(app: AppTest) -> str:
    """Everything that can be read on the page, in one string."""
    kinds = ("title", "header", "subheader", "markdown", "text", "caption", "error", "warning", "info", "code")
    return "\n".join(str(element.value) for kind in kinds for element in getattr(app, kind))


def printed(app: AppTest) -> list[pd.DataFrame]:
    """The tables on a page as they read, by their first column."""
    bodies = [element.proto.body for element in app.get("html")]
    tables = [ElementTree.fromstring(body[body.index("<table>") : body.index("</div>")]) for body in bodies if "<table>" in body]
    rows = [[[cell.text for cell in row] for row in table.iter("tr")] for table in tables]
    return [pd.DataFrame(lines, columns=columns).set_index(columns[0]) for columns, *lines in rows]
