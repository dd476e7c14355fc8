# SPDX-License-Identifier: Apache-2.0
"""The agent's API: HTTP and JSON on a unix socket, never on the network."""
