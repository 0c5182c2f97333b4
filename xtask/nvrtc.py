"""Compiles CUDA C++ with NVRTC: nvrtc.py ENVIRONMENT SOURCES OUT TARGETS NAME...

Writes OUT/NAME.TARGET, a cubin for sm_* and PTX for compute_*. A warning, an error or a register
spill fails. Only the Python of the environment that holds the NVRTC package is needed.
"""

import concurrent.futures
import ctypes
import os
import pathlib
import re
import sys

OPTIONS = ["--std=c++17", "--ptxas-options=-v"]


def library(environment):
    found = sorted(pathlib.Path(environment).glob("lib/python3*/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12"))
    if not found:
        sys.exit(f"no libnvrtc.so.12 below {environment}")
    return ctypes.CDLL(str(found[0]))


def text(lib, program, name):
    size = ctypes.c_size_t()
    getattr(lib, f"nvrtcGet{name}Size")(program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    getattr(lib, f"nvrtcGet{name}")(program, buffer)
    return buffer.raw


def compile_one(job):
    environment, sources, out, target, name = job
    lib = library(environment)
    sources = pathlib.Path(sources)
    source = (sources / f"{name}.cu").read_bytes()
    headers = (ctypes.c_char_p * 1)((sources / "prelude.cuh").read_bytes())
    names = (ctypes.c_char_p * 1)(b"prelude.cuh")
    program = ctypes.c_void_p()
    lib.nvrtcCreateProgram(ctypes.byref(program), source, f"{name}.cu".encode(), 1, headers, names)
    options = [option.encode() for option in [f"--gpu-architecture={target}", *OPTIONS]]
    status = lib.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    log = text(lib, program, "ProgramLog").rstrip(b"\0").decode()
    problems = [line for line in log.splitlines() if re.search(r"\b(error|warning)\b", line)]
    spills = [int(n) for n in re.findall(r"(\d+) bytes spill", log)]
    if status or problems:
        return f"{name} for {target}: status {status}\n{log}", None
    if any(spills):
        return f"{name} for {target} spills registers\n{log}", None
    registers = [int(n) for n in re.findall(r"Used (\d+) registers", log)]
    if target.startswith("sm_") and (not registers or len(registers) != log.count("Compiling entry")):
        return f"{name} for {target}: the log tells of {len(registers)} kernels\n{log}", None
    image = text(lib, program, "CUBIN" if target.startswith("sm_") else "PTX")
    if not target.startswith("sm_"):
        image = image.rstrip(b"\0")
    pathlib.Path(out, f"{name}.{target}").write_bytes(image)
    return None, f"{name} {target}: {len(registers)} kernels, at most {max(registers, default=0)} registers, {len(image)} bytes"


def main():
    environment, sources, out, targets, *names = sys.argv[1:]
    # The slow ones first.
    names.sort(key=lambda name: -(pathlib.Path(sources) / f"{name}.cu").read_text().count("ATTENTIONS("))
    jobs = [(environment, sources, out, target, name) for name in names for target in targets.split(",")]
    failed = False
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        for problem, line in pool.map(compile_one, jobs):
            if problem:
                failed = True
                print(problem, file=sys.stderr)
            else:
                print(line)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
