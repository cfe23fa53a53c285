"""Several processes train what one would: real ones, over gloo on the CPU."""

import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from sslcore import datasets, ranks, worker
from sslcore.augment import Views
from sslcore.config import ConfigError, resolve
from sslcore.evaluate.final import FinalEvaluation
from sslcore.experiment import Run, Spec, Store
from sslcore.training import Training, channel_statistics, initial, pick_precision
from tests.waiting import until, works

ROOT = Path(__file__).parents[1]
STEPS, FEW_STEPS = 7, 3  # of the methods as they are, and of their variants
WORLD = 2
COMMON = {
    "image_size": 16,
    "batch_size": 16,
    "epochs": 4,
    "warmup_epochs": 0,
    "head.hidden": 32,
    "head.dim": 16,
    "device": "cpu",
} | {
    "augment.blur": 0.5,
    "moco.queue_size": 50,
    "moco.bn_splits": 4,  # two groups in each of two processes
}
CASES = {
    "moco": {"method": "moco"},
    "moco, plain BN, symmetric": {"method": "moco", "moco.bn_splits": 1, "moco.symmetric": True},
    "moco, memory bank": {"method": "moco", "moco.negatives": "memory_bank", "moco.queue_size": 40},
    "moco, in-batch negatives": {"method": "moco", "moco.negatives": "batch"},
    "simclr": {"method": "simclr"},
    "simclr, LARS, few negatives": {"method": "simclr", "optimizer": "lars", "simclr.negatives": 9},
    "simclr, micro-batches": {"method": "simclr", "micro_batch_size": 4},
    "byol": {"method": "byol", "augment.solarize": 0.2},
    "supervised": {"method": "supervised"},
}


def steps(dataset: str, devices: int) -> dict[str, dict]:
    """Of each case: the losses of some steps and the last one's rows, the first step's gradient, and the state after them."""
    found = {}
    for name, settings in CASES.items():
        config = resolve({"dataset": dataset, **COMMON, **settings, "devices": devices})
        training = Training(config, datasets.load(dataset, 16), torch.device("cpu"))
        losses, gradient, views = [], {}, training.views
        if config.micro_batch_size:
            training.method.eval()  # BatchNorm sees the micro-batches of all processes together, and one process's alone
        training.method.double()  # in float32 some steps multiply the last digit's noise
        training.views = lambda images, second=False, views=views: views(images, second).double()
        for _ in range(STEPS if name == config.method else FEW_STEPS):
            loss, rows = training.take_step()
            losses.append(loss)
            gradient = gradient or {n: p.grad.clone() for n, p in training.method.named_parameters() if p.grad is not None}
        found[name] = {"losses": torch.stack(losses), "rows": rows, "gradient": gradient, "state": training.method.state_dict()}
    return found


def together(code: str, *arguments: str) -> None:
    """Run Python code in two processes that meet each other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    meeting = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(WORLD),
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
    }
    code = f"from sslcore import distributed; distributed.join('cpu')\n{code}"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, *arguments], env=os.environ | meeting | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        )
        for rank in range(WORLD)
    ]
    assert [process.wait(300) for process in processes] == [0] * WORLD


@pytest.fixture(scope="module")
def single(shapes):
    return steps(shapes, 1)


@pytest.fixture(scope="module")
def double(shapes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("double")
    together(
        "import sys, torch; from test_distributed import steps\n"
        "torch.save(steps(sys.argv[1], 2), f'{sys.argv[2]}/{distributed.rank()}.pt')",
        shapes,
        str(folder),
    )
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_take_the_steps_of_one(single, double, case):
    """Loss, gradient, and steps of more than an epoch: gathered rows, labels, queue, shuffled keys, augmentations, BatchNorm."""
    for one in (rank[case] for rank in double):
        torch.testing.assert_close(one, single[case], atol=1e-5, rtol=1e-5)
    for name, value in double[0][case]["state"].items():  # both ranks hold the same, the queue included
        assert torch.equal(value, double[1][case]["state"][name]), name


# -- The process that holds the run ------------------------------------------------


def two_processes(name: str, dataset: str, **settings) -> Run:
    config = resolve(
        {
            "dataset": dataset,
            **COMMON,
            "devices": 2,
            "method": "moco",
            "evaluate.log_every": 1,
            "evaluate.sample": 21,
            "evaluate.labels": False,
            **settings,
        }
    )
    return Store().create(name, Spec(title=name), {"run": config}).run("run")


def start(run: Run) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "sslcore", "train", str(run.path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT
    )


def ranks_of(process: subprocess.Popen) -> dict[str, psutil.Process]:
    """The live ranks below a process, by number."""
    below = psutil.Process(process.pid).children(recursive=True)
    ranks = {}
    for rank in below:
        with suppress(psutil.NoSuchProcess):  # it ends just now, or is a zombie
            if "rank" in rank.cmdline() and works(rank):
                ranks[rank.environ()["RANK"]] = rank
    return ranks


def test_a_dead_rank_interrupts_the_run_and_resume_goes_on_to_the_same_end(shapes, tmp_path, monkeypatch):
    """SIGKILL of a rank, and of the holder, in the life of one run; at its end two processes measure what one would."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("TRIPTYCH_CHECKPOINT_SECONDS", "0.2")
    run = two_processes("mortal", shapes, epochs=12, **{"evaluate.knn_every": 12})
    process = start(run)
    until(lambda: run.checkpoint_file.exists() and len(run.metrics()) > 3)
    assert run.status().state == "running" and run.status().pid == process.pid
    everyone = psutil.Process(process.pid).children(recursive=True)
    listening = [one.laddr.ip for own in everyone for one in own.net_connections() if one.status == psutil.CONN_LISTEN]
    assert set(listening) <= {"127.0.0.1"}, "nobody else on the network takes part"
    victim = ranks_of(process)["1"]
    victim.kill()
    assert process.wait(60) == worker.FAILED
    status = run.recorded_status()
    assert status.state == "interrupted" and "ended from outside" in status.error and status.stage == "pretrain"

    assert not list(tmp_path.iterdir()), "nothing of it stays behind"

    process = start(run)
    until(lambda: run.recorded_status().attempt == 2 and len(ranks_of(process)) == 2)
    orphans = ranks_of(process).values()
    process.kill()
    process.wait()
    assert run.status().state == "interrupted"
    until(lambda: not any(map(works, orphans)), 60)  # none writes on

    assert start(run).wait(300) == worker.FINISHED, run.log_tail()
    assert run.status().state == "finished" and run.status().attempt == 3 and run.status().progress == 1
    assert "resumed after step" in run.log_tail()
    steps = [row["step"] for row in run.metrics() if "loss" in row]
    assert steps == list(range(1, 73)), "each step once, whoever took it"
    assert run.results()["cost"]["device"].endswith("2 processes") and run.umap_file.exists()

    data = datasets.load(shapes, 16)
    encoder = initial(run.config, len(data.x_train), 3).encoder
    encoder.load_state_dict(load_file(run.encoder_file))
    views = Views(run.config.augment, *channel_statistics(data.x_train))
    alone = FinalEvaluation(run.config, data, views, pick_precision(run.config, torch.device("cpu"))).results(
        encoder, initial(run.config, len(data.x_train), 3).encoder
    )[0]
    for name, value in alone["geometry"].items():
        assert run.results()["geometry"][name] == pytest.approx(value, abs=1e-3)
    for name in ("linear", "knn"):
        assert run.results()[name]["accuracy"] == pytest.approx(alone[name]["accuracy"], abs=0.03)


def test_what_one_rank_cannot_do_fails_the_run_with_its_words(shapes, tmp_path):
    copy = tmp_path / "gone.npz"
    copy.write_bytes(Path(shapes).read_bytes())
    run = two_processes("gone", str(copy))
    copy.unlink()
    assert start(run).wait(300) == worker.FAILED
    assert run.status().state == "failed" and "gone.npz" in run.status().error and "\n" not in run.status().error


@pytest.mark.parametrize("closed", ["", ">&-", "2>&-", ">&- 2>&-"])
def test_a_process_leaves_with_its_code_wherever_its_words_go(closed):
    """A rank that ended with another one after all would take the others with it."""
    code = "from sslcore.endings import leave; leave(3)"
    assert subprocess.run(f'{sys.executable} -c "{code}" {closed}', shell=True, cwd=ROOT).returncode == 3


@pytest.mark.parametrize(
    ("nodelist", "first"),
    [("gpu[03-05,9],login", "gpu03"), ("a", "a"), ("n[7,9-11]", "n7"), ("rack1-[2-3]-x[1-9],b", "rack1-2-x1"), ("a,b[1-2]", "a")],
)
def test_the_nodes_of_a_job_meet_on_the_first(nodelist, first):
    assert ranks.first_host(nodelist) == first


def test_a_job_of_several_nodes_starts_its_share_of_processes_on_each(shapes):
    run = two_processes("nodes", shapes)
    job = {
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_JOB_ID": "41",
        "SLURM_STEP_NUM_NODES": "2",
        "SLURM_NODEID": "1",
        "SLURM_STEP_NODELIST": "n[1-2]",
    }
    command = ranks.command(run, job)
    assert command[0] == "srun" and "--nodes=2" in command and command[-3:] == ["node", "1", str(run.path)]
    (place,) = ranks.places(1, job)
    assert place.items() >= {"MASTER_ADDR": "n1", "RANK": "1", "LOCAL_RANK": "0", "WORLD_SIZE": "2"}.items()
    assert ranks.MEETING not in place and ranks.command(run, {})[0] == sys.executable
    with pytest.raises(ValueError, match="multiple of 3"):
        ranks.command(run, {"SLURM_JOB_NUM_NODES": "3"})


def test_a_batch_that_cannot_be_shared_out_is_told_beside_the_field():
    for devices, batch in ((3, 16), (16, 16)):
        with pytest.raises(ConfigError) as error:
            resolve({"devices": devices, "batch_size": batch})
        assert list(error.value.problems) == ["devices"] and "batch_size, 16" in error.value.problems["devices"]
