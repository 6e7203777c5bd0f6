"""Training states: the checkpoints that `train.py --resume` goes on with."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from fuzzing import forging, hostile
from fuzzing.base import Base
from fuzzing.core import DAMAGE, Case, Content, Recipe, flip, truncate
from fuzzing.forging import MARK

FILE = "state.pt"
ADAM = ("optimizers", 0, "state", 0)
GROUP = ("optimizers", 0, "param_groups", 0)
changed = partial(forging.changed, name="epoch.pt")
config = partial(forging.config, "epoch.pt")


def case(base: Base, name: str, recipe: Recipe, rng: random.Random, expected: str) -> Case:
    recipe_name = name.split("/")[1]
    whole = base.files / "epoch.pt" if "damage" in recipe_name else None
    files = {FILE: recipe(base, rng)}
    command = ("train.py", "--resume", FILE, "--epochs", "2")
    return Case(command, files, FILE if whole else None, whole)


def state(*path: Any, to: Any, name: str = "epoch.pt") -> Recipe:
    """A recipe in which something else stands somewhere in the training state."""
    return changed(lambda whole: hostile.replace(whole, ("training", *path), to), name=name)


def each(path: tuple, names: str) -> dict[str, Recipe]:
    """A recipe for each of some hostile values at one place."""
    place = "-".join(str(part) for part in path if part not in ("optimizers", "state", 0))

    def make(value: Callable[[], Any]) -> Recipe:
        # Not made before it is asked for: PyTorch warns of the oddest ones.
        return lambda base, rng: state(*path, to=value())(base, rng)

    return {f"{place}-{name}": make(hostile.ALL[name]) for name in names.split()}


def without(*path: Any) -> Recipe:
    return changed(lambda whole: hostile.remove(whole, ("training", *path)))


def order(change: Callable[[torch.Tensor], Any]) -> Recipe:
    """A recipe for a run that was stopped within an epoch, with another order of the examples."""

    def make(whole: dict) -> dict:
        new = change(whole["training"]["order"])
        return hostile.replace(whole, ("training", "order"), new)

    return changed(make, name="step.pt")


def history(change: Callable[[torch.Tensor], Any]) -> Recipe:
    return changed(
        lambda whole: hostile.replace(
            whole, ("training", "history"), change(whole["training"]["history"])
        )
    )


def moment(change: Callable[[torch.Tensor], Any], name: str = "exp_avg") -> Recipe:
    def make(whole: dict) -> dict:
        path = ("training", *ADAM, name)
        found = whole["training"]["optimizers"][0]["state"][0][name]
        return hostile.replace(whole, path, change(found))

    return changed(make)


def out_of_range(found: torch.Tensor) -> torch.Tensor:
    found = found.clone()
    found[10:] = 10**9  # of the part that is still to come
    return found


TENSORS_AND_TEXTS = " ".join(hostile.TENSORS) + " none text list object deep-list billion-laughs"
NO_COUNT = (
    "none true minus-one half 10^400 nan infinity text lines empty-list object scalar matrix"
    " sparse meta vast-expanded deep-list billion-laughs"
)
NO_DICTIONARY = "none true 10^12 text empty-list list matrix deep-list billion-laughs"

RIGHT: dict[str, Recipe] = {
    "whole-epoch": lambda base, rng: base.read("epoch.pt"),
    "whole-step": lambda base, rng: base.read("step.pt"),
    "saved-again": changed(lambda whole: whole),
}
WRONG: dict[str, Recipe] = {
    "weights-only": lambda base, rng: base.read("points.pt"),
    **{
        f"state-{name}": changed(
            lambda whole, name=name: {**whole, "training": hostile.ALL[name]()}
        )
        for name in NO_DICTIONARY.split()
    },
    # The optimizer
    "moment-too-small": moment(lambda found: found.flatten()[:1].clone()),
    "moment-too-large": moment(lambda found: torch.zeros(10 * found.numel())),
    "moment-transposed": moment(lambda found: torch.zeros(*reversed(found.shape), 1)),
    "moment-squared-too-small": moment(lambda found: found.flatten()[:1].clone(), "exp_avg_sq"),
    "moment-float64": moment(lambda found: found.double()),
    "moment-half": moment(lambda found: found.half()),
    "moment-whole-numbers": moment(lambda found: found.long()),
    "moment-complex": moment(lambda found: found.to(torch.complex64)),
    "moment-sparse": moment(lambda found: found.to_sparse()),
    "moment-meta": moment(lambda found: found.to("meta")),
    "moment-expanded": moment(lambda found: torch.zeros(1).expand(found.shape)),
    "moment-vast-expanded": moment(lambda found: torch.zeros(1).expand(10**12)),
    "moment-not-a-number": moment(lambda found: found * float("nan")),
    "moment-infinite": moment(lambda found: found + float("inf")),
    **each((*ADAM, "exp_avg"), TENSORS_AND_TEXTS),
    **each((*ADAM, "step"), "none text list matrix nan infinity deep-list billion-laughs"),
    **each(ADAM, NO_DICTIONARY),
    **each(("optimizers", 0, "state"), NO_DICTIONARY),
    **each(("optimizers", 0), NO_DICTIONARY),
    **each(("optimizers",), NO_DICTIONARY),
    "moment-missing": without(*ADAM, "exp_avg"),
    "parameter-missing": without(*ADAM),
    "optimizer-missing": without("optimizers", 0),
    # The order of the examples
    "order-out-of-range": order(out_of_range),
    "order-negative": order(lambda found: found - 10**6),
    "order-of-floats": order(lambda found: found.float()),
    "order-of-half-floats": order(lambda found: found.half()),
    "order-2-D": order(lambda found: found[:, None].expand(-1, 3).contiguous()),
    "order-0-D": order(lambda found: torch.tensor(3)),
    "order-bool": order(lambda found: found > 5),
    "order-of-bytes": order(lambda found: found.to(torch.uint8)),
    "order-short": order(lambda found: found[:-1]),
    "order-sparse": order(lambda found: found.to_sparse()),
    "order-meta": order(lambda found: found.to("meta")),
    "order-expanded": order(lambda found: found[:1].expand(50)),
    "order-vast": order(lambda found: found[:1].expand(10**12)),
    "order-list": order(lambda found: found.tolist()),
    "order-none": order(lambda found: None),
    # The history
    "history-columns": history(lambda found: found[:, :4]),
    "history-more-columns": history(lambda found: torch.cat([found, found], 1)),
    "history-1-D": history(lambda found: found.flatten()),
    "history-3-D": history(lambda found: found[:, :, None]),
    "history-infinite": history(lambda found: found + float("inf")),
    "history-not-a-number": history(lambda found: found * float("nan")),
    "history-text": history(lambda found: "many"),
    "history-list": history(lambda found: found.tolist()),
    "history-meta": history(lambda found: found.to("meta")),
    "history-sparse": history(lambda found: found.to_sparse()),
    "history-expanded": history(lambda found: found[:1].expand(10**8, -1)),
    "history-vast": history(lambda found: found[:1].expand(10**12, -1)),
    # Counts, times and the rest
    **each(("step",), NO_COUNT),
    **each(("epoch",), NO_COUNT),
    **each(("seen",), NO_COUNT),
    **each(("ema_updates",), NO_COUNT.replace(" 10^400", "")),
    "seen-10^12": state("seen", to=10**12),
    **each(("elapsed",), "none text lines nan infinity list object matrix meta deep-list"),
    **each(("data",), "none text lines list matrix zeros meta deep-list billion-laughs"),
    **each(("random",), NO_DICTIONARY),
    **each(("random", "cpu"), TENSORS_AND_TEXTS),
    **{
        f"{name}-missing": without(name)
        for name in ("optimizers", "step", "epoch", "seen", "order", "random", "history", "data")
    },
    "code": changed(lambda whole: {**whole, "training": {**whole["training"], "elapsed": MARK}}),
    # The configuration and the weights
    "hidden_dims-huge": config(hidden_dims=[8192] * 100),
    "hidden_dims-huge-expanded": forging.all_vast(
        hostile.TENSORS["vast-expanded"], "epoch.pt", hidden_dims=[8192] * 100, embedding_size=8192
    ),
    "num_points-10^12": config(num_points=10**12),
    "num_samples-10^12": config(num_samples=10**12),
    "batch_size-text": config(batch_size="many"),
    "dataset-missing-file": config(dataset="gone.csv"),
    "dataset-other": config(dataset="dino"),
    "dataset-nul": config(dataset="a\0.csv"),
    "dataset-surrogate": config(dataset="\ud800.csv"),
    "unknown-names": config(**{f"unknown_{k}": k for k in range(1000)}),
    "unknown-names-100000": config(**{f"unknown_{k}": k for k in range(100_000)}),
    "config-more-deep": config(more=hostile.DEEP),
    "config-more-laughs": config(more=hostile.laughs()),
    "lr-deep": config(lr=hostile.DEEP),
    "lr-laughs": config(lr=hostile.laughs()),
    "weights-others": changed(lambda whole: {**whole, "model": {"more": torch.zeros(3)}}),
    "weights-not-a-number": changed(
        lambda whole: {**whole, "model": {k: w * float("nan") for k, w in whole["model"].items()}}
    ),
    "average-infinite": changed(
        lambda whole: {**whole, "ema": {k: w + float("inf") for k, w in whole["ema"].items()}}
    ),
    "weights-sparse": changed(
        lambda whole: {**whole, "model": {k: w.to_sparse() for k, w in whole["model"].items()}}
    ),
    "weights-meta": changed(
        lambda whole: {**whole, "model": {k: w.to("meta") for k, w in whole["model"].items()}}
    ),
}
EITHER: dict[str, Recipe] = {
    "step-10^12": state("step", to=10**12),
    "epoch-0": state("epoch", to=0),
    "epoch-10^12": state("epoch", to=10**12),
    **each(("scaler",), "text 10^12 list matrix deep-list billion-laughs"),
    "order-repeats": order(lambda found: found * 0),
    "history-none-of-it": history(lambda found: found[:0]),
    "seen-more-than-an-epoch": state("seen", to=1000),
    # An optimizer's settings are those of the code, whatever a file says.
    **each(("optimizers", 0, "param_groups"), NO_DICTIONARY + " object"),
    "group-missing": without(*GROUP),
    **{f"group-{name}-missing": without(*GROUP, name) for name in ("params", "betas", "eps")},
    **each((*GROUP, "betas"), "none text half empty-list list matrix deep-list"),
    **each((*GROUP, "eps"), "none text nan list matrix sparse deep-list"),
    **each((*GROUP, "weight_decay"), "none text nan infinity list sparse deep-list"),
    **each((*GROUP, "params"), "none text empty-list list-of-lists 10^5-numbers matrix"),
    **each((*GROUP, "foreach"), "text list matrix"),
    "ema_updates-10^400": state("ema_updates", to=10**400),
    "ema_updates-0": state("ema_updates", to=0),
    "ema_updates-10^12": state("ema_updates", to=10**12),
    "elapsed-minus-one": state("elapsed", to=-1.0),
    "elapsed-1e308": state("elapsed", to=1e308),
    "elapsed-10^400": state("elapsed", to=10**400),
    "group-lr-text": state(*GROUP, "lr", to="many"),
    "group-lr-missing": without(*GROUP, "lr"),
    "group-more": state(*GROUP, "more", to=1),
    "history-whole-numbers": history(lambda found: found.long()),
    "history-1e300": history(lambda found: found * 0 + 1e300),
    "epochs-10^400": config(epochs=10**400),
    "more-deep": state("more", to=hostile.DEEP),
}


def grafted(name: str) -> Recipe:
    def make(base: Base, rng: random.Random) -> Content:
        whole = base.checkpoint(name)
        new = hostile.graft({"training": whole["training"]}, rng, hostile.ALL)
        return hostile.archive({**{k: v for k, v in whole.items() if k != "training"}, **new})

    return make


def grafted_config(base: Base, rng: random.Random) -> Content:
    whole = base.checkpoint("epoch.pt")
    new = hostile.graft(whole["config"], rng, {**hostile.PLAIN, **hostile.DEEP_ONES})
    return hostile.archive({**whole, "config": new})


def damaged(damage: Callable[[bytes, random.Random], bytes]) -> Recipe:
    return lambda base, rng: damage(base.read("epoch.pt"), rng)


VARIED: dict[str, Recipe] = {
    "grafted": grafted("epoch.pt"),
    "grafted-step": grafted("step.pt"),
    "grafted-config": grafted_config,
    "damage-flip": damaged(flip),
    "truncate": damaged(truncate),
    "damage-any": lambda base, rng: rng.choice(list(DAMAGE.values()))(base.read("epoch.pt"), rng),
}
