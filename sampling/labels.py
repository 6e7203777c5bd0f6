"""Which classes to sample: the user's choice, by label or by name, as labels."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Sequence

from system.errors import InputError

SHOWN = 30  # the most classes that a message lists


def choose_labels(
    wanted: Sequence[str] | None, known: Sequence[int], class_names: Sequence[str] = ()
) -> list[int]:
    """The requested labels, or all that the model knows.

    Args:
        wanted: names of classes, labels such as `3`, and ranges such as `0-9`. If the name of a
            class is a number, the name takes precedence over the label.
        known: the labels of which the model has seen examples.
        class_names: a name for each label, or no names.

    Raises:
        InputError: the model does not know one of the requested classes.
    """
    if wanted is None:
        return list(known)
    if not known:
        raise InputError("--labels: this model was trained without --class_conditional")
    labels = [label for part in wanted for label in labels_of(part, class_names)]
    for label in labels:
        if label not in known:
            missing = ", ".join(str(k) for k in range(known[-1]) if k not in known)
            every = f"0-{known[-1]}" + (missing and f", but saw no examples of {missing}")
            raise InputError(f"--labels: no class {label}; the model knows {every}")
    return labels


def labels_of(part: str, class_names: Sequence[str]) -> Sequence[int]:
    """The labels given by one name, label or range.

    Raises:
        InputError: it is not a known name, nor a label or a range.
    """
    part = unicodedata.normalize("NFC", part)  # like the class names
    names = {name.casefold(): label for label, name in enumerate(class_names)}
    if part.casefold() in names:
        return [class_names.index(part) if part in class_names else names[part.casefold()]]
    first, dash, last = (end.strip() for end in part.partition("-"))
    if is_label(first) and (is_label(last) if dash else True):
        low, high = int(first), int(last or first)
        if low <= high:
            return range(low, high + 1)
    near = difflib.get_close_matches(part.casefold(), names, n=1)
    hint = f"; did you mean {class_names[names[near[0]]]!r}" if near else ""
    shown = ", ".join(
        name if name == str(k) else f"{k} ({name})" for k, name in enumerate(class_names[:SHOWN])
    )
    shown += ", ..." if len(class_names) > SHOWN else ""
    raise InputError(f"--labels: no class {part!r}{hint}; known: {shown or 'numbers only'}")


def is_label(text: str) -> bool:
    """Whether a text is a label, with no more digits than the largest possible label."""
    return text.isdecimal() and len(text) <= 4
