"""What the app serves beside its pages: plotly.js, the code of charts, figures, thumbnails of the runs' data sets, reports."""

import gzip
import hashlib
import io
import time
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path

import plotly
from PIL import Image
from plotly.offline import get_plotlyjs_version
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from dashboard import difference, link, sheets, tables
from sslcore import datasets
from sslcore.experiment import Store

BASE = link.base()
HERE = Path(__file__).parent
PLOTLY_FILE = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
PLOTLY_URL = f"{BASE}/plotly.js?v={get_plotlyjs_version()}"
# Chromium then compiles a script beside the page's own work, not function by function in it.
EAGERLY = b"//# allFunctionsCalledOnLoad\n"
CARTESIAN_FILE = HERE / "vendor" / "plotly-cartesian.min.js"  # a third of it
CARTESIAN_URL = f"{BASE}/plotly-cartesian.js?v={hashlib.sha256(EAGERLY + CARTESIAN_FILE.read_bytes()).hexdigest()[:16]}"
CHART_CODE = b"".join((HERE / name).read_bytes() for name in ("load.js", "narrow.js", "chart.js", "sketch.js"))
CHART_URL = f"{BASE}/chart.js?v={hashlib.sha256(CHART_CODE).hexdigest()[:16]}"
THUMBNAILS_URL = f"{BASE}/thumb"
FIGURES_URL = f"{BASE}/figure"
KEPT_SECONDS = 10
THUMBNAIL_SECONDS = 60  # for which a browser keeps one: when a folder of images changes, another image has its number
FOR_GOOD = {"Cache-Control": "public, max-age=31536000, immutable"}  # the address changes with the content


def plotly_js(request: Request) -> Response:
    """The plotly.js of the installed plotly package: nothing is fetched from a CDN."""
    return _packed(request, _gzipped(PLOTLY_FILE), "text/javascript", FOR_GOOD)


def cartesian_js(request: Request) -> Response:
    """The part of plotly.js that draws everything but points by WebGL: a page starts a second sooner than with the whole."""
    return _packed(request, _gzipped(CARTESIAN_FILE, EAGERLY), "text/javascript", FOR_GOOD)


def chart_js(request: Request) -> Response:
    """The module that sketches and draws charts: as a part of each chart it would be sent again with each change."""
    return Response(CHART_CODE, media_type="text/javascript", headers=FOR_GOOD)


def figure(request: Request) -> Response:
    """/figure/<hash>.json: a figure that a page has drawn of late."""
    packed = difference.kept(request.path_params["name"])
    if packed is None:
        return PlainTextResponse("no such figure", status_code=404)
    return _packed(request, packed, "application/json", {"Cache-Control": "private, max-age=86400, immutable"})


def _packed(request: Request, content: bytes, kind: str, headers: dict[str, str]) -> Response:
    """An answer whose content is kept gzipped; Streamlit would do so anew for each request, 50 ms for plotly.js."""
    headers = headers | {"Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(content, media_type=kind, headers=headers | {"Content-Encoding": "gzip"})
    return Response(gzip.decompress(content), media_type=kind, headers=headers)


@cache
def _gzipped(file: Path, before: bytes = b"") -> bytes:
    return gzip.compress(before + file.read_bytes(), 6)


def thumbnail(request: Request) -> Response:
    """/thumb/<data set, URL-quoted>/<index>.png?of=<checksum>: one image, at the size at which a run of the store sees it.

    From an experiment's sample sheet, smaller, where the data set is not on this machine, or is not the one of this
    checksum any more; "" where the run's is not on record.
    404 for a data set that no run of the store uses: a link must not open any path of this machine.
    """
    dataset, index = request.path_params["dataset"], request.path_params["index"]
    checksum = request.query_params.get("of", "")
    store = Store()
    sizes = _sizes(store.root, int(time.monotonic() / KEPT_SECONDS)).get(dataset) or tables.image_sizes(store).get(dataset)
    if sizes and index.isascii() and index.isdecimal() and len(index) < 16:
        for size in sizes:
            with suppress(ValueError, IndexError):
                return _png(datasets.thumbnail(dataset, int(index), size, checksum))
        for experiment in store.experiments():
            with suppress(ValueError, LookupError):
                sheet, places = sheets.sheet(experiment, dataset, checksum)
                return _png(datasets.tile(sheet, places[int(index)]))
    return PlainTextResponse("no such image", status_code=404)


@lru_cache(maxsize=1)
def _sizes(root: Path, moment: int) -> dict[str, list[int]]:
    """tables.image_sizes, kept for some seconds: a page asks for dozens of images at once, and stores have thousands of runs."""
    return tables.image_sizes(Store(root))


def _png(image: Image.Image) -> Response:
    content = io.BytesIO()
    image.save(content, "PNG")
    return Response(
        content.getvalue(), media_type="image/png", headers={"Cache-Control": f"private, max-age={THUMBNAIL_SECONDS}"}
    )


def report_page(request: Request) -> Response:
    """/report/<experiment>: its report, for whoever has the address. Reads, and changes nothing."""
    from dashboard import report  # costs most of a second, which the app's start need not wait for

    experiment = next((e for e in Store().experiments() if e.name == request.path_params["experiment"]), None)
    if experiment is None:
        return PlainTextResponse("no such experiment", status_code=404)
    headers = {
        "Content-Security-Policy": f"{report.look.policy()}; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-cache",
    }
    return HTMLResponse(report.kept_html(experiment), headers=headers)


ROUTES = [
    Route(f"{BASE}/plotly.js", plotly_js),
    Route(f"{BASE}/plotly-cartesian.js", cartesian_js),
    Route(f"{BASE}/chart.js", chart_js),
    Route(f"{FIGURES_URL}/{{name}}.json", figure),
    Route(f"{THUMBNAILS_URL}/{{dataset:path}}/{{index}}.png", thumbnail),
    Route(f"{BASE}/report/{{experiment}}", report_page),
]
