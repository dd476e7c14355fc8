# SPDX-License-Identifier: Apache-2.0
"""The control plane's inside: what is wanted is stored, planned and applied by one thread.

What is in force lives in the kernel and in named; the agent may stop, crash and come back.
"""

from sixlane.agent.agent import Agent
from sixlane.agent.settings import Settings
from sixlane.agent.transaction import Applied, Edit, Transaction

__all__ = ["Agent", "Applied", "Edit", "Settings", "Transaction"]
