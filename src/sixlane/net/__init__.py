# SPDX-License-Identifier: Apache-2.0
"""Network namespaces, links, addresses, routes, neighbours, tc filters, features and sysctls.

Everything here works in the network namespace of the *calling thread* (`netns.inside` changes it),
opens its socket for one request and closes it again, hides pyroute2, and reads each write back:
what a function returned from, the kernel shows. Errors are `ConfigError` (no such device) and
`KernelError` (the kernel's number, and its own words where it gave some).
"""
