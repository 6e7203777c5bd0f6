"""Runs the cases of the fuzz suite, each as a process in a folder of its own, and judges them.

Refused well means: exit code 2 (or 1), one to three lines on stderr, no traceback, within seconds,
in less than 1 GB, and nothing on disk is changed.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from scripts import be_script, start

from fuzzing.base import Base
from fuzzing.comparison import same_content
from fuzzing.core import Case, Plan
from fuzzing.forging import MARKER

SECONDS = 10  # of processor time, since the machine may be busy
PATIENCE = 60  # seconds after which a process that waits for something is ended
MEMORY = 1_000_000_000  # bytes in use at once, PyTorch's own 300 MB among them
LARGEST_FILE = 100_000_000  # bytes that a script may write into one
LOOK_EVERY = 0.01  # seconds
LINES, CHARACTERS = 3, 10_000  # of an error, at most
VERDICTS = ("refused well", "accepted", "silent corruption", "misbehaved")

starting = threading.Lock()  # multiprocessing's own bookkeeping is not made for threads


@dataclass(frozen=True)
class Result:
    """How a case ended, in one of the `VERDICTS`, why, and the last line that it said."""

    name: str
    verdict: str
    reason: str = ""
    said: str = ""

    @property
    def fine(self) -> bool:
        return self.verdict in ("refused well", "accepted")

    def __str__(self) -> str:
        return f"{self.name}: {self.verdict}{f' ({self.reason})' * bool(self.reason)} | {self.said}"


@dataclass(frozen=True)
class Ending:
    """How a script's process ended.

    Attributes:
        code: its exit code; negative for the signal that ended it.
        said: what it wrote to stderr.
        exceeded: which limit it went beyond, in words, or nothing.
        changed: what is different in its folder, by name.
    """

    code: int
    said: str = ""
    exceeded: str = ""
    changed: tuple[str, ...] = ()


def be_limited_script(*arguments) -> None:
    """In a new process: `be_script`, which the system ends when it takes too much."""
    import resource  # not on Windows

    limits = {"CPU": SECONDS, "FSIZE": LARGEST_FILE, "CORE": 0}
    for name, limit in limits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (limit, limit + 1))
    be_script(*arguments)


def memory_of(process: int) -> int:
    """The most memory that a process has had in use, in bytes; 0 where the system cannot say."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:  # it has ended, or it is not Linux
        return 0
    peaks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return 1024 * int(peaks[0]) if peaks else 0


def run_limited(command: tuple[str, ...], folder: Path, texts: Path) -> Ending:
    """Run a script in `folder`, with limits; what it prints goes into the folder `texts`."""
    before = snapshot(folder)
    out, err = texts / "out", texts / "err"
    with starting:
        child = start(command[0], command[1:], folder, out, err, become=be_limited_script)
    deadline, exceeded, code = time.monotonic() + PATIENCE, "", None
    while code is None:
        time.sleep(LOOK_EVERY)
        if not exceeded and memory_of(child.pid) > MEMORY:
            exceeded = f"more than {MEMORY / 1e9:g} GB of memory"
            child.kill()
        if not exceeded and time.monotonic() > deadline:
            exceeded = f"nothing after {PATIENCE} seconds"
            child.kill()
        with starting:
            code = child.exitcode
    said = err.read_text(encoding="utf-8", errors="replace") if err.exists() else ""
    return Ending(code, said, exceeded, changes(before, snapshot(folder)))


def snapshot(folder: Path) -> dict[str, object]:
    """What is in a folder, lock files aside: each entry's kind or content."""
    found: dict[str, object] = {}
    for path in folder.rglob("*"):
        if path.name == ".lock":
            continue
        mode = path.lstat().st_mode
        name = str(path.relative_to(folder))
        found[name] = stat.S_IFMT(mode)
        if stat.S_ISLNK(mode):
            found[name] = os.readlink(path)
        elif stat.S_ISREG(mode):
            found[name] = path.read_bytes()
    return found


def lay_out(case: Case, base: Base, folder: Path) -> None:
    """Make the folder in which a case's script is to run."""
    shutil.copytree(base.place, folder)
    for name, content in case.files.items():
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            content(folder / name)


def run_case(plan: Plan, base: Base, seed: int) -> Result:
    case = plan.make(base, seed)
    with tempfile.TemporaryDirectory() as made:
        folder, texts = Path(made, "place"), Path(made, "texts")
        texts.mkdir()
        lay_out(case, base, folder)
        ending = run_limited(case.command, folder, texts)
        verdict, reason = judge(case, plan.expected, folder, ending)
    lines = ending.said.strip().splitlines() or ["(nothing)"]
    return Result(plan.name, verdict, reason, lines[-1][:200])


def changes(before: dict[str, object], after: dict[str, object]) -> tuple[str, ...]:
    return tuple(name for name in sorted({*before, *after}) if before.get(name) != after.get(name))


def judge(case: Case, expected: str, folder: Path, ending: Ending) -> tuple[str, str]:
    """The verdict on a case that has run, and the reason where it is a bad one."""
    code, said, changed = ending.code, ending.said, ending.changed
    lines = len(said.strip().splitlines())
    if (folder / MARKER).exists():
        return "misbehaved", "ran code from the file"
    if ending.exceeded:
        return "misbehaved", ending.exceeded
    if code < 0:
        name = signal.Signals(-code).name
        return "misbehaved", f"more than {SECONDS} s" if name == "SIGXCPU" else f"ended by {name}"
    if code not in (0, 1, 2):
        return "misbehaved", f"exit code {code}"
    if "Traceback" in said:
        return "misbehaved", f"a traceback of {lines} lines"
    if code == 0:
        if expected == "refused":
            return "misbehaved", "accepted"
        if case.damaged and not same_content(folder / case.damaged, case.whole):
            return "silent corruption", ""
        return "accepted", ""
    if expected == "accepted":
        return "misbehaved", "refused"
    if not (0 < lines <= LINES and len(said) <= CHARACTERS):
        return "misbehaved", f"{lines} lines of error, {len(said):,} characters"
    if "out of memory" in said and {"--checkpoint", "--resume"} & {*case.command}:
        # On another machine it would have got that memory.
        return "misbehaved", "a file of some kilobytes asked for too much memory"
    if changed:
        return "misbehaved", f"refused, but changed {len(changed)} files: {', '.join(changed[-2:])}"
    return "refused well", ""


def run_cases(plans: Iterable[Plan], base: Base, seed: int, jobs: int = 1) -> Iterator[Result]:
    """The results of all cases, in their order; `jobs` of them run at a time."""
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(lambda plan: run_case(plan, base, seed), plans)


def write_cases(plans: Iterable[Plan], base: Base, seed: int, target: Path) -> None:
    """Write the folder of each case into `target`, and print what is to be run in it."""
    for plan in plans:
        case = plan.make(base, seed)
        folder = target / plan.name.replace("/", "-")
        lay_out(case, base, folder)
        print(f"{folder}: {' '.join(case.command)}")


def table(results: list[Result]) -> str:
    """A row for each kind of file: how many were tried, and how they ended."""
    kinds = list(dict.fromkeys(result.name.split("/")[0] for result in results))
    rows = [("", "tried", *VERDICTS)]
    for kind in [*kinds, "all"]:
        found = Counter(x.verdict for x in results if kind in (x.name.split("/")[0], "all"))
        rows.append((kind, str(found.total()), *(str(found[verdict]) for verdict in VERDICTS)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    first, *rest = widths
    return "\n".join(
        "  ".join([row[0].ljust(first), *(x.rjust(w) for x, w in zip(row[1:], rest, strict=True))])
        for row in rows
    )


def progress(results: Iterable[Result]) -> Iterator[Result]:
    """The same results, counted on stderr while they come where that is a terminal."""
    for number, result in enumerate(results, 1):
        if sys.stderr.isatty():
            print(f"\r{number} cases", end="", file=sys.stderr)
        yield result
    if sys.stderr.isatty():
        print("\r", end="", file=sys.stderr)
