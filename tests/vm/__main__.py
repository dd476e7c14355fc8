# SPDX-License-Identifier: Apache-2.0
"""The data path on other kernels, under QEMU.

python -m tests.vm test [--all]           what CI runs; all that can run there
python -m tests.vm test tests/prog -k x   what pytest would take, with each compiler on each kernel
python -m tests.vm load                   no tests: does each kernel load every program?
python -m tests.vm demo                   the pods of the demo, where the kernel has netkit
python -m tests.vm fetch                  newer kernels, if Debian has them

--kernel 6.1 and --clang clang-19 leave out the others.
"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from tests.patience import slower
from tests.vm import guest, kernels, objects
from tests.vm.errors import Failed
from tests.vm.selections import ALL, CI, Selection

_LOAD_S = 300
_TESTS_S = 3600
_DEMO_S = 300
_DEMO_ON = "6.12"
_TEST_S = 1200  # a single one, by pytest-timeout
_SLOWER = 10

_PYTHON = [
    "env",
    f"PYTHONPATH={objects.ROOT}/src",
    slower(_SLOWER),
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1",  # 10 s for imports that no test here needs
    sys.executable,
]


def main() -> None:
    options, others = _parse(sys.argv[1:])
    started = time.monotonic()
    try:
        if os.geteuid() != 0:
            raise Failed("root is needed, for the guests' view of the file system")
        if options.command == "fetch":
            for series in options.kernel:
                kernels.fetch(series)
            return
        if options.command == "demo":
            sys.exit(asyncio.run(_demo()))
        failed = asyncio.run(_run(options, _selections(options, others)))
    except Failed as error:
        sys.exit(f"tests.vm: {error}")
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit("tests.vm: interrupted")
    took = f"{time.monotonic() - started:.0f} s"
    if failed:
        sys.stdout.flush()
        sys.exit(f"tests.vm: failed after {took}:\n" + "\n".join(f"  {line}" for line in failed))
    print(f"tests.vm: passed in {took}")


def _parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="python -m tests.vm",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=["test", "load", "demo", "fetch"])
    parser.add_argument("--all", action="store_true", help="not only what CI runs")
    parser.add_argument("--kernel", action="append", choices=kernels.SERIES)
    parser.add_argument("--clang", action="append", choices=objects.COMPILERS)
    options, others = parser.parse_known_args(argv)
    options.kernel = options.kernel or list(kernels.SERIES)
    options.clang = options.clang or list(objects.COMPILERS)
    return options, others


def _selections(options: argparse.Namespace, others: list[str]) -> list[Selection]:
    chosen = ALL if options.all or others else CI
    return [
        replace(each, tests=tuple(others) or each.tests)
        for each in chosen
        if each.kernel in options.kernel and each.compiler in options.clang
    ]


async def _run(options: argparse.Namespace, selections: Sequence[Selection]) -> list[str]:
    """All kernels at once; what failed."""
    if (task := asyncio.current_task()) is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    found = [kernels.get(series) for series in options.kernel]
    for compiler in options.clang:
        objects.build(compiler)
    # Compiling is what a guest is slowest at.
    subprocess.run([sys.executable, "-m", "compileall", "-q", "src", "tests"], cwd=objects.ROOT)
    results = await asyncio.gather(*(_on_kernel(kernel, options, selections) for kernel in found))
    return [line for result in results for line in result]


async def _demo() -> int:
    """What a guest with netkit shows of the lab's pods; its exit status."""
    subprocess.run([sys.executable, "-m", "compileall", "-q", "src"], cwd=objects.ROOT)
    say = partial(print, flush=True)
    async with guest.started(kernels.get(_DEMO_ON), 1, say) as machine:
        print(f"Linux {machine.kernel.release}, emulated")
        argv = [*_PYTHON, "-m", "sixlane.lab", "demo", "--pods"]
        return await machine.run(argv, cwd=objects.ROOT, timeout_s=_DEMO_S)


async def _on_kernel(
    kernel: kernels.Kernel, options: argparse.Namespace, selections: Sequence[Selection]
) -> list[str]:
    """Every load, then every selection, in one guest; what failed."""
    failed = []

    def say(line: str) -> None:
        print(f"{kernel.series:>4} | {line}", flush=True)

    async def run(what: str, argv: list[str], timeout_s: int) -> None:
        before = time.monotonic()
        status = await machine.run(argv, cwd=objects.ROOT, timeout_s=timeout_s)
        say(f"{what}: {'passed' if status == 0 else 'FAILED'} ({time.monotonic() - before:.0f} s)")
        if status != 0:
            failed.append(f"{kernel.series}: {what}")

    try:
        async with guest.started(kernel, 1, say) as machine:
            say(f"Linux {kernel.release}")
            for compiler in options.clang:
                load = [*_PYTHON, "-m", "tests.vm.load"]
                await run(f"load, {compiler}", objects.with_objects(compiler, load), _LOAD_S)
            for each in selections if options.command == "test" else ():
                if each.kernel == kernel.series:
                    tests = objects.with_objects(each.compiler, _pytest(each))
                    await run(f"tests, {each.compiler}", tests, _TESTS_S)
    except Failed as error:
        failed.append(str(error))
    return failed


def _pytest(selection: Selection) -> list[str]:
    plugins = ["-p", "pytest_timeout", "-p", "no:cacheprovider"]
    skips = [f"--skips-only={reason}" for reason in selection.skips or ("",)]
    limits = [f"--timeout={_TEST_S}", "--durations=8"]
    cases = ["--one-of-each"] if selection.one_of_each else []
    options = [*plugins, *skips, *cases, *limits]
    return [*_PYTHON, "-m", "pytest", "--quiet", *options, *selection.tests]


if __name__ == "__main__":
    main()
