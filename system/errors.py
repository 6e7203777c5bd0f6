"""The errors that end a script without a traceback. Each has a message for the user."""


class InputError(Exception):
    """The user's input cannot be used: an option, a file, a dataset. Exit code 2."""


class Stopped(Exception):
    """The user or the system asked the run to stop, and its state is saved.

    Args:
        signal: the number of the signal; the exit code is 128 plus this number.
    """

    def __init__(self, signal: int, message: str) -> None:
        super().__init__(message)
        self.signal = signal


class RunError(Exception):
    """The run itself failed, for example because its loss became infinite. Exit code 1."""


LONGEST = 1000  # characters of a message


def one_line(message: str) -> str:
    """A message as one printable line of limited length, even if it contains odd file names."""
    plain = "".join(
        mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in message
    )
    if len(plain) > LONGEST:
        plain = f"{plain[: LONGEST // 2]} ... {plain[-LONGEST // 2 :]}"
    return plain
