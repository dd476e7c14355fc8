# SPDX-License-Identifier: Apache-2.0
"""Pod networking: what each pod of this node has, and the devices that it is reached by."""

from sixlane.pods.pod import Asked, Attachment, DeviceChoice, DeviceKind, Lease, PodName, Usual

__all__ = ["Asked", "Attachment", "DeviceChoice", "DeviceKind", "Lease", "PodName", "Usual"]
