"""What the app serves beside its pages."""

import gzip
import hashlib
import io
import re
import urllib.error
import urllib.request
from urllib.parse import quote, urlsplit

import numpy as np
from PIL import Image
from plotly.offline import get_plotlyjs_version

from dashboard.routes import CARTESIAN_FILE, CARTESIAN_URL, CHART_URL, EAGERLY, PLOTLY_URL
from sslcore import datasets
from sslcore.config import resolve
from sslcore.experiment import Spec, Store
from sslcore.files import write_json
from tests import synthetic
from tests.browser.conftest import ROOT, free_port, start, stop


def get(url: str, **headers: str):
    """(status, headers, body) of an address."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=300) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def test_plotly_is_sent_once(app):
    status, headers, body = get(app.url + PLOTLY_URL)
    assert status == 200 and b"plotly.js" in body[:300] and "immutable" in headers["Cache-Control"]
    assert PLOTLY_URL.endswith(get_plotlyjs_version()), "another version has another address"


def test_the_smaller_plotly_is_what_was_published_and_of_the_version_of_the_whole(app):
    status, headers, body = get(app.url + CARTESIAN_URL)
    assert status == 200 and "immutable" in headers["Cache-Control"] and body == EAGERLY + CARTESIAN_FILE.read_bytes()
    assert hashlib.sha256(CARTESIAN_FILE.read_bytes()).hexdigest() in (CARTESIAN_FILE.parent / "README.md").read_text()
    version = re.search(rb"plotly.js \(cartesian - minified\) v(\d+)\.", body[:400])[1].decode()
    assert version == get_plotlyjs_version().split(".")[0]


def test_both_are_packed_for_whoever_takes_that(app):
    for address in (PLOTLY_URL, CARTESIAN_URL):
        plain, packed = get(app.url + address), get(app.url + address, **{"Accept-Encoding": "gzip"})
        assert (
            packed[1]["Content-Encoding"] == "gzip"
            and gzip.decompress(packed[2]) == plain[2]
            and "Content-Encoding" not in plain[1]
        )
        assert "Accept-Encoding" in packed[1]["Vary"] and packed[1]["Cache-Control"] == plain[1]["Cache-Control"]


def test_the_code_of_charts_is_sent_once_and_not_with_every_chart(app):
    status, headers, body = get(app.url + CHART_URL)
    assert status == 200 and b"export default" in body and "immutable" in headers["Cache-Control"]
    assert len((ROOT / "dashboard" / "mount.js").read_bytes()) < 1000 < len(body)


def test_thumbnail_is_the_image_of_that_index(app, shapes):
    data = datasets.load(shapes, 16)
    address = f"{app.url}/thumb/{quote(shapes, safe='')}"
    assert get(f"{address}/0.png")[0] == 404  # decoded, but no run of the store uses it
    Store(app.store).create("with-thumbnails", Spec(), {"run": resolve({"dataset": shapes, "image_size": 16})})
    for index in (0, len(data.x_train)):  # the first of train, the first of test
        status, headers, body = get(f"{address}/{index}.png")
        assert status == 200 and headers["Content-Type"] == "image/png" and headers["Cache-Control"] == "private, max-age=60"
        assert np.array_equal(np.array(Image.open(io.BytesIO(body)).convert("RGB")), data.images([index])[0])
    assert get(f"{address}/99999.png")[0] == 404
    for index in ("-1", "1.5", "٣", "9" * 15, "9" * 5000):
        assert get(f"{address}/{quote(index)}.png")[0] == 404


def test_thumbnails_are_of_the_images_that_the_run_has_seen(app, tmp_path):
    """A folder of that path may hold others by now, here or on a teammate's machine."""
    dataset, label = str(tmp_path / "own.npz"), np.zeros(8, int)

    def lie(value: int) -> str:
        images = np.full((8, 16, 16, 3), value, np.uint8)
        np.savez(dataset, x_train=images, y_train=label + np.arange(8) % 2, x_test=images, y_test=label)
        return datasets.load(dataset, 16).checksum

    before, now = lie(50), lie(200)
    experiment = Store(app.store).create("changed", Spec(), {"run": resolve({"dataset": dataset, "image_size": 16})})
    (run,) = experiment.runs()
    address = f"{app.url}/thumb/{quote(dataset, safe='')}/3.png"
    write_json(run.environment_file, {"data": {"dataset": dataset, "image_size": 16, "checksum": before}})
    assert now != before and get(f"{address}?of={before}")[0] == 404
    datasets.sheet(np.full((16, 16, 16, 3), 50, np.uint8)).save(experiment.sample_sheet(dataset), "WEBP", quality=100)
    np.savez(run.embeddings_file, index=np.arange(16))
    status, _, body = get(f"{address}?of={before}")  # from the sheet
    assert status == 200 and abs(np.median(Image.open(io.BytesIO(body))) - 50) < 8
    for today in (f"{address}?of={now}", address):
        assert abs(np.median(Image.open(io.BytesIO(get(today)[2]))) - 200) < 8


def test_thumbnail_of_a_data_set_that_is_elsewhere_is_its_tile(app):
    indices = np.array([3, 5, 8, 200])
    # One colour each.
    images = np.random.default_rng(0).integers(0, 256, (4, 1, 1, 3), dtype=np.uint8).repeat(32, 1).repeat(32, 2)

    def experiment(name: str, dataset: str, samples=(1000,), indices=indices):
        configs = {f"run{n}": resolve({"dataset": dataset, "evaluate.sample": n}) for n in samples}
        experiment = Store(app.store).create(name, Spec(), configs)
        datasets.sheet(images).save(experiment.sample_sheet(dataset), "WEBP", quality=100)
        for run in experiment.runs():
            np.savez(run.embeddings_file, index=indices)

    experiment("imported", "/elsewhere/birds")
    for k, index in enumerate(indices):
        status, _, body = get(f"{app.url}/thumb/{quote('/elsewhere/birds', safe='')}/{index}.png")
        assert status == 200 and abs(np.median(Image.open(io.BytesIO(body)), axis=(0, 1)) - images[k, 0, 0]).max() < 16
    assert get(f"{app.url}/thumb/{quote('/elsewhere/birds', safe='')}/4.png")[0] == 404  # not in the sample

    experiment("samples-differ", "/elsewhere/cats", samples=(1000, 2000))
    experiment("sheet-of-another-sample", "/elsewhere/dogs", indices=np.arange(150))
    for dataset in ("/elsewhere/cats", "/elsewhere/dogs", "/other/birds"):
        assert get(f"{app.url}/thumb/{quote(dataset, safe='')}/3.png")[0] == 404


def test_thumbnail_opens_no_path(app):
    for path in ("../../etc/passwd", "/etc/passwd", "\0", "%2e%2e", "", "photos/../photos"):
        assert get(f"{app.url}/thumb/{quote(path, safe='')}/0.png")[0] in (400, 404)


def test_all_is_below_the_path_at_which_a_proxy_has_the_app(tmp_path, page):
    store, port = tmp_path / "store", free_port()
    synthetic.store(store, methods=("moco",), seeds=(0,))
    process = start(store, port, below="/lab/app")
    try:
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"http://127.0.0.1:{port}/lab/app/compare?experiment=photos")
        page.wait_for_selector(".main-svg")
        paths = {urlsplit(url).path for url in asked if url.startswith("http")}
        assert len(paths) > 5 and all(path.startswith("/lab/app/") for path in paths)
        assert get(f"http://127.0.0.1:{port}/lab/app/report/photos")[0] == 200
    finally:
        stop(process)
