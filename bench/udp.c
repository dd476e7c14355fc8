// SPDX-License-Identifier: Apache-2.0
/*
 * UDP datagrams of 64 bytes, as many as it can or at a rate, and how many of them arrive:
 *
 * udp send ADDRESS PORT SECONDS RATE	RATE datagrams a second; 0: as fast as it can
 * udp receive PORT			until SIGTERM; says "ready" on stderr once it can
 *
 * Each prints one JSON object: datagrams, seconds (from the first to the last one), and
 * cpu_seconds, the time of CPUs that this process had meanwhile.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

#define DATAGRAM_BYTES 64
#define AT_ONCE	       64
#define TICK_SECONDS   0.001
#define BUFFER_BYTES   (16 << 20)

static volatile sig_atomic_t ended;

static void end(int number)
{
	ended = number;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static double now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void sleep_until(double when)
{
	struct timespec time = { .tv_sec = when };

	time.tv_nsec = (when - time.tv_sec) * 1e9;
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR)
		;
}

static void tell(unsigned long datagrams, double seconds, double cpu_seconds)
{
	printf("{\"datagrams\": %lu, \"seconds\": %.9f, \"cpu_seconds\": %.9f}\n", datagrams,
	       seconds, cpu_seconds);
}

/* As many messages of one buffer each. */
static void prepare(struct mmsghdr *messages, struct iovec *buffers, char *data)
{
	memset(messages, 0, AT_ONCE * sizeof(*messages));
	for (int i = 0; i < AT_ONCE; i++) {
		buffers[i].iov_base = data + i * DATAGRAM_BYTES;
		buffers[i].iov_len = DATAGRAM_BYTES;
		messages[i].msg_hdr.msg_iov = &buffers[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
}

static int connected(const char *address, const char *port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST };
	struct addrinfo *to;
	int fd;

	if (getaddrinfo(address, port, &hints, &to))
		fail(address);
	fd = socket(to->ai_family, SOCK_DGRAM, 0);
	if (fd < 0 || connect(fd, to->ai_addr, to->ai_addrlen))
		fail("connect");
	freeaddrinfo(to);
	return fd;
}

static void send_all(int fd, double seconds, double rate)
{
	static char data[AT_ONCE * DATAGRAM_BYTES];
	struct mmsghdr messages[AT_ONCE];
	struct iovec buffers[AT_ONCE];
	unsigned long sent = 0;
	double cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	double start = now(CLOCK_MONOTONIC), time = start;

	prepare(messages, buffers, data);
	while (time - start < seconds) {
		unsigned long due = AT_ONCE;

		if (rate) {
			unsigned long until_now = (time - start + TICK_SECONDS) * rate;

			due = until_now > sent ? until_now - sent : 0;
			due = due < AT_ONCE ? due : AT_ONCE;
		}
		if (due) {
			int done = sendmmsg(fd, messages, due, 0);

			/* Nobody listened yet, or no buffer was left: neither ends it. */
			if (done < 0 && errno != ECONNREFUSED && errno != ENOBUFS)
				fail("sendmmsg");
			sent += done > 0 ? done : 0;
		} else {
			sleep_until(time + TICK_SECONDS);
		}
		time = now(CLOCK_MONOTONIC);
	}
	tell(sent, time - start, now(CLOCK_PROCESS_CPUTIME_ID) - cpu);
}

static int bound(const char *port)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(atoi(port)) };
	struct timeval patience = { .tv_usec = 50000 };
	int bytes = BUFFER_BYTES;
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)))
		fail("bind");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
		fail("setsockopt");
	return fd;
}

static void receive_all(int fd)
{
	static char data[AT_ONCE * DATAGRAM_BYTES];
	struct mmsghdr messages[AT_ONCE];
	struct iovec buffers[AT_ONCE];
	unsigned long received = 0;
	double cpu = now(CLOCK_PROCESS_CPUTIME_ID), first = 0, last = 0;

	prepare(messages, buffers, data);
	for (;;) {
		int count = recvmmsg(fd, messages, AT_ONCE, MSG_WAITFORONE, NULL);

		if (count <= 0) {
			if (ended) /* and nothing is left in the queue */
				break;
			continue;
		}
		last = now(CLOCK_MONOTONIC);
		if (!received)
			first = last;
		received += count;
	}
	tell(received, last - first, now(CLOCK_PROCESS_CPUTIME_ID) - cpu);
}

int main(int argc, char **argv)
{
	struct sigaction on_end = { .sa_handler = end };

	prctl(PR_SET_TIMERSLACK, 1);
	if (argc == 6 && !strcmp(argv[1], "send")) {
		send_all(connected(argv[2], argv[3]), atof(argv[4]), atof(argv[5]));
		return 0;
	}
	if (argc == 3 && !strcmp(argv[1], "receive")) {
		int fd = bound(argv[2]);

		sigaction(SIGTERM, &on_end, NULL);
		fputs("ready\n", stderr);
		receive_all(fd);
		return 0;
	}
	fputs("usage: udp send ADDRESS PORT SECONDS RATE | udp receive PORT\n", stderr);
	return 2;
}
