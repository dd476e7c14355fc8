# SPDX-License-Identifier: Apache-2.0
"""A small internet in network namespaces: an IPv4-only half, an IPv6-only cluster, sixlane between.

`topology` says what it looks like, `raising` builds it and takes it down, `steps` use it with real
programs, `demo` runs the steps one after the other. `python -m sixlane.lab` is the way in.
"""
