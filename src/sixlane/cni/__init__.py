# SPDX-License-Identifier: Apache-2.0
"""The CNI plugin: a program of its own, which knows the agent by its API and nothing of sixlane."""
