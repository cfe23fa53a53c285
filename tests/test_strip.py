"""The picture of views beside the form."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from dashboard import strip
from sslcore import plan


def test_the_picture_depends_on_what_the_network_sees_and_on_nothing_else():
    def settings(**changes):
        return strip.settings_of(plan.resolve({"dataset": "digits", **changes}))

    assert settings(epochs=7, seed=3) == settings()
    same = plan.resolve({"dataset": "digits"}).model_copy(update={"method": "supervised"})
    assert strip.settings_of(same) == settings(), "every augmentation is named, whichever method has it as its own"
    assert settings(**{"augment.blur": 0.5}) != settings()
    assert settings(image_size=32) != settings()
    json.dumps(settings())


def test_the_picture_is_drawn_once_and_a_reason_is_given_where_it_cannot_be(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # a user without a name, as containers have
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    config = plan.resolve({"dataset": "digits"})
    path = strip.draw(config)
    drawn = path.stat().st_mtime_ns
    assert strip.draw(config) == path and path.stat().st_mtime_ns == drawn
    own = tmp_path / "own 😀 #1.npz"
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
    np.savez(own, x_train=images)
    changed = config.model_copy(update={"dataset": str(own)})
    before = strip.draw(changed)
    np.savez(own, x_train=255 - images)
    assert strip.draw(changed) != before, "other images under the same path"
    with pytest.raises(ValueError, match="no/such"):
        strip.draw(config.model_copy(update={"dataset": "/no/such"}))


def test_where_it_failed_the_last_line_is_the_reason_even_if_something_was_drawn(tmp_path, monkeypatch):
    def failed(command, **_):
        Path(command[command.index("--out") + 1]).write_bytes(b"half")
        return subprocess.CompletedProcess(command, 2, stderr="a warning\nno room on the disk\n")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("subprocess.run", failed)
    with pytest.raises(ValueError, match=r"^no room on the disk$"):
        strip.draw(plan.resolve({"dataset": "digits"}))
