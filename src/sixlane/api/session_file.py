# SPDX-License-Identifier: Apache-2.0
"""What a file of sessions says of itself, for those who write and who read it.

The first line has kind and version, the last one counts the sessions; between them, one a line.
"""

KIND, VERSION = "SixlaneSessions", 1
MAX_LINE_BYTES = 1024
