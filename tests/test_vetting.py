"""What a file is checked for before it comes in, one by one; tests/test_archive.py has the same of whole zips."""

import io
import pickle
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sslcore import vetting


def made(save, *values, **named) -> bytes:
    file = io.BytesIO()
    save(file, *values, **named)
    return file.getvalue()


def zipped(compression=zipfile.ZIP_STORED, **members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as target:
        for name, content in members.items():
            target.writestr(name.replace("__", "/").replace("_", "."), content)
    return file.getvalue()


def turned(content: bytes, at: int, n: int = 1) -> bytes:
    """With n bytes turned."""
    return content[:at] + bytes(255 - byte for byte in content[at : at + n]) + content[at + n :]


ARRAY = made(np.save, np.arange(100.0))
TABLE = made(lambda file: pd.DataFrame({"x": np.arange(1000.0)}).to_parquet(file))
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
PICTURE = made(NOISE.save, "WEBP")
MOVING = made(NOISE.save, "WEBP", save_all=True, append_images=[NOISE.rotate(90)], duration=100)
PICKLED = pickle.dumps({"step": 3}, 2)
SOUND = {
    "any.json": b'{"a": [1, 2.5, null, "b"]}',
    "metrics.jsonl": b'{"step": 1, "loss": null}\n{"step": 9223372036854775807}\n{"st',
    "a.npz": zipped(x_npy=ARRAY),
    "a.parquet": TABLE,
    "a.webp": PICTURE,
    "checkpoint.pt": zipped(x__data_pkl=PICKLED, x__data__0=b"12", x__version=b"3"),
}


def check(folder, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    vetting.check(folder / name)


@pytest.mark.parametrize("name", SOUND)
def test_what_we_write_passes(tmp_path, name):
    check(tmp_path, name, SOUND[name])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("any.json", b"[1]", "expected a JSON object"),
        *(("any.json", b'{"a": %s}' % number, "is no number") for number in (b"NaN", b"-Infinity", b"1e999", b"1" + b"0" * 400)),
        ("any.json", rb'{"a": "\ud800"}', "hex escape"),
        ("metrics.jsonl", b'{"a": 1}\nno\n{"a": 1}\n', "^line 2: "),
        ("metrics.jsonl", b'{"a": [1]}\n', "a is no plain number"),
        ("metrics.jsonl", b'{"a": 9223372036854775808}\n', "a is no plain number"),
        ("metrics.jsonl", b'{"a": 1}\n{"a": "' + b"x" * vetting.CHUNK + b'"}\n', "line 2 is too long"),
        ("a.npz", zipped(x_txt=ARRAY), "'x.txt' is no array of numbers"),
        ("a.npz", zipped(x_npy=made(np.save, np.array([{}]))), "is no array of numbers"),
        ("a.npz", zipped(x_npy=made(np.save, np.zeros(2, [("a", int)]))), "is no array of numbers"),
        ("a.npz", zipped(x_npy=ARRAY + b"more"), "another length than it says"),
        ("a.npz", zipped(x_npy=ARRAY[:-8]), "another length than it says"),
        ("a.npz", turned(zipped(x_npy=made(np.save, np.arange(10_000))), 60_000), "CRC"),
        ("a.parquet", made(lambda file: pd.DataFrame({"x": [[1], [2]]}).to_parquet(file)), "no plain number"),
        ("a.parquet", turned(TABLE, 4, 40), None),
        ("a.webp", made(NOISE.save, "PNG"), "cannot identify"),
        ("a.webp", MOVING, "one that moves"),
        ("a.webp", PICTURE[:-200], None),
        ("a.webp", turned(PICTURE, 33, 40), None),
        ("a.safetensors", b"\x08\x00\x00\x00\x00\x00\x00\x00nonsense", None),
        ("checkpoint.pt", zipped(zipfile.ZIP_DEFLATED, x__data_pkl=PICKLED), "it is packed"),
        ("checkpoint.pt", zipped(x__data_pkl=PICKLED, y__data_pkl=PICKLED), "not a checkpoint as torch.save writes it"),
        ("checkpoint.pt", zipped(x__data_pkl=PICKLED, x__code_py=b""), "not a checkpoint as torch.save writes it"),
        *(("checkpoint.pt", zipped(x__data_pkl=pickle.dumps(print, protocol)), "would call") for protocol in (2, 4)),
    ],
)
def test_what_is_not_what_its_name_says_is_refused(tmp_path, name, content, said):
    with pytest.raises(Exception, match=said):
        check(tmp_path, name, content)


def test_an_array_beside_a_large_one_unpacks_to_no_more_for_it(tmp_path):
    """That one lies in the file as it is, and is packed again on its way."""
    large, grows = made(np.save, np.zeros(3_000_000)), made(np.save, np.zeros(30_000_000))
    check(tmp_path, "a.npz", zipped(x_npy=large))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        target.writestr("x.npy", large)
        target.writestr("y.npy", grows, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="more than they should"):
        check(tmp_path, "a.npz", file.getvalue())


def test_the_pages_of_a_table_take_no_more_than_its_cells(tmp_path, monkeypatch):
    one = made(lambda file: pd.DataFrame({"x": [1.0]}).to_parquet(file))
    check(tmp_path, "a.parquet", one)
    monkeypatch.setattr(vetting, "FREE_BYTES", 0)  # what stands around a single cell is more than it
    with pytest.raises(ValueError, match="too long"):
        check(tmp_path, "a.parquet", one)


@pytest.mark.parametrize(
    ("name", "limit", "largest"),
    [
        ("any.json", "MAX_JSON", len(SOUND["any.json"])),
        ("a.npz", "MAX_ARRAYS", len(ARRAY)),
        ("a.parquet", "MAX_CELLS", 1000),
        ("a.webp", "MAX_PIXELS", 1600),
        ("checkpoint.pt", "MAX_JSON", len(PICKLED)),
    ],
)
def test_what_would_take_more_memory_than_it_should_is_refused(tmp_path, monkeypatch, name, limit, largest):
    monkeypatch.setattr(vetting, limit, largest)
    check(tmp_path, name, SOUND[name])
    monkeypatch.setattr(vetting, limit, largest - 1)
    with pytest.raises(ValueError, match=r"too l|more than they should"):
        check(tmp_path, name, SOUND[name])
