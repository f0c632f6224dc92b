"""The CUDA kernels, run on a CPU by Triton's interpreter, and compiled for GPUs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("cases", "count"),
    [("not shape3", 12), pytest.param("shape3", 4, marks=pytest.mark.campaign)],
    ids=["some maps", "a map of many channels"],
)
def test_kernels_equal_the_definition_in_the_interpreter(cases, count):
    pytest.importorskip("triton", reason="the kernels' tests need Triton: pip install triton")
    words = ["-m", "pytest", "-q", Path(__file__).with_name("interpreted.py"), "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, *words, "-k", cases],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TRITON_INTERPRET": "1"},
    )
    assert done.returncode == 0, done.stdout
    assert re.search(rf"\n{count} passed", done.stdout)


COMPILE = """
import json, sys
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from segnet.core.kernels import cuda

codes = {}
for kernel in (cuda._pool, cuda._place, cuda._pick):
    for dtype, bytes_ in (("fp32", 4), ("fp16", 2), ("bf16", 2)):
        for channels_last in (True, False):
            unit = ("fc", "vc", "cc") if channels_last else ("fw", "vw", "cw")
            constants = {name: 1 for name in unit}
            constants |= {"CHANNELS_LAST": channels_last, "BLOCK": cuda._BYTES // bytes_}
            types = {"full": f"*{dtype}", "values": f"*{dtype}", "codes": "*u8"}
            names = kernel.arg_names
            signature = {name: "constexpr" if name in constants else types.get(name, "i32") for name in names}
            by_16 = [["tt.divisibility", 16]]  # as Triton finds of the article's maps when it launches
            known = {(i,): by_16 for i, name in enumerate(names) if name not in (*constants, "byte_rows")}
            for capability in json.loads(sys.argv[1]):
                if len(sys.argv) > 2 and f"{kernel.fn.__name__} {dtype} {channels_last}" not in sys.argv[2:]:
                    continue
                source = ASTSource(kernel, signature, constexprs=constants, attrs=known)
                made = compile(source, target=GPUTarget("cuda", capability, 32))
                codes[f"{kernel.fn.__name__} {dtype} {channels_last} {capability}"] = made.asm["ptx"]
print(json.dumps(codes))
"""


# Each kernel and each number and layout once; those that pool and read beside each other in every number.
FEW = (
    *(f"_pool {dtype} True" for dtype in ("fp32", "fp16", "bf16")),
    *(f"{kernel} fp32 False" for kernel in ("_pool", "_place", "_pick")),
)


def compile_kernels(folder, capabilities, *names):
    pytest.importorskip("triton.backends.nvidia", reason="the kernels' tests need Triton: pip install triton")
    environment = os.environ | {"TRITON_CACHE_DIR": str(folder)}
    environment.pop("TRITON_INTERPRET", None)
    done = subprocess.run(
        [sys.executable, "-c", COMPILE, json.dumps(capabilities), *names],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Kernels in PTX, for one kind of GPU; Triton needs none to compile."""
    return compile_kernels(tmp_path_factory.mktemp("triton"), [90], *FEW)


def compares_denormal_numbers_as_they_are(codes):
    for name, ptx in codes.items():
        assert ".ftz" not in ptx, f"{name} takes small numbers for 0, where stock pooling doesn't"


def test_kernels_compile_for_a_gpu_and_compare_denormal_numbers_as_they_are(compiled):
    assert len(compiled) == len(FEW)
    compares_denormal_numbers_as_they_are(compiled)


@pytest.mark.campaign
def test_every_kernel_compiles_for_gpus_from_turing_on(tmp_path):
    codes = compile_kernels(tmp_path, [75, 80, 90])
    assert len(codes) == 3 * 3 * 2 * 3
    compares_denormal_numbers_as_they_are(codes)


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16"])
def test_threads_read_sixteen_bytes_at_once_where_channels_lie_beside_each_other(compiled, dtype):
    ptx = compiled[f"_pool {dtype} True 90"]
    assert re.findall(r"ld\.global\.v4\.b32", ptx)
    assert not re.findall(r"ld\.global\.b(?:16|32) ", ptx)
