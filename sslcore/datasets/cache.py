"""Each data set is decoded once for each image size, into a folder of arrays that every later reader memory-maps.

$TRIPTYCH_DATA/decoded/<name>-<path's hash>-<size>px-<fingerprint>/
    images.npy    uint8 (N, S, S, 3), train first
    labels.npy    int64 (N,), where there are labels
    files.npy     bytes (N,), where each image was a file: its path below the data set's folder
    about.json    how many are for training, the classes, the files that were skipped, remarks, which images belong together,
                  sizes and checksums

One process decodes, with a thread a core (Pillow works outside of Python's lock: processes were no faster); others that
want the same set wait. What is decoded so far lies in a folder .part beside the others, with a line in its journal for
each block: whoever goes on after a stop or a kill begins behind the last whole block.
"""

import hashlib
import json
import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sslcore.cores import cores
from sslcore.datasets.source import Report, Source, decode_all, spelled
from sslcore.files import FULL, room_for
from sslcore.locks import beating, holding
from sslcore.wording import series

VERSION = 2  # of what decoding does; raise it and every set is decoded anew
BLOCK = 256  # images
TWELVE_BITS = 4095  # the largest number of 12 bits, which is what many cameras write into 16
# Bytes; smaller files are checked against their checksums at every use, larger ones when their time differs.
READ_THROUGH = 256 << 20
WAIT_SECONDS = 0.2


def home() -> Path:
    """Where downloads and decoded arrays lie: TRIPTYCH_DATA, else ~/.cache/triptych."""
    return Path(os.environ.get("TRIPTYCH_DATA") or "~/.cache/triptych").expanduser().absolute()


@contextmanager
def locked(folder: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """One process at a time, on all machines that share the cache; the others wait, and call `waiting` meanwhile.

    `folder` is made, to be held (see `locks`): a process that dies lets go of it. Raises OSError where it cannot be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in FULL:
            raise
        raise OSError(
            f"downloads and decoded images are kept in {home()}, where nothing can be written ({error.strerror}); TRIPTYCH_DATA "
            "names another folder"
        ) from error
    with ExitStack() as held:
        while True:
            try:
                claim = held.enter_context(holding(folder))
                break
            except BlockingIOError:
                waiting()
                time.sleep(WAIT_SECONDS)
        held.enter_context(beating(claim))
        yield


def folder(dataset: str, fingerprint: object, size: int) -> Path:
    """Where the decoded arrays of a data set with this fingerprint lie, or will."""
    return home() / "decoded" / f"{_of_set(dataset, size)}-{_short((VERSION, fingerprint))}"


def _of_set(dataset: str, size: int) -> str:
    """What the folders of a data set at one size are called before their fingerprint, whatever was decoded there."""
    name = "".join(c if c.isalnum() and c.isascii() else "-" for c in Path(dataset).name)[:40]
    return f"{name}-{_short(dataset)}-{size}px"


def _short(thing: object) -> str:
    return hashlib.sha256(repr(thing).encode(errors="surrogateescape")).hexdigest()[:10]


def build(target: Path, source: Callable[[], Source], size: int, report: Report) -> None:
    """Decode into `target`, whole or not at all, unless another process has done so or is doing so.

    Raises ValueError where no image for training, or none for testing, can be read.
    """
    unfinished = target.with_name(f".{target.name}.part")

    def waiting() -> None:
        done = journal(unfinished)
        report("waiting for another process that decodes these images", done[-1]["upto"] / done[-1]["of"] if done else 0.0)

    with locked(target.with_name(f".{target.name}.held"), waiting):
        if sound(target):
            return
        if target.exists():
            report("the decoded images are damaged and are decoded again", 0.0)
            shutil.rmtree(target)
        report("preparing the images", 0.0)
        try:
            unfinished.mkdir(exist_ok=True)
            with room_for(unfinished / "images.npy"):
                _write(unfinished, source(), size, report)
        except ValueError:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        unfinished.rename(target)
        same_set, _, _ = target.name.rpartition("-")
        for outdated in target.parent.glob(f"{same_set}-*"):
            if outdated != target:  # a process that has mapped it keeps it
                shutil.rmtree(outdated, ignore_errors=True)
        for outdated in target.parent.glob(f".{same_set}-*.part"):  # unless another process goes on with it
            held = outdated.with_suffix(".held")
            with suppress(OSError):
                held.mkdir(exist_ok=True)
                with holding(held):
                    shutil.rmtree(outdated, ignore_errors=True)


def _write(path: Path, source: Source, size: int, report: Report) -> None:
    """Raises ValueError where no image for training, or none for testing, can be read."""
    blocks, digests = _decode(path, source.images, size, report)
    skipped = {int(index): why for block in blocks for index, why in block["skipped"].items()}
    kept = [index for index in range(len(source.images)) if index not in skipped]
    train = sum(index < source.train for index in kept)
    said = [*map(spelled, source.left_out), *(spelled(f"{source.images[index]}: {why}") for index, why in skipped.items())]
    if not 0 < train < len(kept):
        part, first = "training" if train == 0 else "test", said[len(source.left_out)]
        raise ValueError(f"none of the {part} images can be read; the first: {first}")
    if source.labels is not None:
        np.save(path / "labels.npy", source.labels[kept])
    if source.root is not None:
        np.save(path / "files.npy", np.array([os.fsencode(os.path.relpath(source.images[k], source.root)) for k in kept]))
    about = {
        "train": train,
        "classes": source.classes,
        "skipped": said,
        "remarks": [*map(spelled, source.remarks), *_darkness(blocks), *_copies(digests, train, size, source, kept)],
        "groups": None if source.groups is None else [source.groups[k] for k in kept],
        "size": size,
        "blocks": [[block["images"], block["crc"]] for block in blocks],
        "labels": zlib.crc32((path / "labels.npy").read_bytes()) if source.labels is not None else None,
        "files": zlib.crc32((path / "files.npy").read_bytes()) if source.root is not None else None,
        "written": (path / "images.npy").stat().st_mtime_ns,
    }
    (path / "about.json").write_text(json.dumps(about), encoding="utf-8")
    (path / "journal.jsonl").unlink()


def _decode(
    path: Path, images: Sequence[np.ndarray | Path], size: int, report: Report
) -> tuple[list[dict[str, Any]], list[bytes]]:
    """Write images.npy, beginning behind its last whole block. Returns the blocks, as in the journal, and the images' digests."""
    blocks, digests = whole_blocks(path, size)
    (path / "journal.jsonl").write_text("".join(json.dumps(block) + "\n" for block in blocks), encoding="utf-8")
    with (
        (path / "images.npy").open("r+b" if blocks else "wb") as file,
        (path / "journal.jsonl").open("a", encoding="utf-8") as lines,
        ThreadPoolExecutor(cores()) as pool,
    ):
        _header(file, 0, size)
        file.seek(len(digests) * size * size * 3, os.SEEK_CUR)
        file.truncate()
        for start in range(blocks[-1]["upto"] if blocks else 0, len(images), BLOCK):
            report("decoding images", start / len(images))
            some, largest = decode_all(images[start : start + BLOCK], size, pool)
            failed = {
                str(start + k): " ".join(str(e).split()) or type(e).__name__
                for k, e in enumerate(some)
                if isinstance(e, Exception)
            }
            pixels = b"".join(image.tobytes() for image in some if not isinstance(image, Exception))
            file.write(pixels)
            file.flush()
            digests += _digests(pixels, size)
            blocks.append(
                {
                    "upto": start + len(some),
                    "of": len(images),
                    "images": len(some) - len(failed),
                    "crc": zlib.crc32(pixels),
                    "skipped": failed,
                    "largest": largest,
                }
            )
            lines.write(json.dumps(blocks[-1]) + "\n")
            lines.flush()
        file.seek(0)
        _header(file, len(digests), size)  # numpy pads headers, so that the first axis may grow
        file.flush()
        os.fsync(file.fileno())
    report("decoding images", 1.0)
    return blocks, digests


def _darkness(blocks: list[dict[str, Any]]) -> list[str]:
    """A remark where the 16-bit images hold no more than 12 bits."""
    largest = [block.get("largest", 65535) for block in blocks]  # nothing is known of a block that an older version decoded
    value = max((number for number in largest if number is not None), default=65535)
    if value > TWELVE_BITS:
        return []
    return [
        f"no pixel of the 16-bit images is above {value:,}: they are taken to use the full range up to 65,535, and come out "
        f"nearly black (at most {value // 257} of 255). Stretch them, or save them with 8 bits a pixel"
    ]


def _copies(digests: list[bytes], train: int, size: int, source: Source, kept: list[int]) -> list[str]:
    """A remark where images are for testing that are for training, too. `kept`: where their images are in the source."""
    trained = {digest: k for k, digest in enumerate(digests[:train])}
    twice = [(trained[digest], k) for k, digest in enumerate(digests[train:], train) if digest in trained]
    if not twice:
        return []
    first = [spelled(str(one)) if isinstance(one := source.images[kept[k]], Path) else f"image {k}" for k in twice[0]]
    are = "is a training image" if len(twice) == 1 else "are training images"
    return [
        f"{len(twice):,} of {len(digests) - train:,} test images {are} too (the same pixels at {size} px, as {series(first)})"
        + ("; accuracies count them" if source.labels is not None else "")
    ]


def _digests(pixels: bytes, size: int) -> list[bytes]:
    """The beginning of each image's hash, enough to tell it from all others."""
    images = np.frombuffer(pixels, np.uint8).reshape(-1, size * size * 3)
    return [hashlib.sha256(image).digest()[:8] for image in images]


def _header(file: BinaryIO, count: int, size: int) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (count, size, size, 3)})


# -- What is whole ---------------------------------------------------------------


def journal(path: Path) -> list[dict[str, Any]]:
    """The blocks that an unfinished folder says it has; a torn last line is left out."""
    blocks = []
    try:
        for line in (path / "journal.jsonl").read_text(encoding="utf-8").splitlines():
            blocks.append(json.loads(line))  # noqa: PERF401  those before a torn one count
    except (OSError, ValueError):
        pass
    return blocks


def whole_blocks(path: Path, size: int) -> tuple[list[dict[str, Any]], list[bytes]]:
    """The journal's blocks up to the first whose pixels are not there or not whole, and the digests of their images."""
    whole, digests = [], []
    try:
        with (path / "images.npy").open("rb") as file:
            _skip_header(file)
            for block in journal(path):
                pixels = file.read(block["images"] * size * size * 3)
                if zlib.crc32(pixels) != block["crc"]:
                    break
                whole.append(block)
                digests += _digests(pixels, size)
    except (OSError, ValueError):
        pass
    return whole, digests


def sound(path: Path) -> bool:
    """Whether a decoded folder is there and is as it was written: not cut, nothing in it changed."""
    try:
        about = json.loads((path / "about.json").read_text(encoding="utf-8"))
        size, blocks = about["size"], about["blocks"]
        for name in ("labels", "files"):
            crc = about.get(name)  # an older version kept no files
            if crc is not None and zlib.crc32((path / f"{name}.npy").read_bytes()) != crc:
                return False
        with (path / "images.npy").open("rb") as file:
            shape = _skip_header(file)
            stat = os.fstat(file.fileno())
            pixels = sum(count for count, _ in blocks) * size * size * 3
            if shape != (sum(count for count, _ in blocks), size, size, 3) or stat.st_size != file.tell() + pixels:
                return False
            if stat.st_size > READ_THROUGH and stat.st_mtime_ns == about["written"]:
                return True
            if any(zlib.crc32(file.read(count * size * size * 3)) != crc for count, crc in blocks):
                return False
        if stat.st_mtime_ns != about["written"]:
            with suppress(OSError):
                os.utime(path / "images.npy", ns=(stat.st_atime_ns, about["written"]))  # copied, and now read through
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True


def checksum(about: dict[str, Any]) -> str:
    """What tells two decoded sets apart: of the pixels, the labels, and which are for training."""
    return _short((VERSION, about["train"], about["blocks"], about["labels"]))


def files(dataset: str, size: int, of: str) -> np.ndarray | None:
    """bytes (N,), memory-mapped: the file of each image of the decoded set with the checksum `of`. None where none are kept."""
    for decoded in (home() / "decoded").glob(f"{_of_set(dataset, size)}-*"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            if checksum(json.loads((decoded / "about.json").read_text(encoding="utf-8"))) == of:
                return np.load(decoded / "files.npy", mmap_mode="r", allow_pickle=False)
    return None


def _skip_header(file: BinaryIO) -> tuple[int, ...]:
    """The shape; the pixels come next. Raises ValueError."""
    np.lib.format.read_magic(file)
    return np.lib.format.read_array_header_1_0(file)[0]
