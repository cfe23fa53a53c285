"""Energy: the driver's counter, read through a library with NVML's own signatures, since a GPU is not everywhere."""

import shutil
import subprocess

import pytest

from sslcore.energy import Meter

NVML = """
char *getenv(const char *name);  /* of this process's libc: a machine with a compiler may lack its headers */
int strncmp(const char *one, const char *other, unsigned long most);
static unsigned long long taken;
int nvmlInit_v2(void) { return getenv("NO_DRIVER") ? 9 : 0; }
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
    *device = (void *)uuid;
    return strncmp(uuid, "GPU-", 4) ? 2 : 0;
}
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *millijoules) {
    if (getenv("NO_COUNTER")) return 3;
    *millijoules = (1ULL << 32) - 4000 + (taken += 1500);
    return 0;
}
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("nvml")
    (folder / "nvml.c").write_text(NVML)
    subprocess.run([compiler, "-shared", "-fPIC", "-nostdlib", "-o", folder / "libnvml.so", folder / "nvml.c"], check=True)
    return str(folder / "libnvml.so")


def test_what_lies_between_lap_and_start_is_left_out(driver):
    meter = Meter(["GPU-a"], driver)
    for _ in range(2):  # the counter grows by 1.5 J a reading
        meter.start()
        meter.lap()
        meter.lap()
        meter.read()
    assert meter.joules == pytest.approx(2 * 2 * 1.5)


def test_several_gpus_are_added(driver):
    meter = Meter(["GPU-a", "GPU-b"], driver)
    meter.start()
    meter.lap()
    assert meter.joules == pytest.approx(2 * 2 * 1.5)


@pytest.mark.parametrize(
    "uuids, library", [([], None), (["GPU-a"], "libnot-there.so"), (["GPU-a"], "libc.so.6"), (["MIG-a"], None)]
)
def test_where_there_is_no_counter_nothing_is_measured(driver, uuids, library):
    meter = Meter(uuids, library or driver)
    meter.start()
    meter.lap()
    assert meter.joules is None


def test_a_counter_that_fails_once_makes_all_of_it_unknown(driver, monkeypatch):
    meter = Meter(["GPU-a"], driver)
    meter.start()
    monkeypatch.setenv("NO_COUNTER", "1")
    assert Meter(["GPU-a"], driver).joules is None
    meter.lap()
    monkeypatch.delenv("NO_COUNTER")
    meter.lap()
    assert meter.joules is None


def test_a_counter_that_fails_where_counting_begins_does_not_count_from_when_the_driver_was_loaded(driver, monkeypatch):
    meter = Meter(["GPU-a"], driver)
    monkeypatch.setenv("NO_COUNTER", "1")
    meter.start()
    monkeypatch.delenv("NO_COUNTER")
    meter.lap()
    assert meter.joules is None


def test_a_driver_that_does_not_answer_is_no_counter(driver, monkeypatch):
    monkeypatch.setenv("NO_DRIVER", "1")
    assert Meter(["GPU-a"], driver).joules is None
