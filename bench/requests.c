// SPDX-License-Identifier: Apache-2.0
/*
 * Requests and answers over TCP:
 *
 * requests ask ADDRESS PORT SOURCE FIRST SECONDS AT_ONCE EACH	so many connections at once, with
 *EACH requests, one after another, over each of them
 * requests answer PORT					until SIGTERM
 *
 * SOURCE and FIRST: see ends.h. A connection is ended by RST, so none lingers. The first one prints
 *a JSON object: requests, first (the next FIRST), seconds, and of all requests the median and the
 * 99th percentile, in microseconds, of the time from the request, or the SYN before it, to the end
 *of the answer.
 */
#define _GNU_SOURCE
#include <sys/epoll.h>
#include <unistd.h>

#include "ends.h"

#define REQUEST	  128  /* bytes */
#define ANSWER	  1024 /* bytes */
#define EVENTS	  64
#define PATIENCE  2000 /* ms */
#define LATENCIES (1UL << 22)

struct connection {
	int fd;
	unsigned long left; /* requests */
	size_t missing;	    /* bytes of the answer */
	double since;
};

static int epoll;
static char bytes[ANSWER];
static float latencies[LATENCIES];
static unsigned long answered;

static void watch(int what, int fd, unsigned int events, void *whose)
{
	struct epoll_event event = { .events = events, .data.ptr = whose };

	if (epoll_ctl(epoll, what, fd, &event))
		fail("epoll_ctl");
}

static void ask(struct connection *c)
{
	if (write(c->fd, bytes, REQUEST) != REQUEST)
		fail("a request");
	c->missing = ANSWER;
}

/* Something has come, or the connection has. True: it has done all that it is for. */
static int go_on(struct connection *c)
{
	ssize_t got;

	if (!c->missing) {
		watch(EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
		ask(c);
		return 0;
	}
	got = read(c->fd, bytes, c->missing);
	if (got <= 0)
		fail("an answer");
	c->missing -= got;
	if (c->missing)
		return 0;
	if (answered == LATENCIES) {
		fputs("more requests than there is room for\n", stderr);
		exit(1);
	}

	double time = now();

	latencies[answered++] = (time - c->since) * 1e6;
	c->since = time;
	if (!--c->left)
		return 1;
	ask(c);
	return 0;
}

static int by_size(const void *a, const void *b)
{
	float one = *(const float *)a, other = *(const float *)b;

	return (one > other) - (one < other);
}

static void ask_all(struct sockaddr_in6 to, struct sockaddr_in6 from, unsigned long number,
		    double seconds, int at_once, unsigned long each)
{
	struct connection *all = calloc(at_once, sizeof(*all));
	double start = now(), passed = 0;

	if (!all)
		fail("memory");
	while (passed < seconds) {
		struct epoll_event events[EVENTS];

		for (int i = 0; i < at_once; i++) {
			struct sockaddr_in6 one = source(from, number);
			struct connection *c = &all[i];

			if (c->left)
				continue;
			number++;
			c->left = each;
			c->missing = 0;
			c->since = now();
			c->fd = begin(&one, &to);
			watch(EPOLL_CTL_ADD, c->fd, EPOLLOUT, c);
		}

		int count = epoll_wait(epoll, events, EVENTS, PATIENCE);

		if (count <= 0)
			fail("an answer does not come");
		for (int i = 0; i < count; i++) {
			struct connection *c = events[i].data.ptr;

			if (go_on(c))
				close(c->fd);
		}
		passed = now() - start;
	}
	qsort(latencies, answered, sizeof(*latencies), by_size);
	printf("{\"requests\": %lu, \"first\": %lu, \"seconds\": %.9f, \"p50\": %.1f, \"p99\": "
	       "%.1f}\n",
	       answered, number, passed, latencies[answered / 2], latencies[answered * 99 / 100]);
}

static void answer_all(int port)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int listener = socket(AF_INET6, SOCK_STREAM, 0), one = 1;

	if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(listener, (struct sockaddr *)&any, sizeof(any)) || listen(listener, 4096))
		fail("listen");

	struct epoll_event event = { .events = EPOLLIN, .data.fd = listener }, events[EVENTS];

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event))
		fail("epoll_ctl");
	for (;;) {
		int count = epoll_wait(epoll, events, EVENTS, -1);

		for (int i = 0; i < count; i++) {
			int fd = events[i].data.fd;

			if (fd == listener) {
				event.data.fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
				if (event.data.fd >= 0 &&
				    epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event))
					fail("epoll_ctl");
			} else if (read(fd, bytes, REQUEST) <= 0 ||
				   write(fd, bytes, ANSWER) != ANSWER) {
				close(fd);
			}
		}
	}
}

int main(int argc, char **argv)
{
	epoll = epoll_create1(0);
	if (epoll < 0)
		fail("epoll_create1");
	if (argc == 9 && !strcmp(argv[1], "ask")) {
		ask_all(parse(argv[2], atoi(argv[3])), parse(argv[4], 0),
			strtoul(argv[5], NULL, 10), atof(argv[6]), atoi(argv[7]),
			strtoul(argv[8], NULL, 10));
		return 0;
	}
	if (argc == 3 && !strcmp(argv[1], "answer"))
		answer_all(atoi(argv[2]));
	fputs("usage: requests ask ADDRESS PORT SOURCE FIRST SECONDS AT_ONCE EACH\n"
	      "       requests answer PORT\n",
	      stderr);
	return 2;
}
