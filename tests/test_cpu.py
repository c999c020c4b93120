"""What the processor is said to do, and how many threads compute, with torch and before it is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pseudohealthy import cpu
from pseudohealthy.processes import processes


def told(path: Path, **lines: str) -> Path:
    """What Linux says of two processors."""
    path.write_text(
        "".join(f"processor\t: {i}\n" + "".join(f"{k}\t: {v}\n" for k, v in lines.items()) for i in (0, 1))
    )
    return path


@pytest.mark.parametrize(
    ("features", "vendor", "faster"),
    [
        ("amx_bf16 avx512_bf16", "GenuineIntel", True),
        ("avx512_bf16", "AuthenticAMD", True),
        ("avx512_bf16", "GenuineIntel", False),
        ("avx2", "AuthenticAMD", False),
    ],
)
def test_which_processors_train_faster_in_bf16(
    features: str, vendor: str, faster: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "CPUINFO", told(tmp_path / "cpuinfo", vendor_id=vendor, flags=f"fpu {features}"))
    assert cpu.trains_faster_in_bf16() == faster


def test_where_the_system_does_not_tell_torch_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "CPUINFO", tmp_path / "none")
    for features, expected in (
        ({"amx_bf16": True}, (True, True, False)),
        ({"avx512_bf16": True, "avx512_vnni": True}, (False, True, True)),
        ({"avx_vnni": True}, (False, False, True)),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=features: found, raising=False)
        assert (cpu.multiplies_bf16(), cpu.has_bf16(), cpu.multiplies_int8()) == expected
    monkeypatch.delattr(torch.cpu, "get_capabilities")  # too old to know
    assert (cpu.multiplies_bf16(), cpu.has_bf16(), cpu.multiplies_int8()) == (False, False, False)


def test_another_make_of_processor_has_none_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "CPUINFO", told(tmp_path / "cpuinfo", Features="fp asimd bf16 i8mm"))
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert (cpu.multiplies_bf16(), cpu.has_bf16(), cpu.multiplies_int8()) == (False, False, False)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OMP_NUM_THREADS": "1"},
        {"OMP_NUM_THREADS": "3"},
        {"OMP_NUM_THREADS": "3,2"},
        {"MKL_NUM_THREADS": "1"},
        {"MKL_NUM_THREADS": "2", "OMP_NUM_THREADS": "1"},
    ],
)
def test_threads_are_torchs_before_it_is_loaded_and_after(variables: dict[str, str]) -> None:
    code = """
import sys
from pseudohealthy import cpu
before = cpu.threads()
assert "torch" not in sys.modules
import torch
print(before, cpu.threads(), torch.get_num_threads())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=variables
    )
    before, after, theirs = map(int, done.stdout.split())
    assert before == after == theirs


@pytest.mark.parametrize("loaded", [True, False])
def test_a_number_of_threads_that_is_set_is_torchs(loaded: bool) -> None:
    first, then = ("import torch", "pass") if loaded else ("pass", "import torch")
    code = f"""
from pseudohealthy import cpu
{first}
cpu.set_threads(1)
assert cpu.threads() == 1
{then}
import os
print(torch.get_num_threads(), os.environ["OMP_NUM_THREADS"])
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["1", "1"]


def test_processes_share_the_threads() -> None:
    with processes(1) as pool:
        assert pool.submit(cpu.threads).result() == cpu.threads()
