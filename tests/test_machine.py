"""What the machine does, as its tools tell it."""

from dashboard import machine


def test_a_gpu_as_nvidia_smi_tells_it():
    gpu = machine.parse_gpu("NVIDIA H100 80GB, PCIe, 37, 1024, 81559")
    assert gpu.name == "NVIDIA H100 80GB, PCIe" and gpu.load == 0.37 and gpu.memory_used == 2**30
    assert machine.parse_gpu("MIG device, [N/A], 100, 200").load is None
    assert machine.parse_gpu("No devices were found") is None
