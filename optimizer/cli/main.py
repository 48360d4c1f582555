"""The command `allocate` and its exit codes."""

from __future__ import annotations

import gc
import io
import sys
from importlib import import_module
from typing import Any

import click

from optimizer.errors import AllocationError, UsageError

__all__ = ["command", "main"]

COMMANDS = {
    "backends": "ask",
    "compile": "ask",
    "diff": "nightly",
    "estimate": "ask",
    "generate": "generate",
    "import": "generate",
    "history": "nightly",
    "new": "files",
    "nightly": "nightly",
    "schema": "files",
    "simulate": "simulate",
    "solve": "solve",
    "validate": "ask",
    "verify": "ask",
}
SHORT = {
    "backends": "List solver backends and whether they work here.",
    "compile": "Write the whole model as MPS or LP, and count candidates.",
    "diff": "Tell what changes from one plan to another.",
    "estimate": "Predict latency and throughput of given points, with bands.",
    "generate": "Make a synthetic instance of any size, for measuring.",
    "history": "Show what the nightly job did.",
    "import": "Turn another tool's configuration into an instance.",
    "new": "Start a folder with an instance and its catalogs.",
    "nightly": "Re-plan every night from new prices and demand.",
    "schema": "Print the JSON Schema of an instance or a plan.",
    "simulate": "Simulate a plan's pools request by request, against their targets.",
    "solve": "Choose hardware, counts, precision and compression for an instance.",
    "validate": "Check an instance and its catalogs.",
    "verify": "Check a plan against its instance from first principles.",
}


class _Lazy(click.Group):
    """A group whose commands are imported when they are run, and listed without being imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        found: click.Command = getattr(import_module(f"optimizer.cli.{COMMANDS[name]}"), f"{name}_command")
        for option in found.params:
            if isinstance(option, click.Option) and option.envvar is None:
                flag = max(option.opts, key=len).strip("-").replace("-", "_")
                option.envvar = f"ALLOCATE_{name}_{flag}".upper()  # by the flag's name: --format is ALLOCATE_SOLVE_FORMAT
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, SHORT[name]) for name in sorted(COMMANDS)])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from optimizer.problems import nearest

            raise click.UsageError(f"no command {args[0]!r}; {nearest(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)


def _version(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    from importlib.metadata import PackageNotFoundError, version

    if not wanted:
        return
    try:
        click.echo(f"allocate {version('allocate')}")
    except PackageNotFoundError:
        click.echo("allocate, a checkout that is not installed")
    ctx.exit()


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "ALLOCATE"})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version and exit.")
@click.option("--debug", is_flag=True, help="Show tracebacks and log what is done.")
@click.pass_context
def command(ctx: click.Context, debug: bool) -> None:
    """Choose accelerator type, count, precision and compression for ML workloads at the least total cost.

    First result: allocate solve instances/nlp.json
    """
    ctx.obj = {"debug": debug}
    if debug:
        import logging

        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, format="%(asctime)s %(name)s %(levelname)s %(message)s")


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit with the contract's code; never a traceback unless ``--debug`` asks for it."""
    arguments = sys.argv[1:] if args is None else args
    gc.set_threshold(200_000)  # a command is short; else the collector walks the catalogs again and again
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without box-drawing characters still gets its table
    try:
        code = command.main(arguments, prog_name="allocate", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        code = 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        code = 130
    except AllocationError as error:
        code = _told(error, arguments)
    except (BrokenPipeError, SystemExit):  # click's own way out when the reader of stdout has left
        _drop_stdout()
        code = 0
    except Exception as error:
        code = _bug(error, arguments)
    sys.exit(code if isinstance(code, int) else 0)


def _told(error: AllocationError, arguments: list[str]) -> int:
    if _is_debug(arguments):
        _print_traceback()
    if type(error).exit_code == 1:
        return _bug(error, arguments)
    click.echo(_printable(f"allocate: {error}"), err=True)
    return getattr(error, "code", error.exit_code)


def _bug(error: Exception, arguments: list[str]) -> int:
    """Say in one line that this is a bug, and where its report lies."""
    import tempfile
    import traceback

    if _is_debug(arguments):
        _print_traceback()
    try:
        handle, place = tempfile.mkstemp(prefix="allocate-bug-", suffix=".txt")
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as report:
            report.write(f"allocate {' '.join(arguments)}\n\n{error}\n\n" + "".join(traceback.format_exception(error)))
    except OSError as why:
        place = f"none, {why.strerror}; run again with --debug"
    first = str(error).splitlines()[0] if str(error) else ""
    click.echo(_printable(f"allocate: this is a bug: {type(error).__name__}: {first} (report: {place})"), err=True)
    return 1


def _is_debug(arguments: list[str]) -> bool:
    import os

    return "--debug" in arguments or os.environ.get("ALLOCATE_DEBUG", "").lower() in ("1", "true", "yes", "on")


def _printable(text: str) -> str:
    """Escape what would move a terminal's cursor or colour its text: messages quote files that others wrote."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def _print_traceback() -> None:
    import traceback

    traceback.print_exc()


def _drop_stdout() -> None:
    """Send what is left to nowhere, else Python complains at exit about the reader that left."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def emit(text: str, output: Any = None, *, quiet: bool = False) -> None:
    """Write the result to a file, whole or not at all, and to stdout unless it is quiet."""
    if output is not None:
        from optimizer.output import write_atomically

        write_atomically(output, text)
    elif not quiet:
        try:
            click.echo(text, nl=False)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise UsageError(f"stdout cannot be written: {error.strerror}") from None
