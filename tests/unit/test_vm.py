# SPDX-License-Identifier: Apache-2.0
"""What the VM tier decides before a guest runs, and that a skip fails where none may be."""

from pathlib import Path

import pytest

from tests.vm import initramfs, kernels, objects, selections
from tests.vm.errors import Failed


@pytest.fixture
def kernel(tmp_path: Path) -> kernels.Kernel:
    modules = tmp_path / "lib" / "modules" / "6.0.0-test"
    modules.mkdir(parents=True)
    return kernels.Kernel("6.0", tmp_path)


def test_modules_come_behind_those_that_they_need(kernel: kernels.Kernel) -> None:
    (kernel.modules / "modules.builtin").write_text("kernel/drivers/virtio-console.ko\n")
    (kernel.modules / "modules.dep").write_text(
        "fs/virtiofs.ko.xz: fs/fuse.ko.xz ring.ko.xz\n"
        "fs/overlay.ko.xz:\n"
        "virtio_pci.ko.xz: virtio.ko.xz ring.ko.xz\n"
    )
    names = [path.name.split(".")[0] for path in initramfs.in_order(kernel)]
    assert names == ["ring", "virtio", "virtio_pci", "fuse", "virtiofs", "overlay"]


def test_a_kernel_without_a_module_is_refused(kernel: kernels.Kernel) -> None:
    (kernel.modules / "modules.builtin").write_text("virtio_pci.ko\nvirtio_console.ko\n")
    (kernel.modules / "modules.dep").write_text("overlay.ko:\n")
    with pytest.raises(Failed, match="no virtiofs"):
        initramfs.in_order(kernel)


def test_the_newest_package_is_so_by_its_numbers() -> None:
    found = (
        "linux-image-6.12.9+deb12-amd64 - Linux 6.12 for 64-bit PCs (signed)\n"
        "linux-image-6.12.117+deb12-amd64 - Linux 6.12 for 64-bit PCs (signed)\n"
        "linux-image-6.12.20+deb12-amd64 - Linux 6.12 for 64-bit PCs (signed)\n"
    )
    assert kernels.newest(found) == "linux-image-6.12.117+deb12-amd64"
    assert kernels.newest("") is None


@pytest.mark.parametrize("chosen", [selections.CI, selections.ALL])
def test_each_kernel_and_each_compiler_is_in_each_selection(
    chosen: tuple[selections.Selection, ...],
) -> None:
    assert {each.kernel for each in chosen} == set(kernels.SERIES)
    assert {each.compiler for each in chosen} == set(objects.COMPILERS)


def test_what_is_selected_is_there() -> None:
    root = Path(__file__).parents[2]
    for each in (*selections.CI, *selections.ALL):
        for word in each.tests:
            assert (root / word.removeprefix("--deselect=").split("::")[0]).exists(), word


SKIPS = """
import pytest

@pytest.mark.skipif(True, reason="no TCX here")
def test_by_mark():
    pass

def test_by_call():
    pytest.skip("no named here")
"""


@pytest.mark.parametrize(
    ("options", "outcomes"),
    [
        ([], {"skipped": 2}),
        (["--skips-only="], {"errors": 1, "failed": 1}),
        (["--skips-only=no TCX here"], {"skipped": 1, "failed": 1}),
        (["--skips-only=no TCX here", "--skips-only=no named here"], {"skipped": 2}),
    ],
)
def test_a_skip_fails_where_none_may_be(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    outcomes: dict[str, int],
) -> None:
    """pytest calls a failure before the test's own code an error."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))  # conftest imports from tests
    pytester.makeconftest(Path(__file__).parents[1].joinpath("conftest.py").read_text())
    pytester.makepyfile(SKIPS)
    pytester.runpytest_subprocess(*options).assert_outcomes(**outcomes)
