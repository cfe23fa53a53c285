"""What the machine does, as its tools tell it."""

from types import SimpleNamespace

from streamlit.testing.v1 import AppTest

from dashboard import machine


def test_a_gpu_as_nvidia_smi_tells_it():
    gpu = machine.parse_gpu("NVIDIA H100 80GB, PCIe, 37, 1024, 81559")
    assert gpu.name == "NVIDIA H100 80GB, PCIe" and gpu.load == 0.37 and gpu.memory_used == 2**30
    assert machine.parse_gpu("MIG device, [N/A], 100, 200").load is None
    assert machine.parse_gpu("No devices were found") is None


def test_the_number_of_a_gpu_stands_apart_from_what_it_holds(monkeypatch):
    """Also where it does not tell its load, as parts of a GPU do not."""
    gpus = tuple(machine.GPU("part", load, 3e9, 8e9) for load in (None, 0.5))
    monkeypatch.setattr(machine, "load", lambda: machine.Load(0.1, 2, 1e9, 4e9, gpus))

    def page():
        from dashboard import machine
        from sslcore.experiment import Store

        machine.draw(Store())

    said = [bar.proto.text for bar in AppTest.from_function(page).run().get("progress")]
    assert [text.partition(" GB of")[0] for text in said[2:]] == ["GPU 0: 3.0", "GPU 1: 50%, 3.0"]


def test_a_load_is_a_share_of_all_cores_and_memory_in_use_is_what_is_not_available(monkeypatch):
    monkeypatch.setattr("psutil.cpu_percent", lambda interval: 37.0)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=8e9, available=2e9))
    monkeypatch.setattr(machine, "gpus", lambda: ())
    machine.load.clear()
    now = machine.load()
    machine.load.clear()
    assert (now.cpu, now.memory_used, now.memory_total) == (0.37, 6e9, 8e9)
