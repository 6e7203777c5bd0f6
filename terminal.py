"""What a person at a terminal gets: how a script ends, how much it says, a little colour.

Imports nothing heavy, so that `--help` and wrong usage answer at once.
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

from errors import InputError, RunError, Stopped


class Voice:
    """How much a script says; `set_voice` changes it for the whole process."""

    quiet = False
    verbose = False


def add_voice_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("terminal").add_mutually_exclusive_group()
    group.add_argument("--quiet", action="store_true", help="print nothing but errors")
    group.add_argument(
        "--verbose",
        action="store_true",
        help="print versions and all options first, and where in the code an error came up",
    )


def set_voice(args: argparse.Namespace) -> None:
    """Speak as `--quiet` or `--verbose` ask for."""
    Voice.quiet, Voice.verbose = args.quiet, args.verbose
    if args.quiet:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # for as long as the process lives
    if args.verbose:
        from importlib.metadata import version

        print(f"Python {platform.python_version()}, {platform.platform()}")
        print(", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "matplotlib")))
        for name, value in sorted(vars(args).items()):
            if value is not None:
                print(f"  --{name} {value}")


def shows_bars(stream: TextIO) -> bool:
    """Whether progress bars belong on this stream: not in files, and not with `--quiet`."""
    return stream.isatty() and not Voice.quiet


def red(text: str, stream: TextIO) -> str:
    """The text in red where the stream is a terminal (and NO_COLOR is not set)."""
    plain = not stream.isatty() or "NO_COLOR" in os.environ
    return text if plain else f"\033[31m{text}\033[0m"


def is_one_of_several() -> bool:
    """Whether torchrun started this process together with others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def run(main: Callable[[], None]) -> NoReturn:
    """Run a script's main function and end the process with the exit code that fits.

    0 done, 1 the run failed, 2 wrong usage or input, 130 interrupted, 143 terminated. A
    user's mistake or a full disk gets a line on stderr; a traceback is for bugs in this program.
    """
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
    except (OSError, RuntimeError) as error:
        code = fail(1, explain_system_error(error))
    if is_one_of_several():
        # The threads that connect processes can abort this one while the interpreter is taken apart
        # (pytorch/pytorch#179291), which would look like a failure of the job.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def fail(code: int, message: str) -> int:
    if Voice.verbose:
        traceback.print_exc()
    error = red("error:", sys.stderr)
    print(f"{Path(sys.argv[0]).name}: {error} {message}", file=sys.stderr)
    return code


def explain_system_error(error: OSError | RuntimeError) -> str:
    """One line for a full disk or exhausted memory; anything else is a bug and is raised again."""
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror or error}{where}"
    if "out of memory" in str(error) or "can't allocate memory" in str(error):
        return "out of memory: lower --batch_size (or --base_channels), or use --device cpu"
    if "by peer" in str(error):  # what gloo says when a connection breaks
        return "another process of this job has ended; its own message says why"
    raise error
