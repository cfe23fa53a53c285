"""torchvision's sets, from a server on this machine."""

import gzip
import hashlib
import io
import os
import pickle
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from sslcore import datasets
from tests.datasets.pictures import noise, one_line


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def archive(path: Path, members: dict[str, bytes]) -> str:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return md5(path.read_bytes())


@pytest.fixture
def server(tmp_path, monkeypatch):
    """(folder that is served, its address, the paths that were asked for)."""
    folder, asked = tmp_path / "served", []
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked.append(self.path)

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{httpd.server_port}/", asked
        httpd.shutdown()


def stand_in_cifar(name, kind, folder, address, monkeypatch):
    x, y = noise(30, 32, 32, 3), np.arange(30) % 10
    labels = "fine_labels" if name == "cifar100" else "labels"
    train, test, meta = kind.train_list[0][0], kind.test_list[0][0], kind.meta["filename"]
    members = {meta: pickle.dumps({kind.meta["key"]: []})}
    for batch, where in ((train, slice(0, 20)), (test, slice(20, 30))):
        members[batch] = pickle.dumps({"data": x[where].transpose(0, 3, 1, 2).reshape(-1, 3072), labels: y[where].tolist()})
    monkeypatch.setattr(kind, "url", address + kind.filename)
    packed = archive(folder / kind.filename, {f"{kind.base_folder}/{n}": c for n, c in members.items()})
    monkeypatch.setattr(kind, "tgz_md5", packed)
    monkeypatch.setattr(kind, "train_list", [[train, md5(members[train])]])
    monkeypatch.setattr(kind, "test_list", [[test, md5(members[test])]])
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": md5(members[meta])})
    return x, y


def stand_in_stl10(name, kind, folder, address, monkeypatch):
    x, y = noise(30, 96, 96, 3), np.arange(30) % 10
    parts, members = {"train": slice(0, 20), "test": slice(20, 30)}, {}
    for part, where in parts.items():
        members[f"{part}_X.bin"] = x[where].transpose(0, 3, 2, 1).tobytes()  # columns first, as the set has it
        members[f"{part}_y.bin"] = (y[where] + 1).astype(np.uint8).tobytes()
    monkeypatch.setattr(kind, "url", address + kind.filename)
    packed = archive(folder / kind.filename, {f"{kind.base_folder}/{n}": c for n, c in members.items()})
    monkeypatch.setattr(kind, "tgz_md5", packed)
    for part in parts:
        monkeypatch.setattr(kind, f"{part}_list", [[n, md5(c)] for n, c in members.items() if n.startswith(part)])
    return x, y


def stand_in_fashion_mnist(name, kind, folder, address, monkeypatch):
    x, y = noise(30, 28, 28), np.arange(30) % 10
    resources = []
    for part, where in (("train", slice(0, 20)), ("t10k", slice(20, 30))):
        for what, array in (("images-idx3", x[where]), ("labels-idx1", y[where].astype(np.uint8))):
            header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
            content = gzip.compress(header + array.tobytes())
            (folder / f"{part}-{what}-ubyte.gz").write_bytes(content)
            resources.append((f"{part}-{what}-ubyte.gz", md5(content)))
    monkeypatch.setattr(kind, "mirrors", [address])
    monkeypatch.setattr(kind, "resources", resources)
    return x, y


def stand_in_svhn(name, kind, folder, address, monkeypatch):
    from scipy.io import savemat

    x, y = noise(30, 32, 32, 3), np.arange(30) % 10
    listed = dict(kind.split_list)
    for part, where in (("train", slice(0, 20)), ("test", slice(20, 30))):
        file = folder / kind.split_list[part][1]
        labels = np.where(y[where] == 0, 10, y[where])[:, None].astype(np.uint8)  # 10 stands for the digit 0
        savemat(file, {"X": x[where].transpose(1, 2, 3, 0), "y": labels})
        listed[part] = [address + file.name, file.name, md5(file.read_bytes())]
    monkeypatch.setattr(kind, "split_list", listed)
    return x, y


STAND_INS = {
    "cifar10": ("CIFAR10", stand_in_cifar),
    "cifar100": ("CIFAR100", stand_in_cifar),
    "stl10": ("STL10", stand_in_stl10),
    "fashion_mnist": ("FashionMNIST", stand_in_fashion_mnist),
    "svhn": ("SVHN", stand_in_svhn),
}


def stand_in(name, server, monkeypatch):
    from torchvision import datasets as hub

    class_name, make = STAND_INS[name]
    folder, address, _ = server
    return make(name, getattr(hub, class_name), folder, address, monkeypatch)


@pytest.mark.parametrize("name", STAND_INS)
def test_published_sets_are_downloaded_with_progress_once(name, server, home, monkeypatch, capfd):
    x, y = stand_in(name, server, monkeypatch)
    told = []
    data = datasets.load(name, x.shape[1], lambda what, share: told.append((what, share)))
    expected = np.broadcast_to(x.reshape(*x.shape[:3], -1), (*x.shape[:3], 3))
    assert np.array_equal(data.images(range(30)), expected)
    assert np.array_equal(data.labels(range(30)), y)
    assert (len(data.x_train), len(data.x_test)) == (20, 10)
    assert data.classes == datasets.info(name).classes
    assert ("downloading", 1.0) in [(what.split()[0], share) for what, share in told]
    assert capfd.readouterr() == ("", "")
    asked = len(server[2])
    assert asked > 0
    assert len(datasets.load(name, 16).x_train) == 20  # another size needs no second download
    assert len(server[2]) == asked
    assert not list(home.rglob("*.part"))


def test_without_a_network_the_error_says_what_failed_and_where_to_put_the_file(server, home, monkeypatch):
    stand_in("cifar10", server, monkeypatch)
    (server[0] / "cifar-10-python.tar.gz").unlink()
    with pytest.raises(ValueError) as error:
        datasets.load("cifar10", 32)
    one_line(error, "cifar10: could not download", server[1], "File not found", str(home / "downloads"))
    assert not list(home.rglob("*.tar.gz*"))


def test_a_download_that_is_not_what_was_published_is_refused(server, home, monkeypatch):
    stand_in("cifar10", server, monkeypatch)
    (server[0] / "cifar-10-python.tar.gz").write_bytes(b"a login page")
    with pytest.raises(ValueError) as error:
        datasets.load("cifar10", 32)
    one_line(error, "checksum differs")
    assert not list(home.rglob("*.tar.gz*"))


def test_where_there_is_no_room_for_a_download_nobody_is_told_to_look_at_the_network(server, home, monkeypatch, request):
    stand_in("cifar10", server, monkeypatch)
    request.getfixturevalue("small_files")
    with pytest.raises(ValueError) as error:
        datasets.load("cifar10", 32)
    one_line(error, "cifar10: ", "cifar-10-python.tar.gz.part in", str(home / "downloads"), "takes more than", "are free")
    assert "network" not in str(error.value) and not list(home.rglob("*.tar.gz*"))


def test_a_file_put_there_by_hand_is_used(server, home, monkeypatch):
    x, _ = stand_in("cifar10", server, monkeypatch)
    (home / "downloads").mkdir(parents=True)
    (server[0] / "cifar-10-python.tar.gz").rename(home / "downloads" / "cifar-10-python.tar.gz")
    assert np.array_equal(datasets.load("cifar10", 32).images(range(30)), x)
    assert server[2] == []


@pytest.mark.parametrize("kept", [0, 3, 10, 16, 2000])
def test_unpacking_that_was_cut_off_is_done_again(kept, server, home, monkeypatch):
    _, y = stand_in("fashion_mnist", server, monkeypatch)
    datasets.load("fashion_mnist", 28)
    asked = len(server[2])
    for name in ("train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (raw,) = home.rglob(name)
        os.truncate(raw, min(kept, raw.stat().st_size - 1))
    data = datasets.load("fashion_mnist", 16)
    assert np.array_equal(data.labels(range(30)), y) and len(data.x_train) == 20
    assert len(server[2]) == asked, "the archives are there"


def test_archives_that_hold_something_else_are_told_in_words(server, home, monkeypatch):
    from torchvision.datasets import FashionMNIST

    stand_in("fashion_mnist", server, monkeypatch)
    name = FashionMNIST.resources[0][0]
    content = gzip.compress(b"\0\0\x08\x03 cut short")
    (server[0] / name).write_bytes(content)
    monkeypatch.setattr(FashionMNIST, "resources", [(name, md5(content)), *FashionMNIST.resources[1:]])
    with pytest.raises(ValueError) as error:
        datasets.load("fashion_mnist", 28)
    one_line(error, "fashion_mnist: its files in", str(home / "downloads"), "cannot be read when unpacked")
