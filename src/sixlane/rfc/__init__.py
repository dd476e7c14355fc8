# SPDX-License-Identifier: Apache-2.0
"""Pure references, written from the RFCs and named after them.

Nothing here touches the kernel or imports anything else of sixlane: packets are `bytes`,
addresses are `ipaddress` objects. The data path in C is tested against these modules.
"""
