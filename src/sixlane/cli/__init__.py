# SPDX-License-Identifier: Apache-2.0
"""The `sixlane` command. It starts in 0.15 s, so what takes time to import is imported late."""
