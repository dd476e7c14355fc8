// SPDX-License-Identifier: Apache-2.0
/*
 * New flows, as fast as it can, each from another address and port:
 *
 * flows connections ADDRESS PORT SOURCE FIRST SECONDS	of TCP; each is ended by RST, so none
 * lingers flows datagrams ADDRESS PORT SOURCE FIRST COUNT	of UDP, a datagram of 64 bytes each
 * flows accept PORT					until SIGTERM
 *
 * SOURCE and FIRST: see ends.h. The first two print one JSON object: flows, first (the next FIRST)
 * and seconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "ends.h"

#define AT_ONCE	 64
#define PATIENCE 2000 /* ms */
#define DATAGRAM 64   /* bytes */

/* Waits for it, and ends it. */
static void end(int fd)
{
	struct pollfd wanted = { .fd = fd, .events = POLLOUT };
	int error = 0;
	socklen_t size = sizeof(error);

	if (poll(&wanted, 1, PATIENCE) != 1)
		fail("a connection does not come");
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) || error) {
		errno = error;
		fail("connection");
	}
	close(fd);
}

static void tell(unsigned long flows, unsigned long first, double seconds)
{
	printf("{\"flows\": %lu, \"first\": %lu, \"seconds\": %.9f}\n", flows, first, seconds);
}

static void make_connections(struct sockaddr_in6 to, struct sockaddr_in6 from, double seconds,
			     unsigned long number)
{
	unsigned long count = 0;
	double start = now(), passed = 0;

	while (passed < seconds) {
		int fds[AT_ONCE];

		for (int i = 0; i < AT_ONCE; i++) {
			struct sockaddr_in6 one = source(from, number + i);

			fds[i] = begin(&one, &to);
		}
		for (int i = 0; i < AT_ONCE; i++)
			end(fds[i]);
		number += AT_ONCE;
		count += AT_ONCE;
		passed = now() - start;
	}
	tell(count, number, passed);
}

static unsigned int add(unsigned int sum, const void *data, size_t bytes)
{
	unsigned short word;

	for (size_t at = 0; at < bytes; at += sizeof(word)) {
		memcpy(&word, (const char *)data + at, sizeof(word));
		sum += word;
	}
	return sum;
}

static unsigned short fold(unsigned int sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* A frame with a datagram between the two; its length. */
static size_t make_frame(unsigned char *at, const unsigned char *gateway,
			 const struct sockaddr_in6 *from, const struct sockaddr_in6 *to)
{
	struct ethhdr *eth = (struct ethhdr *)at;
	int is_v4 = to->sin6_family == AF_INET;
	size_t head = ETH_HLEN + (is_v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
	struct udphdr *udp = (struct udphdr *)(at + head);
	unsigned int sum = htons(IPPROTO_UDP) + htons(DATAGRAM);

	memset(at, 0, head + DATAGRAM);
	memcpy(eth->h_dest, gateway, ETH_ALEN);
	eth->h_source[0] = 2;
	eth->h_proto = htons(is_v4 ? ETH_P_IP : ETH_P_IPV6);
	udp->source = from->sin6_port;
	udp->dest = to->sin6_port;
	udp->len = htons(DATAGRAM);
	if (is_v4) {
		struct iphdr *ip = (struct iphdr *)(eth + 1);

		ip->version = 4;
		ip->ihl = sizeof(*ip) / 4;
		ip->ttl = 64;
		ip->protocol = IPPROTO_UDP;
		ip->tot_len = htons(sizeof(*ip) + DATAGRAM);
		ip->saddr = ((const struct sockaddr_in *)from)->sin_addr.s_addr;
		ip->daddr = ((const struct sockaddr_in *)to)->sin_addr.s_addr;
		ip->check = fold(add(0, ip, sizeof(*ip)));
		sum = add(sum, &ip->saddr, 8);
	} else {
		struct ipv6hdr *ip = (struct ipv6hdr *)(eth + 1);

		ip->version = 6;
		ip->hop_limit = 64;
		ip->nexthdr = IPPROTO_UDP;
		ip->payload_len = htons(DATAGRAM);
		ip->saddr = from->sin6_addr;
		ip->daddr = to->sin6_addr;
		sum = add(sum, &ip->saddr, 32);
	}
	udp->check = fold(add(sum, udp, DATAGRAM));
	return head + DATAGRAM;
}

/* Sends at a device, past the stack and its routes, which would take longer than a gateway. */
static int packet_socket(const char *device)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(device) };
	int fd = socket(AF_PACKET, SOCK_RAW, 0), one = 1;

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)))
		fail(device);
	return fd;
}

static void send_datagrams(int fd, const char *gateway, struct sockaddr_in6 to,
			   struct sockaddr_in6 from, unsigned long number, unsigned long count)
{
	static unsigned char frames[AT_ONCE][ETH_HLEN + sizeof(struct ipv6hdr) + DATAGRAM];
	struct ether_addr *mac = ether_aton(gateway);
	struct mmsghdr messages[AT_ONCE] = {};
	struct iovec buffers[AT_ONCE];
	double start = now();

	if (!mac)
		fail(gateway);
	for (unsigned long sent = 0; sent < count; sent += AT_ONCE) {
		for (int i = 0; i < AT_ONCE; i++) {
			struct sockaddr_in6 one = source(from, number++);

			buffers[i].iov_base = frames[i];
			buffers[i].iov_len =
				make_frame(frames[i], mac->ether_addr_octet, &one, &to);
			messages[i].msg_hdr.msg_iov = &buffers[i];
			messages[i].msg_hdr.msg_iovlen = 1;
		}
		if (sendmmsg(fd, messages, AT_ONCE, 0) != AT_ONCE)
			fail("sendmmsg");
	}
	tell(count, number, now() - start);
}

static void accept_all(int port)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd = socket(AF_INET6, SOCK_STREAM, 0), one = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&any, sizeof(any)) || listen(fd, 4096))
		fail("listen");
	for (;;) {
		int accepted = accept(fd, NULL, NULL);

		if (accepted >= 0)
			close(accepted);
	}
}

int main(int argc, char **argv)
{
	if (argc == 7 && !strcmp(argv[1], "connections")) {
		make_connections(parse(argv[2], atoi(argv[3])), parse(argv[4], 0), atof(argv[6]),
				 strtoul(argv[5], NULL, 10));
		return 0;
	}
	if (argc == 9 && !strcmp(argv[1], "datagrams")) {
		send_datagrams(packet_socket(argv[7]), argv[8], parse(argv[2], atoi(argv[3])),
			       parse(argv[4], 0), strtoul(argv[5], NULL, 10),
			       strtoul(argv[6], NULL, 10));
		return 0;
	}
	if (argc == 3 && !strcmp(argv[1], "accept"))
		accept_all(atoi(argv[2]));
	fputs("usage: flows connections ADDRESS PORT SOURCE FIRST SECONDS\n"
	      "       flows datagrams ADDRESS PORT SOURCE FIRST COUNT DEVICE MAC\n"
	      "       flows accept PORT\n",
	      stderr);
	return 2;
}
