// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The clock of the data path. */
#ifndef SIXLANE_JIFFIES_H
#define SIXLANE_JIFFIES_H

#include <linux/types.h>

/* HZ of the running kernel; set before load. jiffies cost 4 ns to read, the clock 20 to 34. */
const volatile __u32 jiffies_per_second = 250;

#endif
