// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Every struct and enum that C and Python share, and nothing else.
 *
 * Python's side (src/sixlane/datapath/layout.py) is generated from this file through BTF. Rules:
 * big-endian fields are __be*, units stand in names, padding is explicit and zero, no unions, no
 * bit fields.
 */
#ifndef SIXLANE_TYPES_H
#define SIXLANE_TYPES_H

#include <linux/types.h>

enum limit {
	MAX_PREFIXES = 64,
	MAX_DEVICES = 16,
	MAX_EAM_LENGTHS = 32,
	NAME_BYTES = 32,
	NEXT_HOP_SLOTS = 16384, /* of each CPU, as those below */
	PAIR_SLOTS = 16384,
	PAIR_WAYS = 2,
	FRONTEND_WAYS = 2,
	NEIGHBOUR_SLOTS = 256,
	EVENT_HEAD_BYTES = 64,
	EVENT_RING_BYTES = 1 << 20,
	MAX_ICMP_POOL = 16,
	VISIT_REASONS = 4,
	VISIT_EAMS = 4,
	VISIT_FLOWS = 2,	  /* of a hairpin */
	CAPTURE_BYTES_MAX = 2048, /* of each frame */
	CAPTURE_RING_BYTES = 1 << 22,
	MAX_POOLS = 16,
	MAX_POOL_RANGES = 32,
	CLIENT_BLOCKS = 8,
	BLOCK_WORDS = 16,      /* at most, of 64 ports each */
	PORT_WORDS = 1024,     /* of each protocol and pool4 address */
	ROOM_UNLESS_ASKED = 1, /* of tables that the loader makes as large as they are to be */
	SYN_WAYS = 8,	       /* SYNs that are kept of one endpoint outside */
	SYN_HEAD_BYTES = 104,  /* of each: the longest headers of IPv6 and TCP */
	SESSION_RING_BYTES = 1 << 22,
	FLOW_CELLS = 8, /* of a set: one cache line */
	FLOW_HASH_WORDS = 10,
	SERVICE_NAME_BYTES = 64,
	RING_MEMBERS_MAX = 1024,
	RING_SIZE_MAX = 1 << 17,
};

/* An address of either family: IPv4 is ::ffff:a.b.c.d. */
struct addr {
	__be64 hi;
	__be64 lo;
};

enum prefix_flag {
	PREFIX_WELL_KNOWN = 1, /* 64:ff9b::/96: only global IPv4 addresses (RFC 6052 3.1) */
	PREFIX_RESTRICTED = 2, /* has loadBalancerSourceRanges */
};

/* One entry of pool6. Entries are sorted by falling length. */
struct prefix {
	struct addr addr;
	struct addr mask;
	__u32 id; /* of its counters; stays with the name across generations */
	__u8 len; /* 32, 40, 48, 56, 64 or 96 */
	__u8 flags;
	__u16 max_segment_bytes; /* that a TCP SYN may offer (RFC 9293 3.7.1); 0: whatever it does
				  */
};

struct label {
	__u8 text[NAME_BYTES]; /* NUL-padded */
};

/* The namespace in which the kernel does what BPF cannot: the veth pair that leads there. */
struct slow_path {
	__u32 ifindex;	  /* our end; 0: there is none */
	__u8 near_mac[6]; /* our end */
	__u8 far_mac[6];  /* the end in the namespace */
};

/* The marks of frames there that ask for more than to be cut: these, or how large pieces may be. */
enum slow_mark {
	SLOW_IN_ORDER = 1, /* all fragments of a packet: put together, and cut again */
	SLOW_CALLED = 2,   /* the same to a frontend: each fits into a tunnel */
};

enum gateway_flag {
	GATEWAY_NEXT_HOP_CACHE = 1,	 /* the next hop depends on nothing but the destination */
	GATEWAY_FIXED_TOS = 2,		 /* `tos` for each IPv4 packet, else the traffic class */
	GATEWAY_FIXED_TRAFFIC_CLASS = 4, /* `traffic_class` for each IPv6 packet, else the TOS */
	GATEWAY_UDP_COMPUTE = 8,	 /* a UDP checksum of zero is computed, else dropped */
	GATEWAY_HAIRPIN = 16,		 /* from inside to inside by IPv4 addresses (RFC 7757 4) */
	GATEWAY_HAIRPIN_SIMPLE = 32,	 /* by the rules of 4.2.1, else by those of 4.2.2 */
	GATEWAY_ICMP_ORIGIN = 64,	 /* `icmp_pool` is told with the origin (RFC 5837) */
	GATEWAY_ICMP_UNLIMITED = 128,	 /* icmp_errors_per_second is no matter */
	GATEWAY_STATEFUL = 256,		 /* has pool4 */
	GATEWAY_FILTER_ADDRESS = 512,	 /* address-dependent filtering (RFC 6146 3.5) */
	GATEWAY_NO_SYN_46 = 1024,	 /* TCP is not opened from outside */
	GATEWAY_LOG_BLOCKS = 2048,   /* port blocks that clients get and give back are told of */
	GATEWAY_LOG_SESSIONS = 4096, /* as are sessions that are made and that end */
	GATEWAY_SERVICES = 8192,     /* has frontends */
	GATEWAY_NAT = 16384,	     /* and services that are translated */
};

/* IPv4 addresses that follow each other. */
struct range4 {
	__u32 first; /* host order */
	__u32 count;
};

/* Of pool4: IPv4 addresses that follow each other, the first of which has that index in `used4` and
 * the other tables by address. */
struct pool_range {
	__u32 first; /* host order */
	__u32 count;
	__u32 index;
};

struct port_range {
	__u16 first;
	__u16 last;
};

enum session_protocol {
	SESSION_TCP,
	SESSION_UDP,
	SESSION_ICMP, /* queries; the identifier is its port (RFC 6146 2) */
	SESSION_PROTOCOLS,
};

/* An entry of pool4. Entries are sorted by falling length of `clients`. */
struct pool {
	struct addr clients; /* who is translated by it */
	struct addr mask;
	__u16 first_range; /* into pool_ranges */
	__u16 range_count;
	__u32 addresses; /* in its ranges */
	struct port_range ports[SESSION_PROTOCOLS];
	__u16 block_words;  /* of 64 ports each */
	__u16 blocks;	    /* at most, of each client */
	__u32 max_sessions; /* of each client; 0: any number */
	__u32 id;	    /* stays with the name across generations */
	__u32 pad;
};

/* How long sessions live without packets (RFC 6146 4), in seconds. */
enum lifetime {
	LIFETIME_UDP,
	LIFETIME_ICMP,
	LIFETIME_TCP_ESTABLISHED,
	LIFETIME_TCP_TRANSITORY,
	LIFETIME_TCP_INCOMING_SYN,
	LIFETIME_COUNT,
};

/* What is known of a flow that a backend was chosen for; 0: nothing. */
enum flow_state {
	FLOW_FREE,
	FLOW_NEW, /* one packet was seen: it gives way to any other flow */
	FLOW_TCP,
	FLOW_UDP,
	FLOW_CLOSING, /* the client's FIN or a RST was */
	FLOW_CLIENT,  /* all flows of a client to a service: session affinity */
	FLOW_STATES = 8,
};

/* Sources of tunnels to backends: these bits, and as many of the flow's hash as are left. */
struct tunnel_source {
	struct addr addr;
	struct addr host_mask;
};

/* All small configuration of one generation: one look-up a packet. */
struct gateway {
	__u32 prefix_count;
	__u32 eam4_lens_count;
	__u32 eam6_lens_count;
	__u32 lowest_ipv6_mtu_bytes;
	__u32 icmp_errors_per_second; /* for each CPU */
	__u32 flags;
	__u8 tos;
	__u8 traffic_class;
	__u16 icmp_pool_count; /* ranges in use */
	__u32 icmp_pool_addresses;
	__u16 native_max_segment_bytes; /* that a SYN of IPv6 may offer that passes; 0: anything */
	__u16 pad;
	/* Sources of ICMP errors from routers that have no IPv4 address (RFC 6791). */
	struct range4 icmp_pool[MAX_ICMP_POOL];
	/* For whoever configures: what is in force? Each names what its table was made of. */
	__u64 digest; /* of all of this generation */
	__u64 ranges_digest;
	__u64 eam_digest;		     /* of eam4 and eam6 */
	__u64 sources_digests[MAX_PREFIXES]; /* 0: prefixes[n] lets everybody in */
	struct slow_path slow;
	struct addr icmp_source4;
	struct addr icmp_source6;
	__u8 eam4_lens[MAX_EAM_LENGTHS]; /* in use, falling */
	__u8 eam6_lens[MAX_EAM_LENGTHS];
	__u8 prefix_indices[MAX_PREFIXES]; /* into prefixes, by id; 0xff: there is none */
	__u32 lifetimes_seconds[LIFETIME_COUNT];
	__u32 pool_count;
	__u32 pool_range_count;
	__u32 client_bits; /* whose addresses begin alike is one client */
	struct pool pools[MAX_POOLS];
	struct pool_range pool_ranges[MAX_POOL_RANGES];
	__u64 services_digest;		   /* of frontends, service_bits and services */
	__u64 service_sources_digest;	   /* of service_sources */
	__u32 service_bits_mask;	   /* number of words in service_bits, less one */
	__u32 flow_ticks[FLOW_STATES];	   /* that a flow is remembered without packets: see
					      flow_tick_shift; less than 4,096 */
	__u32 flow_words[FLOW_HASH_WORDS]; /* alike on all gateways of a group */
	__u32 services_pad;
	struct tunnel_source tunnel4;
	struct tunnel_source tunnel6;
	__u64 macs[MAX_DEVICES]; /* our devices' addresses, as the low 48 bits, first byte lowest */
	struct prefix prefixes[MAX_PREFIXES];
	struct label names[MAX_PREFIXES];
};

/*
 * What is known of each IPv4 address: a trie with strides 16, 8, 8 whose nodes are blocks of 256
 * words. Block n below 256 is the n-th part of the root. A word is another block (RANGE_BLOCK and
 * its number) or the answer.
 *
 * Block RANGE_NATIVE_SETS is none of the trie: it holds sets of pool6 prefixes, one bit each by
 * their index, two words a set. An address has the number of the set of those under which its IPv6
 * form is left to routing (RFC 7915 5.6); set 0 is empty.
 */
enum range_word {
	RANGE_BLOCK = 1 << 30,
	RANGE_NOT_GLOBAL = 1 << 29,
	RANGE_ILLEGAL_SOURCE = 1 << 28,
	RANGE_POOL4 = 1 << 27,
	RANGE_NATIVE_SHIFT = 8,
	RANGE_NATIVE_MASK = 0x7f << RANGE_NATIVE_SHIFT,
	RANGE_SERVED_MASK = 0xff, /* index of the serving prefix + 1 */
	RANGE_NATIVE_SETS = 256,  /* number of a block */
};

struct range_block {
	__u32 words[256];
};

/*
 * The IPv4 sources that a prefix lets in: a trie of strides 8, 8, 8, 8 with the root as node 0. A
 * node has a bit for each of its 256 parts: `child`, the part is a node of its own; else `let_in`,
 * all of the part is let in. The children of one word of bits are numbered from `first` on.
 */
struct source_node {
	__u64 child[4];
	__u64 let_in[4];
	__u32 first[4];
};

/* Explicit address mappings (RFC 7757), a hash for each family keyed by the masked address and its
 * length. */
struct eam4_key {
	__u32 len;
	__be32 addr;
};

struct eam6_key {
	struct addr addr;
	__u32 len;
	__u32 pad;
};

enum eam_flag {
	EAM_REMOTE = 1, /* the IPv4 side is outside */
};

struct eam {
	struct addr addr6;
	__be32 addr4;
	__u8 len4;
	__u8 len6;
	__u8 flags;
	__u8 pad;
};

struct counter {
	__u64 pkts;
	__u64 bytes; /* of layer 3, as received */
};

/* By the family of a packet as it came in. */
enum direction {
	DIRECTION_46 = 0,
	DIRECTION_64 = 1,
	DIRECTION_COUNT = 2,
};

enum protocol {
	PROTOCOL_OTHER,
	PROTOCOL_TCP,
	PROTOCOL_UDP,
	PROTOCOL_ICMP, /* of either family */
	PROTOCOL_COUNT,
};

/* Why a packet left the pipeline as it did, or what else is worth counting; the index of
 * `counters`. */
enum reason {
	REASON_NONE,
	/* sent on */
	FORWARD_46,
	FORWARD_64,
	FORWARD_HAIRPIN,
	FORWARD_NATIVE,
	FORWARD_SLOW_PATH,
	FORWARD_SERVICE, /* to a backend */
	FORWARD_REPLY,	 /* from a backend to a client */
	FORWARD_CHECK,	 /* a health check to a backend, by a tunnel */
	ECHO_ANSWERED,
	/* left to the kernel, untouched */
	PASS_NOT_CONFIGURED,
	PASS_NOT_IP,
	PASS_OTHER_HOST,
	PASS_NOT_OURS,
	PASS_NATIVE,
	/* dropped */
	DROP_TRUNCATED,
	DROP_MALFORMED,
	DROP_BAD_HEADER_CHECKSUM,
	DROP_PROTOCOL,
	DROP_EXTENSION_HEADERS,
	DROP_SOURCE_ROUTE,
	DROP_ICMP_FRAGMENT,
	DROP_ICMP_TYPE,
	DROP_ICMP_NESTED,
	DROP_ILLEGAL_SOURCE,
	DROP_NOT_GLOBAL,
	DROP_SOURCE_NOT_ALLOWED,
	DROP_SOURCE_NOT_MAPPABLE,
	DROP_DESTINATION_NOT_MAPPABLE,
	DROP_TTL_EXPIRED,
	DROP_UDP_ZERO_CHECKSUM,
	DROP_NO_ROUTE,
	DROP_BLACKHOLE,
	DROP_FORWARDING_OFF,
	DROP_TOO_BIG,
	DROP_NO_SLOW_PATH,
	DROP_RESIZE_FAILED,
	DROP_FROM_POOL6,
	DROP_NO_SESSION_PROTOCOL,
	DROP_NO_BINDING,
	DROP_NO_SESSION,
	DROP_FILTERED,
	DROP_NO_PORT,
	DROP_TOO_MANY_SESSIONS,
	DROP_TABLE_FULL,
	DROP_SYN_STORED,
	DROP_SYN_REPEATED,
	DROP_SYN_STORE_FULL,
	DROP_NO_FRONTEND,
	DROP_NO_BACKEND,
	DROP_NO_FLOW,
	/* beside a drop: what became of the ICMP error */
	ICMP_ERROR_SENT,
	ICMP_ERROR_LIMITED,
	ICMP_ERROR_FAILED,
	/* beside any packet: one that was kept, and not waited for */
	SYN_EXPIRED,
	/* beside any packet: a session or a block that the log does not have */
	SESSION_LOG_LOST,
	/* beside a drop, while somebody monitors: why there is no event */
	EVENT_LIMITED,
	EVENT_LOST,
	/* beside any packet, while somebody captures: why it is not captured */
	CAPTURE_LIMITED,
	CAPTURE_LOST,
	REASON_COUNT,
};

/* What became of packets of one prefix, direction and protocol. */
struct prefix_counter {
	struct counter reasons[REASON_COUNT];
};

/*
 * What was counted before the maps of `counters` and `prefix_counters` had their present layout:
 * keys of the sums. `map` is the kernel's number of the map that a sum comes from. As enums stand
 * in them, the types (BTF) of the maps hold the names of all reasons and directions: by these,
 * another version knows what it finds.
 */
struct past_reason {
	enum reason reason;
	__u32 map;
};

struct past_prefix {
	__u32 prefix; /* as in `prefix_counters` */
	enum direction direction;
	enum protocol protocol;
	enum reason reason;
	__u32 map;
};

/* A token bucket of one CPU, one second deep; enum bucket_index is the index of `buckets`. */
struct bucket {
	__u64 filled_jiffies;
	__u64 tokens;
};

enum bucket_index {
	BUCKET_ICMP_ERRORS, /* RFC 4443 2.4 f, RFC 1812 4.3.2.8 */
	BUCKET_EVENTS,
	BUCKET_CAPTURES,
	BUCKET_COUNT,
};

/* Whether dropped packets are told of in `events`. */
struct monitor {
	__u32 enabled;
	__u32 events_per_second; /* for each CPU */
};

/* Where a frame goes from here. */
struct hop {
	__u32 ifindex;
	__u32 mtu_bytes;
	__u8 dst_mac[6];
	__u8 src_mac[6];
	__u8 resolved;	/* 0: the neighbour is not known yet, and neither are the MACs */
	__u8 by_kernel; /* 1: the kernel is to send the next one, to see that the neighbour is used
			 */
	__u16 pad;
};

/* Where a packet enters the pipeline. */
enum entry {
	ENTRY_XDP,
	ENTRY_TC,
};

enum event_flag {
	EVENT_ADDRESSES = 1, /* protocol, src and dst are those of the packet */
	EVENT_PORTS = 2,     /* src_port and dst_port are */
	EVENT_ICMP = 4,	     /* icmp_type and icmp_code are */
	EVENT_FRAGMENT = 8,
};

/* One dropped packet. */
struct drop_event {
	__u64 time_ns; /* of CLOCK_MONOTONIC */
	struct addr src;
	struct addr dst;
	__u32 reason;  /* enum reason */
	__u32 ifindex; /* that it came in by */
	__u32 bytes;   /* of layer 3, as in `counters` */
	__u32 flags;
	__be16 ethertype;
	__be16 src_port;
	__be16 dst_port;
	__u8 entry;
	__u8 protocol; /* behind the extension headers, as far as those could be read */
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 head_bytes;
	__u8 pad[5];
	__u8 head[EVENT_HEAD_BYTES]; /* the first head_bytes of layer 3 */
};

enum session_event_kind {
	SESSION_EVENT_BLOCK_GIVEN = 1,
	SESSION_EVENT_BLOCK_BACK,
	SESSION_EVENT_MADE,
	SESSION_EVENT_ENDED,
};

/* One line of the log of sessions. What a block has not is zero. */
struct session_event {
	__u64 time_ns;	    /* of CLOCK_MONOTONIC */
	struct addr inside; /* of a block: its client */
	__be32 pool;
	__be32 remote;
	__be16 inside_port;
	__be16 pool_port; /* of a block: its first */
	__be16 last_port; /* of a block */
	__be16 remote_port;
	__u8 kind;	  /* enum session_event_kind */
	__u8 protocol;	  /* enum session_protocol */
	__u8 client_bits; /* of a block */
	__u8 pad[5];
};

enum capture_outcome {
	CAPTURE_SENT = 1,
	CAPTURE_DROPPED = 2, /* and maybe answered */
	CAPTURE_PASSED = 4,
};

/* Which packets are captured, as they come in; 0 in what narrows it: any. */
struct capture_rule {
	__u32 outcomes;	       /* enum capture_outcome */
	__u32 pkts_per_second; /* for each CPU */
	__u32 frame_bytes;     /* kept of each frame, at most CAPTURE_BYTES_MAX */
	__u32 ifindex;
	__u32 protocol; /* enum protocol + 1 */
	__u32 port;	/* of either end */
};

/*
 * One packet: `before_kept` bytes of the frame as it came, and then `after_kept` bytes of the one
 * that was sent, if any.
 */
struct capture {
	__u64 time_ns; /* of CLOCK_MONOTONIC */
	__u32 ifindex;
	__u32 entry;
	__u32 outcome;
	__u32 before_bytes;
	__u32 before_kept;
	__u32 after_bytes;
	__u32 after_kept;
	__u32 reason_count;
	__u32 reasons[VISIT_REASONS];
	__u32 armed; /* enum capture_state; of the programs alone */
	__u32 pad;
	__u8 frames[2 * CAPTURE_BYTES_MAX];
};

enum capture_state {
	CAPTURE_UNWANTED,
	CAPTURE_READY,
	CAPTURE_OVER_RATE,
};

/* When the kernel last sent to a neighbour, so that it asks whether a stale one is still there. */
struct neighbour_use {
	__u64 neighbour; /* MAC and device, 0: none */
	__u64 asked_jiffies;
};

/* A remembered answer of the FIB: direct-mapped, its full address as tag. One cache line. */
struct next_hop {
	struct addr dst;
	__u64 expires_jiffies;
	__u32 epoch;
	struct hop hop;
	__u32 pad[3];
};

/*
 * What is remembered of packets between two addresses, or, of a session, between two ports there:
 * all that was decided by these alone. Two cache lines; the first one tells whether it is what is
 * looked for.
 */
struct pair {
	struct addr src; /* as received */
	struct addr dst;
	__u64 to_and_from; /* XDP: the MAC that frames came to, as in struct gateway; above it the
			      source port */
	__be16 dst_port;
	__u8 protocol; /* of a session, as in the IP header; else 0, as the ports are */
	__u8 prefix;   /* index of the entry that serves the inside address */
	__u32 generation;
	__u64 expires_jiffies;
	struct addr new_src;
	struct addr new_dst;
	struct hop hop;
	__u32 epoch;
	__u16 sum;	      /* what the new addresses do to a transport checksum */
	__u16 counter_prefix; /* as in `prefix_counters` */
	__be16 new_port;
	__u16 ipv4_id; /* of the next packet */
};

/* Of a set of pairs: what is in it, without looking there. */
struct pair_tags {
	__u32 tags[PAIR_WAYS]; /* 0: nothing yet */
	__u32 knocks;	       /* for others, that found it full */
	__u32 pad;
};

/*
 * Sessions of stateful NAT64 (RFC 6146). Ports are those of the wire; of ICMP queries, the
 * identifier. Keys are hashed: padding is zero.
 */
struct session6_key {
	struct addr inside;
	__be32 remote;
	__be16 inside_port;
	__be16 remote_port;
	__u8 protocol; /* enum session_protocol */
	__u8 prefix;   /* id of the pool6 prefix under which the remote address was called */
	__u8 pad[6];
};

struct session4_key {
	__be32 pool;
	__be32 remote;
	__be16 pool_port;
	__be16 remote_port;
	__u8 protocol;
	__u8 pad[3];
};

/* Whom the node behind a port of pool4 has talked to, whatever their port. */
struct filter4_key {
	__be32 pool;
	__be32 remote;
	__be16 pool_port;
	__u8 protocol;
	__u8 pad;
};

struct binding6_key {
	struct addr inside;
	__be16 inside_port;
	__u8 protocol;
	__u8 pad[5];
};

enum index_size {
	INDEX_CELLS = 7,
	INDEX_SECRET_WORDS = 10, /* as the longest key has */
};

/* One cache line (index.h). */
struct index_set {
	__u64 cells[INDEX_CELLS]; /* a key's tag, and from bit 31 down slot + 1; 0: free */
	__u64 elsewhere;	  /* how many keys of this set are in their other one */
};

/* Whoever changes where a key lies changes the layout of this. */
struct index_secret {
	__u32 words[INDEX_SECRET_WORDS];
};

/* Where a record is. Another serial number there: it is another one's by now. */
struct slot_ref {
	__u32 slot;
	__u32 serial;
};

enum session_state {
	SESSION_FREE,
	SESSION_OPEN, /* UDP, ICMP */
	SESSION_V4_INIT,
	SESSION_V6_INIT,
	SESSION_ESTABLISHED,
	SESSION_V4_FIN,
	SESSION_V6_FIN,
	SESSION_BOTH_FIN,
	SESSION_TRANS,
	SESSION_STATE_BITS = 4,
	SESSION_STATE_MASK = 15,
	SESSION_ADDED = 15, /* with no deadline: not alive yet */
};

/* One cache line. */
struct session {
	__u64 word; /* enum session_state; above SESSION_STATE_BITS the jiffy that it lives until */
	struct addr inside;
	__be32 pool;
	__be32 remote;
	__be16 inside_port;
	__be16 pool_port;
	__be16 remote_port;
	__u8 protocol;
	__u8 prefix;
	__u32 serial;
	__u32 binding;	   /* its slot */
	__u32 generation6; /* of the tables that packets from inside were last checked against */
	__u32 generation4; /* and those from outside */
	__u32 next;	   /* while free: slot + 1 of the next free one */
	__u32 filtered;	   /* it is counted in `filters4` */
};

/* An entry of a BIB (RFC 6146 3.1). */
struct binding {
	struct addr inside;
	__u32 sessions; /* that hold it, or GONE, or ADDED */
	__be32 pool;
	__be16 inside_port;
	__be16 pool_port;
	__u8 protocol;
	__u8 prefix;	  /* as of its first session: for those that are opened from outside */
	__u8 address;	  /* index of `pool` */
	__u8 client_bits; /* as of when its client was found */
	__u32 serial;
	__u32 next;	     /* as in struct session */
	__u32 until_seconds; /* that its sessions live; in jiffies, by the second */
	__u8 doubtful;	     /* one of them ended before its time: maybe none lives as long */
	__u8 flags;	     /* enum binding_flag */
	__u8 pad[2];
};

enum binding_flag {
	BINDING_STATIC = 1,   /* it lives without sessions */
	BINDING_OWN_PORT = 2, /* its port is taken in no client's block */
};

enum bind_result {
	BIND_DONE,
	BIND_INSIDE_BOUND, /* to another port of pool4, by sessions */
	BIND_PORT_TAKEN,   /* by another binding */
	BIND_NO_ROOM,
	BIND_NOT_POOL4, /* it has no such address, or no entry for the inside one */
};

/* A static binding that is to be there, or not. */
struct static_binding {
	struct addr inside;
	__be32 pool;
	__be16 inside_port;
	__be16 pool_port;
	__u8 protocol; /* enum session_protocol */
	__u8 prefix;   /* as in struct binding */
	__u8 wanted;
	__u8 result; /* enum bind_result; out */
	__u32 pad;
};

enum import_result {
	IMPORT_MADE,
	IMPORT_PRESENT,	  /* there is that session already */
	IMPORT_NOT_POOL4, /* clients like that one get no such address or port */
	IMPORT_CONFLICT,  /* one of its ends is bound, or its port's block given, otherwise */
	IMPORT_LIMITED,	  /* its client has all the blocks or sessions that it may have */
	IMPORT_NO_ROOM,	  /* or another CPU was faster */
};

/* A session of another gateway, that is to be here, too. */
struct session_import {
	struct addr inside;
	__be32 pool;
	__be32 remote;
	__be16 inside_port;
	__be16 pool_port;
	__be16 remote_port;
	__u8 protocol; /* enum session_protocol */
	__u8 prefix;   /* as in struct session */
	__u8 state;    /* enum session_state */
	__u8 result;   /* enum import_result; out */
	__u16 pad;
	__u32 left_ms; /* at most its lifetime here */
};

/* How many of `imports` there are. */
struct import_batch {
	__u32 count;
	__u32 pad;
};

/* Whoever has the same first bits: address and port blocks in pool4. */
struct client {
	__u16 address; /* index */
	__u16 block_words;
	__u32 pool;	/* id */
	__u32 bindings; /* or GONE */
	__u32 sessions;
	__u32 blocks[CLIENT_BLOCKS / 2]; /* two in each: number of the first word + 1; 0: none */
};

/* What keeps track of a packet's flow, or would from this packet on. */
enum flow_kind {
	FLOW_SESSION,	  /* there is one */
	FLOW_NEW_SESSION, /* for a binding that is there */
	FLOW_NEW_BINDING,
	FLOW_NO_BINDING, /* there would be none, and a counted reason says why */
};

/* Written with `dry_run` alone. */
struct visit_flow {
	struct addr inside;
	__u32 kind;	    /* enum flow_kind */
	__u32 state;	    /* enum session_state, of a session that is there */
	__u32 left_seconds; /* of such */
	__be32 pool;	    /* 0: not known */
	__be16 inside_port;
	__be16 pool_port;
	__u8 client_bits;
	__u8 has_client;
	__u16 blocks; /* that the client may have, of a new binding */
	struct client client;
};

/* What was found on one packet's way; written with `dry_run` or `capture` alone. */
struct visit {
	__u32 reasons[VISIT_REASONS]; /* enum reason, in the order in which they were counted */
	__u32 reason_count;
	__u32 eam_count;
	struct eam eams[VISIT_EAMS]; /* mappings used */
	__u32 served;		     /* index of the prefix that serves the packet + 1 */
	__u32 has_hop;
	struct addr new_src; /* with `served` */
	struct addr new_dst;
	struct addr hop_dst; /* with `has_hop`: the address that was looked up last */
	struct hop hop;
	__u32 flow_count;
	__u32 service; /* id; 0: of none that is known */
	__u32 backend; /* id; 0: none was chosen */
	__u32 is_new;  /* the flow: nothing was remembered of it */
	struct visit_flow flows[VISIT_FLOWS];
};

enum count_mark {
	GONE = 1 << 31,	       /* in place of a count: nothing may be added any more */
	ADDED = GONE | 1,      /* of a binding: nor yet */
	BLOCK_GIVEN = 1 << 30, /* in `blocks4`: it is a client's */
};

/* Fragments of one packet of a session: what its first one has found. */
struct fragment_key {
	struct addr src;
	struct addr dst;
	__u32 id;
	__u8 protocol; /* as in the IP header */
	__u8 pad[3];
};

enum fragment_kind {
	FRAGMENT_TRANSLATED,
	FRAGMENT_HAIRPIN,
	FRAGMENT_NOT_OURS,
};

struct fragment {
	struct addr new_src;
	struct addr new_dst;
	__u32 prefix; /* id */
	__u32 kind;   /* enum fragment_kind */
	__u64 until_jiffies;
};

/* Free slots of an array: a list of those given back, and how many were ever used. */
struct slots {
	__u64 freed; /* slot + 1; above 32 bits which change it is */
	__u64 fresh;
	__u64 changes;
};

/* Who looks for sessions that have ended, and how far it has come. */
struct sweeping {
	__u64 by_agent_jiffies; /* when it last did */
	__u64 next;		/* slot, in rounds */
	__u64 ahead_jiffies;	/* when it was last done because something lacked room */
	__u64 syns_until;	/* the jiffy at which all of `syns` are over */
};

/* A SYN from outside that nobody inside is known to wait for: in V4 INIT, without a session (RFC
 * 6146 3.5.2.2). */
struct stored_syn {
	__u64 until; /* the jiffy that it is kept until; 0: free */
	__be32 pool;
	__be32 remote;
	__be16 pool_port;
	__be16 remote_port;
	__u32 bytes;		   /* that are kept of it */
	__u8 head[SYN_HEAD_BYTES]; /* from layer 3 on, as it came: of a hairpin in IPv6 */
};

enum slots_index {
	SLOTS_SESSIONS,
	SLOTS_BINDINGS,
	SLOTS_COUNT,
	SLOTS_FLOWS = SLOTS_COUNT, /* in `flow_slots` */
};

/* A segment that asks whether the node inside still has a connection, as it comes from outside. */
struct probe {
	struct addr src;
	struct addr dst;
	__be16 src_port;
	__be16 dst_port;
	__u32 is_due;
};

/* What a sweep looks at, and what it did: up to a session that is to be probed. */
struct sweep {
	__u32 first; /* slot */
	__u32 count;
	__u64 now;   /* in jiffies; out */
	__u32 ended; /* out */
	__u32 done;  /* slots; out */
	struct probe probe;
};

/* The same of SYNs: up to one that is to be answered. */
struct syn_sweep {
	__u32 first;
	__u32 count;
	__u32 done; /* out */
	__u32 is_due;
	struct stored_syn syn;
};

/*
 * Services: what is called, who answers, and who is chosen.
 */

enum frontend_flag {
	FRONTEND_LOCAL = 1, /* the host has the address: what no service has is left to it */
	FRONTEND_POOL = 2,  /* clients are seen as it: nobody calls it */
};

/* What is called. With neither protocol nor port: the address itself, and that it is a frontend's.
 */
struct frontend {
	struct addr addr;
	__be16 port;
	__u8 protocol; /* as in the IP header */
	__u8 is_there;
	__u32 service; /* its id */
	__u32 id;      /* of its counters */
	__u8 flags;
	__u8 service_flags; /* of its service: one look-up less */
	__u8 elsewhere;	    /* in a set's first: something that belongs there is in its other one */
	__u8 pad;
};

/* A cache line. A key names two of them. */
struct frontend_set {
	struct frontend ways[FRONTEND_WAYS];
};

enum service_flag {
	SERVICE_NAT = 1,	/* else the packet goes in a tunnel, and the answer by itself */
	SERVICE_MAPPED = 2,	/* IPv4 clients are seen by their pool6 address */
	SERVICE_AFFINITY = 4,	/* all flows of a client have one backend */
	SERVICE_RESTRICTED = 8, /* only `service_sources` are let in */
};

/* The first cache line is for packets, the name for whoever configures. */
struct service {
	__u32 flags;
	__u32 affinity_ticks; /* as in `flow_ticks` */
	__u16 max_segment_bytes;
	__u8 prefix; /* id of the pool6 prefix that clients are mapped by */
	__u8 pad;
	__u32 pool4_count; /* addresses that clients are seen as, from `pool4` on */
	__u32 pool6_count;
	__u32 clients; /* names it in the hash of a client, alike on all gateways */
	struct addr pool4;
	struct addr pool6;
	__u64 pad2;
	__u8 name[SERVICE_NAME_BYTES];
};

/* Of a longest-prefix match: `bits` count from the service's id on. */
struct service_source_key {
	__u32 bits;
	__be32 service;
	struct addr addr;
};

enum backend_state {
	BACKEND_FREE,
	BACKEND_ACTIVE,
	BACKEND_TERMINATING, /* no new flows */
	BACKEND_MAINTENANCE,
	BACKEND_QUARANTINED, /* no flows */
};

/* Of packets of ours to check a backend by its tunnel: beside CHECK_MARK, its number. */
enum check_mark {
	CHECK_MARK = 0x51500000,
	CHECK_MARK_MASK = 0xfff00000,
};

/* While anything may name a backend's number, its address, port and service stay. */
struct backend {
	struct addr addr;
	__u32 service; /* id */
	__be16 port;   /* 0: the one that was called */
	__u8 state;    /* enum backend_state */
	__u8 pad;
	__u32 since_tick; /* when a ring named it first */
	__u32 pad2;
};

/* Later than any tick that will be. */
enum backend_since {
	BACKEND_NOT_YET = 0x7fffffff,
};

/* Which ring is a service's. */
struct service_ring {
	__u64 place;  /* first entry << 32 | how many; none: there is nobody to be chosen */
	__u64 digest; /* for whoever builds rings: what this one was made of */
};

/* Where flows have gone: tag, backend, tick and state of each; 0: free. */
struct flow_set {
	__u64 cells[FLOW_CELLS];
};

enum flow_cell {
	FLOW_STATE_MASK = 0xf,
	FLOW_TICK_SHIFT = 4,
	FLOW_TICK_MASK = 0xfff,
	FLOW_BACKEND_SHIFT = 16,
	FLOW_BACKEND_MASK = 0xfffff,
	FLOW_TAG_SHIFT = 36,
	FLOW_TAG_MASK = 0xfffffff,
};

/*
 * Flows of services that are translated. Between client and frontend on the one side, source and
 * backend on the other. Keys are hashed: padding is zero.
 */
struct flow_in_key {
	struct addr client;
	__u32 frontend; /* id */
	__be16 client_port;
	__u16 pad;
};

struct flow_back_key {
	struct addr backend;
	struct addr source;
	__be16 backend_port;
	__be16 source_port;
	__u32 protocol; /* enum session_protocol */
};

struct nat_flow {
	__u64 word; /* as in struct session */
	struct addr client;
	struct addr source;
	struct addr backend;
	struct addr called;
	__be16 client_port;
	__be16 source_port;
	__be16 backend_port;
	__be16 called_port;
	__u32 service;
	__u32 frontend;	  /* id */
	__u32 backend_id; /* in `backends` */
	__u32 serial;
	__u32 next;    /* as in struct session */
	__u8 protocol; /* enum session_protocol */
	__u8 pad[3];
	__u64 pad2[3];
};

/* Where the other fragments of a packet go that is of a service. */
enum part_kind {
	PART_TUNNEL,
	PART_CALL,
	PART_REPLY,
};

struct part {
	struct addr new_src; /* of what is translated */
	struct addr new_dst;
	__u64 flow; /* its hash */
	__u64 until_jiffies;
	__u32 frontend; /* id */
	__u32 backend;	/* id */
	__u32 kind;	/* enum part_kind */
	__u32 pad;
};

struct frontend_counter {
	struct counter forwarded;
	struct counter dropped;
	__u64 flows;
};

struct backend_counter {
	struct counter forwarded;
	__u64 flows;
};

/* Why packets to a frontend went nowhere. */
struct frontend_drop {
	__u32 frontend; /* id */
	__u32 reason;	/* enum reason */
};

/*
 * Rings: Maglev's tables of services (maglev.h), each an extent of `rings`. Entries are backends'
 * ids, of which 0 is nobody's.
 */

/* Who is to get entries. Members are sorted by falling weight. */
struct ring_member {
	__u64 credit; /* of the first one of a weight: that of each of them */
	__u32 at;     /* the entry that it wants next */
	__u32 skip;
	__u32 weight; /* above 0 */
	__u32 backend;
	__u32 behind; /* number of the first member that weighs less */
	__u32 pad;
};

enum ring_result {
	RING_UNFINISHED, /* to be called again, with what it has left here */
	RING_BUILT,
	RING_REFUSED, /* there are no such entries, members or service */
};

/* A ring that is to be built, and how far that has come: at first, zeros. */
struct ring_build {
	__u32 service;
	__u32 first;
	__u32 size;    /* 0: there is nothing to build */
	__u32 members; /* that `ring_members` has; 0 only of an empty ring */
	__u32 largest_weight;
	__u32 steps;   /* at most, in this call */
	__u32 publish; /* have it be the service's, once it is built */
	__u32 result;  /* enum ring_result; out */
	__u32 cleared; /* words of `ring_taken` */
	__u32 filled;  /* entries */
	__u32 member;  /* whose turn it is, or may be */
	__u32 behind;  /* where those of its weight end, if they are known to have a turn */
	__u64 digest;
	__u64 replaced; /* the place of the service's former ring; out, of `publish` */
};

/*
 * A backend's side of tunnels.
 */

/* What became of a packet in a tunnel that ends here. */
enum decap_reason {
	DECAP_DONE,
	DECAP_PASS_NOT_SERVED, /* from a gateway, to what is no VIP of this backend: left alone */
	DECAP_DROP_SOURCE,     /* to a VIP, and not from a gateway */
	DECAP_DROP_TRUNCATED,  /* longer than what it came in */
	DECAP_DROP_MALFORMED,  /* no IP header outside or inside */
	DECAP_DROP_CHECKSUM,   /* of the outer header */
	DECAP_DROP_FRAGMENT,   /* of the outer packet: nobody puts it together */
	DECAP_DROP_NESTED,     /* a tunnel in the tunnel */
	DECAP_DROP_CONGESTED,  /* on its way, and sent by one who does not hear of it (RFC 6040) */
	DECAP_DROP_RESIZE_FAILED,
	DECAP_REASONS,
};

enum vip_flag {
	VIP_ADDED = 1, /* to the loopback device, by whoever set this up */
};

/* Of a longest-prefix match: `bits` count from the padding on. */
struct tunnel_source_key {
	__u32 bits;
	__u32 pad;
	struct addr addr;
};

/* How a backend was set up, for packets and for whoever changes it. Settings of the device that
 * were changed: what they were, and 1; 0: not changed. */
struct decap_setup {
	__u64 namespace; /* the inode of the network namespace */
	__u32 ifindex;
	__u16 max_segment4_bytes; /* that a SYN of a VIP may offer; 0: whatever it does */
	__u16 max_segment6_bytes;
	__u8 rp_filter;
	__u8 arp_ignore;
	__u8 arp_announce;
	__u8 pad[5];
};

/*
 * Pods of this node.
 */

/* Where the pod is that has an address. */
struct pod {
	__u32 ifindex;	  /* of its device's end on the host */
	__u8 pod_mac[6];  /* of the end in the pod; zeros where the device has none */
	__u8 host_mac[6]; /* of the end on the host */
};

/* Packets that go by the host's stack, though they need not. */
enum pod_flag {
	POD_STACK_LOCAL = 1, /* between pods of this node */
	POD_STACK_OUT = 2,   /* from pods to uplinks */
	POD_STACK_IN = 4,    /* from uplinks to pods */
};

struct pod_setup {
	__u64 namespace; /* the cookie of the network namespace */
	__u32 flags;	 /* enum pod_flag */
	__u32 epoch;	 /* ways from before another one are void */
};

/* All that decides where a packet from a pod goes, but for its length. */
struct pod_flow {
	struct addr src;
	struct addr dst;
	__u32 device; /* it has come by */
	__be32 label; /* and traffic class, as in IPv6's first word */
	__be16 sport;
	__be16 dport;
	__u8 family;
	__u8 proto;
	__u8 is_behind; /* a translator, which has left it alone */
	__u8 pad;
};

enum { POD_WAYS = 4096 };

/* Where packets of a flow go, as one of them was sent on. */
struct pod_way {
	struct pod_flow flow;
	__u64 expires_jiffies;
	__u32 epoch;
	__u32 ifindex;
	__u32 mtu_bytes; /* of the device and the route */
	__u8 dst_mac[6];
	__u8 src_mac[6];
	__u32 sent; /* enum pod_reason: POD_LOCAL or POD_OUT; POD_PASS_NEIGHBOUR: no way yet */
	__u32 pad;
};

/* What became of a packet from a pod, or from an uplink to one. */
enum pod_reason {
	POD_NONE,
	/* redirected */
	POD_LOCAL, /* to a pod of this node, from another one */
	POD_OUT,   /* to an uplink */
	POD_IN,	   /* to a pod, from an uplink */
	/* left to the host's stack, as they came */
	POD_PASS_LINK,	    /* for the other end of the link: neighbours, multicast */
	POD_PASS_ASKED,	    /* as enum pod_flag asks */
	POD_PASS_ROUTE,	    /* for the host, by another device than an uplink, or nowhere */
	POD_PASS_NEIGHBOUR, /* whose address the kernel does not know yet */
	POD_PASS_HOPS,	    /* that has none left */
	POD_PASS_OPTIONS,   /* that each router is to look at */
	POD_PASS_TOO_BIG,
	POD_PASS_SOURCE, /* that came in from an address that no router sends on */
	/* dropped */
	POD_DROP_PROTOCOL, /* neither IP nor ARP, or with a VLAN tag */
	POD_DROP_MALFORMED,
	POD_DROP_OTHER_HOST, /* a frame for somebody else than the host */
	POD_DROP_SOURCE,     /* not the pod's own */
	POD_DROP_ROUTER,     /* a pod that says that it is a router, or knows one */
	POD_DROP_FAILED,     /* the kernel had no room to change the header */
	POD_REASONS,
};

#endif
