"""Which classes to make: what a person asked for, by label or by name, as labels."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Sequence

from system.errors import InputError

SHOWN = 30  # classes that a message names


def choose_labels(
    wanted: Sequence[str] | None, known: Sequence[int], class_names: Sequence[str] = ()
) -> list[int]:
    """The labels asked for, or all that the model knows.

    Args:
        wanted: names of classes, labels such as `3`, and ranges such as `0-9`. A name goes before
            a label, where a class is named after a number.
        known: the labels that the model has seen examples of.
        class_names: a name for each label, or none.

    Raises:
        InputError: the model does not know one of them.
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
    """The labels of one name, label or range.

    Raises:
        InputError: it is none of these.
    """
    part = unicodedata.normalize("NFC", part)  # as the names of classes are
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
    """Whether a text is a label, of a class of the largest model at most."""
    return text.isdecimal() and len(text) <= 4
