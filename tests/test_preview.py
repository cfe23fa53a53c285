import numpy as np
from PIL import Image

from sslcore import datasets, preview
from sslcore.__main__ import main
from sslcore.config import resolve


def test_the_first_row_shows_the_images_and_the_others_views_of_them(shapes):
    data = datasets.load(shapes, 16)
    still = {f"augment.{name}": 0 for name in ("flip", "jitter", "hue", "grayscale")} | {"augment.crop_min": 1}
    picture = np.asarray(preview.strip(resolve({"dataset": shapes, **still}), data).convert("RGB"))
    step = preview.TILE + preview.GAP
    first, second = picture[: preview.TILE], picture[step + preview.GAP :][: preview.TILE]
    assert np.array_equal(first, second)  # nothing is drawn: a view is the image
    changed = np.asarray(preview.strip(resolve({"dataset": shapes}), data).convert("RGB"))
    assert np.array_equal(changed[: preview.TILE], first) and not np.array_equal(changed, picture)


def test_the_strip_is_drawn_from_the_shell(shapes, tmp_path):
    out = tmp_path / "views.webp"
    arguments = ["views", "--out", str(out), "--set", f"dataset={shapes}", "image_size=16", "augment.solarize=1"]
    assert main(arguments) == 0
    with Image.open(out) as picture:
        assert picture.width == preview.IMAGES * (preview.TILE + preview.GAP) - preview.GAP
