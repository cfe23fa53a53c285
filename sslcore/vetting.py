"""What each file of an experiment may hold, when it comes from elsewhere.

Every check reads its file whole and raises, ValueError or whatever the parser raises, where the file is not what its
name says, or would take more memory than such a file should. Nothing is unpickled.
"""

import json
import math
import pickletools
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydantic_core
from PIL import Image
from pydantic import Field

from sslcore.config import RunConfig
from sslcore.experiment import SCHEMA_VERSION, Spec
from sslcore.results import Results
from sslcore.status import Status

MAX_JSON = 50_000_000  # bytes
MAX_ARRAYS = 4_000_000_000  # bytes of one .npz, unpacked
MAX_RATIO = 100  # unpacked to packed of each array, beyond FREE_BYTES; what we write reaches about 10
FREE_BYTES = 10_000_000
MAX_CELLS = 20_000_000  # of one table
MAX_PIXELS = 120_000_000  # of one picture; the largest sample sheet has 105 million
CHUNK = 1 << 20


class SpecInside(Spec):
    schema_version: int = Field(SCHEMA_VERSION, le=SCHEMA_VERSION)


MODELS = {"experiment.json": SpecInside, "config.json": RunConfig, "status.json": Status, "results.json": Results}


def check(path: Path) -> None:
    """Raise ValueError, or whatever its parser raises, where a file is not what its name says."""
    CHECKS[path.suffix](path)


def json_object(content: bytes) -> dict[str, Any]:
    """A JSON object without NaN, infinity, numbers too large for a float, and lone surrogates, which no file can hold."""
    pydantic_core.from_json(content)
    value = json.loads(content, parse_float=_number, parse_int=_whole, parse_constant=_number)
    if not isinstance(value, dict):
        raise ValueError("expected a JSON object")
    return value


def _number(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is no number")
    return number


def _whole(text: str) -> int:
    _number(text)
    return int(text)


def _check_json(path: Path) -> None:
    if path.stat().st_size > MAX_JSON:
        raise ValueError("too large to be read")
    value = json_object(path.read_bytes())
    if path.name in MODELS:
        MODELS[path.name].model_validate(value)


def _check_rows(path: Path) -> None:
    """One JSON object of plain values a line; the last line may be torn, as a crash leaves it."""
    with path.open("rb") as file:
        for count, line in enumerate(iter(lambda: file.readline(CHUNK), b""), 1):
            if not line.endswith(b"\n"):
                if file.read(1):
                    raise ValueError(f"line {count} is too long")
                return
            try:
                check_row(line)
            except ValueError as error:
                raise ValueError(f"line {count}: {error}") from None


def check_row(line: bytes) -> None:
    for name, value in json_object(line).items():
        if isinstance(value, (dict, list)) or (isinstance(value, int) and abs(value) >= 2**63):
            raise ValueError(f"{name[:50]} is no plain number")


def _check_arrays(path: Path) -> None:
    """Plain arrays, told by their headers; numpy would unpickle an array of objects if one asked it to."""
    with zipfile.ZipFile(path) as arrays:
        grows = any(info.file_size > FREE_BYTES + MAX_RATIO * info.compress_size for info in arrays.infolist())
        if grows or sum(info.file_size for info in arrays.infolist()) > MAX_ARRAYS:
            raise ValueError("the arrays unpack to more than they should")
        for info in arrays.infolist():
            with arrays.open(info) as file:
                version = np.lib.format.read_magic(file)
                read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
                shape, _, dtype = read_header(file)
                if not info.filename.endswith(".npy") or dtype.hasobject or dtype.kind not in "biufU":
                    raise ValueError(f"{info.filename!a} is no array of numbers")
                if math.prod(shape) * dtype.itemsize != info.file_size - file.tell():
                    raise ValueError(f"{info.filename!a} has another length than it says")
                while file.read(CHUNK):  # compares the checksum
                    pass


def _check_table(path: Path) -> None:
    from pyarrow import parquet, types

    with parquet.ParquetFile(path, page_checksum_verification=True) as table:
        if not all(types.is_primitive(column.type) for column in table.schema_arrow):
            raise ValueError("a column is no plain number")
        about = table.metadata
        parts = [about.row_group(k).total_byte_size for k in range(about.num_row_groups)]  # unpacked
        if (cells := about.num_rows * about.num_columns) > MAX_CELLS or sum(parts) > FREE_BYTES + 16 * cells:
            raise ValueError("the table is too long")
        for _ in table.iter_batches():
            pass


def _check_picture(path: Path) -> None:
    with Image.open(path, formats=["WEBP"]) as picture:
        if picture.width * picture.height > MAX_PIXELS or getattr(picture, "n_frames", 1) != 1:
            raise ValueError("a picture too large, or one that moves")
        picture.load()


def _check_weights(path: Path) -> None:
    from safetensors import safe_open

    with safe_open(path, framework="numpy"):  # checks the header and every tensor's place
        pass


# What torch.save writes for tensors in plain containers, and no more.
CHECKPOINT_FILE = re.compile(
    r"[^/]+/(data\.pkl|data/\d+|version|byteorder|\.format_version|\.storage_alignment|\.data/serialization_id)"
)
GLOBALS = re.compile(
    r"collections OrderedDict|torch\._utils _rebuild_(tensor_v2|parameter)|torch [A-Z][A-Za-z0-9]*Storage|torch Size"
)
OTHER_CALLS = {"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"}


def _check_checkpoint(path: Path) -> None:
    """The pickle inside is read as a list of instructions and never run; torch.load(weights_only=True) is as strict later on."""
    with zipfile.ZipFile(path) as parts:
        names = parts.namelist()
        if not all(map(CHECKPOINT_FILE.fullmatch, names)) or sum(name.endswith("data.pkl") for name in names) != 1:
            raise ValueError("not a checkpoint as torch.save writes it")
        if any(info.compress_type != zipfile.ZIP_STORED for info in parts.infolist()):
            raise ValueError("not a checkpoint as torch.save writes it: it is packed")
        (pickled,) = (name for name in names if name.endswith("data.pkl"))
        if parts.getinfo(pickled).file_size > MAX_JSON:
            raise ValueError("too large to be read")
        for code, argument, _ in pickletools.genops(parts.read(pickled)):
            if code.name in OTHER_CALLS or (code.name == "GLOBAL" and not GLOBALS.fullmatch(argument)):
                raise ValueError(f"its pickle would call {argument or code.name!a}, which no checkpoint of ours does")


CHECKS: dict[str, Callable[[Path], None]] = {
    ".json": _check_json,
    ".jsonl": _check_rows,
    ".txt": lambda path: None,
    ".npz": _check_arrays,
    ".parquet": _check_table,
    ".webp": _check_picture,
    ".safetensors": _check_weights,
    ".pt": _check_checkpoint,
}
