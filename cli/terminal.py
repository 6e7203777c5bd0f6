"""Scripts at the terminal: how they end, how much they print, and a little colour.

Imports nothing heavy, so that `--help` and usage errors appear at once.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TextIO

from system.console import Output, Verbosity, is_one_of_several, nowhere
from system.errors import InputError, RunError, Stopped, one_line


def add_verbosity_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("terminal").add_mutually_exclusive_group()
    group.add_argument("--quiet", action="store_true", help="print nothing but errors")
    group.add_argument(
        "--verbose",
        action="store_true",
        help="print versions and all options first, and a traceback if there is an error",
    )


def set_verbosity(args: argparse.Namespace) -> None:
    """Set how much is printed, as `--quiet` or `--verbose` ask."""
    Verbosity.quiet, Verbosity.verbose = args.quiet, args.verbose
    if args.quiet:
        sys.stdout = nowhere()
    if args.verbose:
        from importlib.metadata import version

        print(f"Python {platform.python_version()}, {platform.platform()}")
        print(", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "matplotlib")))
        for name, value in sorted(vars(args).items()):
            if value is not None:
                print(f"  {name} = {value}")


def prefer_own_modules() -> None:
    """Let Python find this project's modules before others of the same names, such as `datasets`.

    Python looks first in the folder of the script that it runs, but in another place with `-m` and
    in commands that pip installs.
    """
    home = str(Path(__file__).resolve().parent.parent)
    if sys.path[0] != home:
        sys.path.insert(0, home)


def prepare_process() -> None:
    """Make a script as independent as possible of where and how it was started."""
    prefer_own_modules()
    # If a standard stream is closed, the next file to be opened would get its number, and with it
    # everything that is printed to the stream.
    while (file := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(file)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, nowhere())
        elif stream is getattr(sys, f"__{name}__"):
            output = Output(
                stream.buffer,
                encoding=stream.encoding,
                errors="backslashreplace",  # a file's name need not be text
                line_buffering=stream.line_buffering,
                write_through=stream.write_through,
            )
            setattr(sys, name, output)
    # Pictures do not depend on settings in the environment or in a file in the folder.
    os.environ["MPLBACKEND"], os.environ["MATPLOTLIBRC"] = "agg", os.devnull


def red(text: str, stream: TextIO) -> str:
    """The text in red if the stream is a terminal (and NO_COLOR is not set)."""
    plain = not stream.isatty() or "NO_COLOR" in os.environ
    return text if plain else f"\033[31m{text}\033[0m"


def run(main: Callable[[], None]) -> NoReturn:
    """Run a script's main function and end the process with the right exit code.

    0 done, 1 the run failed, 2 wrong usage or input, 130 interrupted, 143 terminated. Every error
    is reported in one line on stderr; `--verbose` adds its place in the code.
    """
    prepare_process()
    Verbosity.verbose = "--verbose" in sys.argv[1:]  # reading the options can fail, too
    try:
        main()
        code = 0
    except InputError as error:
        code = fail(2, str(error))
    except RunError as error:
        code = fail(1, str(error))
    except Stopped as error:
        code = 128 + error.signal
        if str(error):
            print(error, file=sys.stderr)
    except KeyboardInterrupt:
        code = fail(130, "interrupted")
    except Exception as error:
        code = fail(1, explain(error))
    if is_one_of_several():
        # The threads that connect processes can abort this process while the interpreter shuts down
        # (pytorch/pytorch#179291), which would look like a failure of the job.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def fail(code: int, message: str) -> int:
    if Verbosity.verbose:
        traceback.print_exc()
    error = red("error:", sys.stderr)
    print(f"{Path(sys.argv[0]).name}: {error} {one_line(message)}", file=sys.stderr)
    return code


def explain(error: Exception) -> str:
    """The message for an error that no other part of the program has explained."""
    text = str(error)
    if isinstance(error, ModuleNotFoundError):
        python = Path(".venv", "Scripts" if os.name == "nt" else "bin", "python")
        return (
            f"{sys.executable} has no module {error.name}. In the folder of the scripts, set up a"
            f" Python that has all they need: 'python3 -m venv .venv', then '{python} -m pip"
            f" install -r requirements.txt'; start the scripts with {python}"
        )
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror or error}{where}"
    if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate" in text:
        return "out of memory: use a smaller --batch_size, a smaller network, or --device cpu"
    if isinstance(error, RuntimeError) and "by peer" in text:  # gloo, when a connection breaks
        return "another process of this job has ended; its own message gives the reason"
    return f"unexpected {type(error).__name__}: {text} (--verbose shows the place in the code)"
