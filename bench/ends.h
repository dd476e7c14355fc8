// SPDX-License-Identifier: Apache-2.0
/*
 * Ends of flows that programs give as ADDRESS, PORT, SOURCE and FIRST. SOURCE is the first of 256
 * addresses, which follow each other in the last byte of IPv4, of IPv6 in the last byte of the /64.
 * FIRST: number of the first flow; who begins behind the last one's end repeats none.
 */
#ifndef BENCH_ENDS_H
#define BENCH_ENDS_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define SOURCES	   256
#define FIRST_PORT 2048
#define PORTS	   60000

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static struct sockaddr_in6 parse(const char *text, int port)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in *v4 = (struct sockaddr_in *)&address;

	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
	} else if (inet_pton(AF_INET6, text, &address.sin6_addr) != 1) {
		fprintf(stderr, "%s is not an address\n", text);
		exit(2);
	}
	return address;
}

static socklen_t length(const struct sockaddr_in6 *address)
{
	return address->sin6_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(*address);
}

/* Where connection `number` comes from. */
static struct sockaddr_in6 source(struct sockaddr_in6 first, unsigned long number)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&first;

	if (first.sin6_family == AF_INET)
		((unsigned char *)&v4->sin_addr)[3] = number % SOURCES;
	else
		first.sin6_addr.s6_addr[7] = number % SOURCES;
	first.sin6_port = htons(FIRST_PORT + number / SOURCES % PORTS);
	return first;
}

/* A socket whose connection is under way. */
static int begin(const struct sockaddr_in6 *from, const struct sockaddr_in6 *to)
{
	struct linger reset = { .l_onoff = 1 };
	int fd = socket(to->sin6_family, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)))
		fail("socket");
	if (bind(fd, (const struct sockaddr *)from, length(from)))
		fail("bind");
	if (connect(fd, (const struct sockaddr *)to, length(to)) && errno != EINPROGRESS)
		fail("connect");
	return fd;
}

#endif
