"""precision.py, compilation.py, threads.py: choices for the machine, which change only speed."""

import inspect
from operator import attrgetter

import pytest
import torch

import system.compilation
import system.precision
import system.threads
import train
from diffusion import Diffusion, make_schedule
from models.unet import UNet
from system.compilation import compile_or_fall_back, reason_not_to_compile
from system.errors import InputError
from system.precision import choose_precision, in_precision
from system.threads import fit_threads_to_cores
from training.objectives.denoising import denoising

CPU, GPU = torch.device("cpu"), torch.device("cuda")


UNITS = [("amx_bf16", "bf16"), ("avx512_bf16", "bf16"), ("avx512_f", "fp32")]


@pytest.mark.parametrize(("unit", "images"), UNITS)
def test_auto_precision_follows_the_processor(unit, images, monkeypatch):
    found = {unit: True, "amx_tile": False, "architecture": "amx_bf16"}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    assert choose_precision("auto", "images", CPU) == images
    assert choose_precision("auto", "points", CPU) == "fp32"


@pytest.mark.parametrize(("unit", "images"), [*UNITS, (None, "fp32")])
def test_an_older_pytorch_leaves_it_to_linux_to_know_the_processor(unit, images, monkeypatch):
    def read_text(path):
        assert str(path) == "/proc/cpuinfo"
        if unit is None:
            raise FileNotFoundError
        return f"processor : 0\nflags : fpu {unit} sse\nbugs : none\n"

    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(system.precision.Path, "read_text", read_text)
    assert choose_precision("auto", "images", CPU) == images


def test_pytorch_has_what_the_code_asks_of_it():
    """Beyond what every version has; to be run with the oldest pair in requirements.txt, too."""
    for name in (
        *("compile", "autocast", "_foreach_lerp_", "OutOfMemoryError", "_dynamo"),
        *("amp.GradScaler", "nn.parallel.DistributedDataParallel", "mps.get_rng_state"),
    ):
        assert attrgetter(name)(torch) is not None
    for function, option in (
        (torch.load, "weights_only"),
        (torch.cuda.is_bf16_supported, "including_emulation"),
        (torch.amp.GradScaler, "device"),
        (torch.optim.AdamW, "fused"),
        (torch.compile, "dynamic"),
    ):
        assert option in inspect.signature(function).parameters


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
def test_a_given_precision_is_taken(name):
    assert choose_precision(name, "images", CPU) == name


def test_tf32_is_for_cuda_only(tmp_path):
    assert choose_precision("tf32", "images", GPU) == "tf32"
    command = f"--dataset digits --precision tf32 --device cpu --output_dir {tmp_path}"
    with pytest.raises(InputError, match="for cuda only"):
        train.make_trainer(train.parse_arguments(command.split()))


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_only_tf32_lets_a_gpu_round_its_products(precision, before):
    switches = (torch.backends.cuda.matmul, torch.backends.cudnn)
    kept = [switch.allow_tf32 for switch in switches]
    try:
        for switch in switches:
            switch.allow_tf32 = before
        in_precision(torch.sin, precision, GPU)
        assert [switch.allow_tf32 for switch in switches] == [precision == "tf32"] * 2
    finally:
        for switch, value in zip(switches, kept, strict=True):
            switch.allow_tf32 = value


def filled_unet() -> UNet:
    torch.manual_seed(0)
    model = UNet(base_channels=16)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return model


@pytest.mark.parametrize(("precision", "error"), [("bf16", 2**-8), ("fp16", 2**-11)])
def test_lower_precision_answers_almost_the_same_in_float32(precision, error):
    model = filled_unet()
    x, t = torch.randn(8, 1, 28, 28), torch.tensor([500])
    exact, fast = model(x, t), in_precision(model, precision, CPU)(x, t)
    assert fast.dtype == torch.float32
    relative = (fast - exact).norm() / exact.norm()
    assert 0 < relative < 4 * error  # rounded, and rounded only


def test_gradients_of_bf16_point_the_same_way():
    model, diffusion = filled_unet(), Diffusion(make_schedule("linear"))
    x, t, eps = torch.randn(8, 1, 28, 28), torch.arange(0, 800, 100), torch.randn(8, 1, 28, 28)
    gradients = []
    for precision in ("fp32", "bf16"):
        loss = denoising(diffusion, in_precision(model, precision, CPU), x, t, eps).mean()
        parameters = torch.autograd.grad(loss, list(model.parameters()))
        gradients.append(torch.cat([g.flatten() for g in parameters]))
    assert torch.cosine_similarity(*gradients, dim=0) > 0.99


def test_threads_are_kept_to_the_usable_cores(monkeypatch):
    threads = torch.get_num_threads()
    monkeypatch.setattr(system.threads, "usable_cores", lambda: 2)
    try:
        torch.set_num_threads(4)
        monkeypatch.setenv("OMP_NUM_THREADS", "4")
        assert "is 4, but only 2 cores are usable" in fit_threads_to_cores()
        assert torch.get_num_threads() == 4
        monkeypatch.delenv("OMP_NUM_THREADS")
        assert fit_threads_to_cores() == ""
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("content", "cores"), [("150000 100000\n", 2), ("max 100000\n", 8), ("", 8)]
)
def test_a_container_may_allow_fewer_cores(content, cores, monkeypatch):
    monkeypatch.setattr(
        system.threads.os, "sched_getaffinity", lambda pid: set(range(8)), raising=False
    )
    monkeypatch.setattr(system.threads.Path, "read_text", lambda path: content)
    assert system.threads.usable_cores() == cores


def test_when_to_compile(monkeypatch):
    monkeypatch.setattr(
        system.compilation.shutil, "which", lambda name: f"/usr/bin/{name}" if name else None
    )
    assert reason_not_to_compile("on", CPU, worthwhile=False) == ""
    assert reason_not_to_compile("auto", CPU, worthwhile=True) == ""
    assert "longer than it saves" in reason_not_to_compile("auto", CPU, worthwhile=False)
    assert "off" in reason_not_to_compile("off", CPU, worthwhile=True)
    monkeypatch.setattr(system.compilation.shutil, "which", lambda name: None)
    assert "C++ compiler" in reason_not_to_compile("on", CPU, worthwhile=True)


def test_a_compiler_that_fails_is_done_without(monkeypatch, capsys):
    def broken(function, **options):
        def fail(*arguments):
            raise RuntimeError("no Python.h\nand a page of other text")

        return fail

    def double(x):
        return 2 * x

    monkeypatch.setattr(torch, "compile", broken)
    function = compile_or_fall_back(double, lambda f: f(torch.ones(1)), CPU)
    assert function is double
    assert capsys.readouterr().out == "compiling failed, continuing without it: no Python.h\n"
