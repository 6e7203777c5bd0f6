"""The two ways in which a script ends without a traceback. Both carry a message for the user."""


class InputError(Exception):
    """What the user gave cannot be used: an option, a file, a dataset. Exit code 2."""


class RunError(Exception):
    """The run itself failed, for example because its loss became infinite. Exit code 1."""
