"""The store's trash: .trash/<when>-<any>/<experiment>[/<run>], each thing under its own path in a folder of its own.

Beside a run, .experiment.json says of which experiment it was: another may have the name by the time it is put back.
"""

import errno
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from sslcore.experiment import Experiment, Run, Store
from sslcore.files import read_object, write_json

TRASH_SECONDS = 7 * 24 * 3600.0
TRASH_STAMP = "%Y%m%d-%H%M%S"
OF = ".experiment.json"
HALF_MADE = (  # by a process that was killed; the last three as files.replacing calls what it writes
    ".new-*",
    ".import-*",
    "*/.new-*",
    ".slurm.yaml.????????",
    "*/.experiment.json.????????",
    "*/.sample-*.webp.????????",
)


@dataclass(frozen=True)
class Discarded:
    """Something in the trash."""

    thing: Experiment | Run  # where it lies now
    when: float  # it was put there, in seconds since 1970

    @property
    def id(self) -> str:
        """experiment or experiment/run, as it was called."""
        return self.thing.name if isinstance(self.thing, Experiment) else self.thing.id


def discard(store: Store, thing: Experiment | Run) -> Path:
    """Move to the store's trash, from where `restore` or a hand can move it back.

    Raises BlockingIOError where a process is training one of its runs.
    """
    trash = store.root / ".trash"
    with suppress(FileExistsError):
        trash.mkdir()
        trash.chmod(trash.stat().st_mode | 0o755)  # whatever the umask: others list the store's experiments, and these below them
    runs = [thing] if isinstance(thing, Run) else thing.runs()
    _let_open(2 * len(runs))
    with ExitStack() as held:
        for run in runs:
            try:
                held.enter_context(run.hold())
            except BlockingIOError:
                raise BlockingIOError(f"{run.id} is running") from None
        folder = Path(tempfile.mkdtemp(dir=trash, prefix=time.strftime(f"{TRASH_STAMP}-")))
        folder.chmod(0o755)
        kept = folder / thing.path.relative_to(store.root)
        kept.parent.mkdir(exist_ok=True)
        if isinstance(thing, Run):
            write_json(kept.with_name(OF), {"created": thing.experiment.spec().created})
        try:
            thing.path.rename(kept)
        except OSError as error:
            shutil.rmtree(folder)
            if error.errno == errno.EXDEV:  # a run of an experiment that is a link
                raise OSError(
                    f"{thing.id} lies on another disk than the store, and so out of reach of its trash; {thing.path.resolve()} "
                    "can be deleted by hand"
                ) from None
            raise
        if kept.is_symlink():  # a relative link would point elsewhere from here
            target = os.path.join(thing.path.parent, os.readlink(kept))
            kept.unlink()
            kept.symlink_to(os.path.normpath(target))
        return kept


def _let_open(count: int) -> None:
    """Let this process have so many more files open, as far as it may: each run that is held takes two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY:
        wanted = max(soft, count + 256)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def contents(store: Store) -> list[Discarded]:
    """What lies in the trash and can be put back, the latest first."""
    found = []
    for folder, when in _folders(store):
        for experiment in map(Experiment, _inside(folder)):
            whole = experiment.exists() and not (experiment.path / OF).exists()
            found += [Discarded(thing, when) for thing in ([experiment] if whole else experiment.runs())]
    return sorted(found, key=lambda discarded: discarded.when, reverse=True)


def _folders(store: Store) -> Iterator[tuple[Path, float]]:
    for folder in _inside(store.root / ".trash"):
        with suppress(ValueError):
            yield folder, time.mktime(time.strptime(folder.name[:15], TRASH_STAMP))


def _inside(folder: Path) -> list[Path]:
    """None of a folder that is not there or may not be read."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def restore(store: Store, discarded: Discarded) -> Experiment | Run:
    """Move back from the trash: a run to its experiment; an experiment under a free name where its own is taken.

    Raises ValueError, in one line, where the run's experiment is gone or another has its name, or where the run's is taken.
    """
    thing = discarded.thing
    if isinstance(thing, Experiment):
        taken = os.path.lexists(store.root / thing.name)
        back = store.experiment(store.free_name(thing.name) if taken else thing.name)
    else:
        back = store.experiment(thing.path.parent.name).run(thing.name)
        created = (read_object(thing.path.with_name(OF)) or {}).get("created")
        if not (back.experiment.exists() or (created is None and back.path.parent.is_dir())):
            raise ValueError(f"the experiment {back.path.parent.name} is not in the store; put it back first")
        if created is not None and created != back.experiment.read_spec().created:
            raise ValueError(
                f"the experiment {back.experiment.name} in the store is not the one that {thing.id} is of; rename its folder, "
                "and put that one back under its name first"
            )
        if os.path.lexists(back.path):
            raise ValueError(f"there is a run {back.id} again; rename it first")
    thing.path.rename(back.path)
    thing.path.with_name(OF).unlink(missing_ok=True)
    emptied = list(thing.path.relative_to(store.root / ".trash").parents)[:-1]
    with suppress(OSError):
        for folder in emptied:
            (store.root / ".trash" / folder).rmdir()
    return back


def empty(store: Store, kept_seconds: float = TRASH_SECONDS) -> None:
    """Delete for good what has lain in the trash for longer, and what a killed process left half made a week ago."""
    for folder, when in list(_folders(store)):
        if time.time() - when > kept_seconds:
            shutil.rmtree(folder, ignore_errors=True)
    for left in (path for pattern in HALF_MADE for path in store.root.glob(pattern)):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > TRASH_SECONDS:
                shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink()
