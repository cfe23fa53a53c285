"""`python -m dashboard`: serve the app on this machine until interrupted. `python -m dashboard report`: write a report."""

import argparse
import errno
import os
import signal
import socket
import sys
from pathlib import Path

from sslcore.__main__ import Parser, with_root
from sslcore.wording import capital, printable

APP = Path(__file__).resolve().parent.parent / "streamlit_app.py"
ENDINGS = (".html", ".htm", ".md")  # of a report
LOOPBACK = ["localhost", "127.0.0.1", "::1"]


ACCESS = """\
Who may see and change what:
  On 127.0.0.1, where nobody can reach it but who is logged in on this machine, readers may do everything. With
  Streamlit's login set up ([auth] in .streamlit/secrets.toml), .streamlit/access.toml (or $TRIPTYCH_ACCESS) lists who may
  view and who may change, by e-mail address or @domain; who is not listed may do nothing. On any other address, or with
  --host, and without a login, the dashboard is read-only unless --trust-network is given. From a browser, data sets are
  opened in the folders that $TRIPTYCH_DATA_ROOTS names, with colons between; on 127.0.0.1 without a login also in the home
  folder, in the one from which the dashboard was started, and among temporary files. The README says more.
"""


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    if root := getattr(options, "root", None):
        os.environ["TRIPTYCH_EXPERIMENTS"] = str(Path(root).resolve())
    try:
        return options.do(options)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # nobody reads the words
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        print(f"python -m dashboard: error: {printable(str(error))}", file=sys.stderr)
        return 2


def parser() -> Parser:
    root = with_root()
    main = Parser(
        prog="python -m dashboard",
        description="Serve the app on this machine until interrupted.",
        epilog=ACCESS,
        parents=[root],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    main.add_argument("--port", type=int, default=8501, help="port (default %(default)s)")
    main.add_argument(
        "--address",
        default="127.0.0.1",
        help="address to listen on, such as 0.0.0.0 for all of this machine's (default %(default)s)",
    )
    main.add_argument(
        "--host",
        metavar="NAME",
        action="append",
        default=[],
        help="a further name by which browsers reach it, such as a proxy's; may be repeated",
    )
    main.add_argument(
        "--trust-network", action="store_true", help="let everyone who can reach it change everything, without a login"
    )
    main.set_defaults(do=serve)
    commands = main.add_subparsers(title="commands", metavar="COMMAND")
    summary = "write an experiment's report, one file that opens anywhere"
    sub = commands.add_parser("report", help=summary, description=f"{capital(summary)}.", parents=[root])
    sub.add_argument("experiment", metavar="EXPERIMENT")
    sub.add_argument("--out", metavar="FILE", type=Path, help="default: EXPERIMENT.html, or EXPERIMENT.md, in this folder")
    sub.add_argument(
        "--format",
        choices=["html", "md"],
        help="a page with figures, or Markdown for a wiki (default: by FILE's ending, else html)",
    )
    sub.set_defaults(do=report)
    return main


def serve(options: argparse.Namespace) -> int:
    if not 1 <= options.port <= 65535:
        parser().error(f"--port {options.port}: choose a number from 1 to 65535")
    try:
        bind(options.address, options.port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            parser().error(f"port {options.port} is taken; choose another with --port (or make app PORT=...)")
        parser().error(f"--address {options.address} --port {options.port}: cannot listen there: {error.strerror}")
    except UnicodeError:  # of the encoding of host names
        parser().error(f"--address {options.address}: this cannot be the name of a machine")
    shown = next(iter(options.host), options.address if options.address not in ("0.0.0.0", "::") else socket.gethostname())
    if ":" in shown and not shown.startswith("["):
        shown = f"[{shown}]"  # as an address of version 6 stands in a URL
    settings = ["--server.port", str(options.port), "--server.address", options.address, "--browser.serverAddress", shown]
    for name in [*options.host, *(LOOPBACK if options.host else [])]:
        settings += ["--server.allowedHosts", name]
    os.environ["TRIPTYCH_TRUST_NETWORK"] = "1" if options.trust_network else ""

    from click.exceptions import Abort
    from streamlit.web import cli

    try:
        return cli.main(["run", str(APP), *settings], prog_name="streamlit", standalone_mode=False) or 0
    except Abort:  # Ctrl-C: "until interrupted" is over
        return 0


def bind(address: str, port: int) -> None:
    """Listen there for a moment. Raises OSError where that cannot be done."""
    family, kind, protocol, _, where = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(where)


def report(options: argparse.Namespace) -> int:
    from dashboard import report
    from sslcore.experiment import Store
    from sslcore.files import check_place, replacing

    store = Store()
    ending = options.out.suffix.lower() if options.out else ""
    form = options.format or ("md" if ending == ".md" else "html")
    try:
        if not options.format and ending not in ("", *ENDINGS):
            raise ValueError(
                f"--out {options.out}: name a file that ends in {', '.join(ENDINGS)}, or say which --format it has (a PDF: print "
                "the page)"
            )
        experiment = store.whole(options.experiment, "a report is of a whole experiment; name it without the run")
        out = options.out or Path(f"{experiment.name}.{form}")
        check_place(out, "--out")
        text = report.markdown(experiment) if form == "md" else report.html(experiment)
        with replacing(out) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except (ValueError, OSError) as error:
        print(f"python -m dashboard: error: {printable(str(error))}", file=sys.stderr)
        return 2
    print(out, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
