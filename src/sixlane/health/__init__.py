# SPDX-License-Identifier: Apache-2.0
"""Health checks of backends: a process of its own, which the agent tells what to check.

What it finds out is the agent's to put in force. While either is away, what is in force stays.
"""
