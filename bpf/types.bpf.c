// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Never loaded: one variable of each shared type, so that clang writes all of them into BTF for the
 * generator. */
#include "sixlane/types.h"

enum limit limit_;
enum prefix_flag prefix_flag_;
enum gateway_flag gateway_flag_;
enum range_word range_word_;
enum eam_flag eam_flag_;
enum direction direction_;
enum protocol protocol_;
enum reason reason_;
enum bucket_index bucket_index_;
enum entry entry_;
enum event_flag event_flag_;
struct gateway gateway_;
struct range_block range_block_;
struct source_node source_node_;
struct eam4_key eam4_key_;
struct eam6_key eam6_key_;
struct eam eam_;
struct counter counter_;
struct prefix_counter prefix_counter_;
struct past_reason past_reason_;
struct past_prefix past_prefix_;
struct bucket bucket_;
struct monitor monitor_;
struct visit visit_;
struct drop_event drop_event_;
struct neighbour_use neighbour_use_;
struct next_hop next_hop_;
struct pair pair_;
