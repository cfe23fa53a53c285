"""The command line: `python -m sslcore --help` is the manual. What its commands do: commands.py."""

import argparse
import os
import signal
import sys
import textwrap
import typing
from collections.abc import Callable, Sequence

from sslcore import commands, plan
from sslcore.commands import PROGRAM
from sslcore.endings import leave
from sslcore.files import rights_told
from sslcore.launch import ENGINES
from sslcore.wording import capital, printable

MANUAL = """\
Train MoCo, SimCLR and BYOL on your images and keep what they learn as folders.

An experiment is a question and its runs; a run is one training with one config and one seed. Both are folders
under the store: experiments/ by default, or --root DIR, or the environment variable TRIPTYCH_EXPERIMENTS.
Downloaded and decoded data sets lie in TRIPTYCH_DATA (~/.cache/triptych).
"""
EXAMPLES = """\
examples:
  {p} launch photos --wait                                   the default comparison, with progress and a table
  {p} launch photos --vary method=simclr                     SimCLR alone
  {p} launch photos --vary batch_size=64,256 seed=0,1,2      a grid: every combination, each method
  {p} launch photos --set dataset=~/pictures image_size=64   your own images
  {p} launch my.yaml --name night --set epochs=200           a preset of your own
  {p} status night                                           how far its runs are
  {p} stop night/byol-bs256-s0                               with a checkpoint, to be resumed later
  {p} resume night                                           whatever of it was stopped, interrupted or failed
  {p} launch photos --engine slurm                           on a cluster; how it asks for nodes: {p} slurm
  {p} export night night.zip                                 to a teammate, who runs: {p} import night.zip
  {p} profile --set method=byol                              where a training step's time goes
  {p} options                                                everything that --set and --vary can change

"{p} COMMAND --help" tells more about a command. Exit codes: 0 done, 1 a run failed, did not finish
or could not be stopped, or Slurm or the agent did not answer, 2 bad input (nothing was started), 75 a run in the foreground
was stopped, with a checkpoint if it had begun to train, 130 Ctrl-C (runs that an agent trains go on).
"""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage before it."""

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None):
        for word in sys.argv[1:] if args is None else args:
            if word.startswith("--") and word.endswith("=--"):  # which argparse takes for no value
                self.error(f"{word}: -- is no value")
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> typing.NoReturn:
        program = " ".join(self.prog.split()[: len(PROGRAM.split())])  # without the command
        self.exit(2, f"{program}: error: {' '.join(message.split())}\n")


def with_root() -> argparse.ArgumentParser:
    """What every command takes, and the dashboard."""
    root = argparse.ArgumentParser(add_help=False)
    root.add_argument(
        "--root", metavar="DIR", default=argparse.SUPPRESS, help="the store (default: $TRIPTYCH_EXPERIMENTS, else experiments/)"
    )
    return root


def parser() -> argparse.ArgumentParser:
    root = with_root()
    style = {"formatter_class": argparse.RawDescriptionHelpFormatter, "parents": [root]}
    main = Parser(prog=PROGRAM, description=MANUAL, epilog=EXAMPLES.format(p=PROGRAM), **style)
    subparsers = main.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(do: Callable[[argparse.Namespace], int], summary: str, more: str = "") -> argparse.ArgumentParser:
        sub = subparsers.add_parser(
            do.__name__.rstrip("_"), help=summary, description=f"{capital(summary)}.\n\n{more}".strip(), **style
        )
        sub.set_defaults(do=do)
        return sub

    settable = {"nargs": "+", "action": "extend", "default": [], "metavar": "KEY=VALUE"}
    variable = settable | {"metavar": "KEY=A,B,C"}
    sub = command(
        commands.launch,
        "make an experiment from a preset and queue its runs",
        "A detached agent trains the runs, one after another; side by side on several GPUs, or where their threads are\n"
        "fewer than the cores. Closing the terminal does not stop them.\n"
        f'"{PROGRAM} presets" and "{PROGRAM} options" list what there is.\n'
        "--set and --vary replace what the preset says: --vary method=simclr runs SimCLR alone. Values are YAML.",
    )
    sub.add_argument(
        "preset", metavar="PRESET|FILE.yaml", help="a preset's name, or a YAML file with the keys of experiment.json"
    )
    sub.add_argument("--name", help="the experiment's folder (default: the preset's name, numbered where it is taken)")
    sub.add_argument("--title", help="its title on the screen")
    sub.add_argument("--set", help="fix settings: --set epochs=50 head.dim=64", **settable)
    sub.add_argument("--vary", help="vary settings, every combination a run: --vary batch_size=64,256 seed=0,1", **variable)
    sub.add_argument(
        "--engine",
        choices=ENGINES,
        default="local",
        help='what trains them: this machine (local, the default) or Slurm, see "slurm"',
    )
    sub.add_argument("--wait", action="store_true", help="show progress until all runs have ended, then a table of results")

    sub = command(
        commands.train,
        "train one run in the foreground, or go on from its checkpoint",
        "What every launcher starts. SIGTERM keeps a checkpoint of what has been trained, and ends with exit code 75.\nWith "
        "devices=N it starts N processes, in a Slurm job of several nodes an equal share on each, and records how\nthey end. "
        "While it trains it keeps a checkpoint every 30 s, or $TRIPTYCH_CHECKPOINT_SECONDS, more seldom\nwhere that takes "
        "long. A finished run is measured again.",
    )
    sub.add_argument(
        "run_folder", metavar="RUN_FOLDER", help="a run's folder or, where there is none such, EXPERIMENT/RUN of the store"
    )

    name = "EXPERIMENT[/RUN]"
    sub = command(commands.status, "list the experiments, or the runs of one and how far they are")
    sub.add_argument("name", metavar=name, nargs="?")
    sub = command(
        commands.stop,
        "stop queued and running runs, with a checkpoint to resume from (default: all of the store)",
        "A run that has not ended after a grace time (30 s, or $TRIPTYCH_STOP_GRACE seconds of the agent) is killed.",
    )
    sub.add_argument("names", metavar=name, nargs="*")
    sub = command(
        commands.resume,
        "queue runs again that were stopped, interrupted or failed (default: all of the store)",
        "They go on from their checkpoint or, without one, begin anew.",
    )
    sub.add_argument("names", metavar=name, nargs="*")
    sub.add_argument("--engine", choices=ENGINES, help="what trains them from now on (default: what did so before)")
    sub = command(
        commands.complete,
        "queue the runs of an experiment's grid that have no result",
        "Runs that were never made are made; stopped, interrupted and failed ones go on. With --add the grid grows first.",
    )
    sub.add_argument("name", metavar="EXPERIMENT")
    sub.add_argument(
        "--engine", choices=ENGINES, help="what trains them (default: Slurm where it trained one of them, else this machine)"
    )
    sub.add_argument("--add", help="more values for an axis: --add batch_size=32,512 seed=2", **variable)
    sub = command(commands.evaluate, "probe finished runs again, in the foreground (default: all that have finished)")
    sub.add_argument("names", metavar=name, nargs="*")
    sub = command(
        commands.transfer,
        "probe the encoders of finished runs on another data set, in the foreground",
        "The result is kept in each run's results.json.",
    )
    sub.add_argument("names", metavar=name, nargs="+")
    sub.add_argument("--to", metavar="DATASET", required=True, help="name or path of the data set to probe on")
    sub = command(
        commands.agent,
        "work on the store's queue in the foreground",
        "launch and resume start a detached agent by themselves; this is for looking at what one does. Ctrl-C does\nnot stop the "
        "runs. Variables such as TRIPTYCH_DATA are taken from where an agent was started, until it leaves.",
    )
    sub.add_argument("--idle", metavar="SECONDS", type=float, help="leave after so long without work (default 20; inf: stay)")
    sub = command(
        commands.slurm,
        "show, or change, how this store's runs are queued on a cluster",
        f'"{PROGRAM} launch PRESET --engine slurm" makes a grid one job array. What is not set is left to the cluster.\n'
        "A run that is preempted, or whose time is up, keeps a checkpoint and is queued again by itself; status, stop,\n"
        "resume and complete work as they do on one machine. The settings are kept in the store's slurm.yaml.",
    )
    sub.add_argument(
        "--set",
        help="--set partition=gpu time=8:00:00 gpu_type=a100 extra='[--constraint=nvlink]' set_up='module load cuda'",
        **settable,
    )
    sub = command(
        commands.export,
        "write an experiment to one zip file, to be sent and imported elsewhere",
        "Without --checkpoints the weights stay behind: the screen shows the same, and nothing can be resumed.",
    )
    sub.add_argument("experiment", metavar="EXPERIMENT")
    sub.add_argument("file", metavar="FILE.zip")
    sub.add_argument("--checkpoints", action="store_true", help="include the weights: checkpoint.pt and encoder.safetensors")
    sub = command(
        commands.import_,
        "add the experiment in a zip file to the store, under a free name",
        "Every file inside is checked, and nothing is unpickled; what is no experiment's is refused whole.",
    )
    sub.add_argument("file", metavar="FILE.zip")
    sub.add_argument("--look", action="store_true", help="only say what is inside")
    sub = command(commands.views, "draw what the network sees: images, each beside random views of it")
    sub.add_argument("--out", metavar="FILE", required=True, help="a .webp or a .png file")
    sub.add_argument("--set", help="settings such as dataset=digits augment.blur=0.5", **settable)
    sub = command(
        commands.profile,
        "show where the time of a training step goes",
        "Trains a few steps with the settings of a run, or the defaults, and --set; nothing is kept and no run is changed.",
    )
    sub.add_argument("run", metavar="EXPERIMENT/RUN", nargs="?")
    sub.add_argument("--set", help="settings such as method=byol encoder=resnet18", **settable)
    sub.add_argument("--steps", type=int, default=5, help="how many are measured, after some to warm up (default 5)")
    sub.add_argument("--trace", metavar="FILE.json", help="keep a trace, which chrome://tracing and Perfetto draw")
    sub = command(
        commands.memory,
        "say how much memory a training step of each run would take",
        textwrap.fill(f"{plan.MEMORY} Nothing is computed and no experiment is made.", 120),
    )
    sub.add_argument("preset", metavar="PRESET|FILE.yaml")
    sub.add_argument("--set", help="fix settings: --set encoder=resnet50 image_size=96", **settable)
    sub.add_argument("--vary", help="vary settings: --vary batch_size=256,1024", **variable)
    sub.add_argument("--json", action="store_true", help="as JSON, bytes by run")
    command(commands.presets, "list the presets that come with Triptych")
    command(commands.options, "list every setting: type, bounds, default, meaning")
    return main


def main(arguments: Sequence[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    args.root = getattr(args, "root", None)
    try:
        with rights_told():
            code = args.do(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # nobody reads on, as in `options | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left goes nowhere
        return 128 + signal.SIGPIPE
    except (ValueError, OSError, RuntimeError) as error:
        print(f"{PROGRAM}: error: {printable(str(error))}", file=sys.stderr)
        return 1 if isinstance(error, RuntimeError) else 2
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    # Python has no stream where it was closed (>&-), and the first file that is opened would get its number
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w", encoding="utf-8") for stream in (sys.stdout, sys.stderr))
    sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a letter of a title shows ? for it
    leave(main())
