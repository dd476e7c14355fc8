# SPDX-License-Identifier: Apache-2.0
"""What the VM tier can fail with, other than a test."""


class Failed(Exception):
    """One line for whoever started it."""
