/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"
#include <kapsel/cgroup.h>
#include <linux/bpf.h>
#include <string.h>

enum {
	R = CGROUP_DEV_READ,
	W = CGROUP_DEV_WRITE,
	M = CGROUP_DEV_MKNOD,
	RWM = R | W | M,
	ROOM = 512
};

/* ---- a small machine for the instructions that the program may use
 * ------------------------------- */

static uint64_t operand(const struct bpf_insn *i, const uint64_t *r)
{
	return BPF_SRC(i->code) == BPF_X ? r[i->src_reg] : (uint64_t)(int64_t)i->imm;
}

/* The kernel refuses a program with an instruction that nothing leads to, or a way past its end. */
static void all_is_reached(const struct bpf_insn *v, size_t len)
{
	bool reached[ROOM + 1] = { true };

	for (size_t i = 0; i < len; i++) {
		assert_true(reached[i]);
		if (v[i].code == (BPF_JMP | BPF_EXIT))
			continue;
		reached[i + 1] = true;
		if (BPF_CLASS(v[i].code) == BPF_JMP) {
			assert_in_range(v[i].off, 1, len - i - 2);
			reached[i + 1 + (size_t)v[i].off] = true;
		}
	}
	assert_false(reached[len]);
}

static int judge(const struct cgroup_device *rules, size_t n, char type, uint32_t maj, uint32_t min,
	uint32_t access)
{
	struct bpf_insn v[ROOM];
	size_t len = cgroup_device_program(rules, n, v, ROOM), at = 0, steps = 0;
	uint32_t context[3] = {
		access << 16 | (type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR), maj, min
	};
	uint64_t r[11] = { 0 };

	assert_in_range(len, 1, ROOM);
	all_is_reached(v, len);
	for (; at < len; at++) {
		const struct bpf_insn *i = &v[at];
		uint64_t x = operand(i, r);

		assert_true(++steps < ROOM);
		switch (i->code) {
		case BPF_LDX | BPF_W | BPF_MEM:
			assert_int_equal(i->src_reg, 1);
			assert_int_equal(r[1], 0); /* the context must not have been overwritten */
			r[i->dst_reg] = context[i->off / 4];
			break;
		case BPF_ALU64 | BPF_MOV | BPF_X:
		case BPF_ALU64 | BPF_MOV | BPF_K:
			r[i->dst_reg] = x;
			break;
		case BPF_ALU64 | BPF_AND | BPF_K:
			r[i->dst_reg] &= x;
			break;
		case BPF_ALU64 | BPF_RSH | BPF_K:
			r[i->dst_reg] >>= x;
			break;
		case BPF_JMP | BPF_JNE | BPF_K:
		case BPF_JMP | BPF_JNE | BPF_X:
			at += r[i->dst_reg] != x ? (size_t)i->off : 0;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			at += r[i->dst_reg] == x ? (size_t)i->off : 0;
			break;
		case BPF_JMP | BPF_EXIT:
			return (int)r[0];
		default:
			fail_msg("instruction %02x at %zu", i->code, at);
		}
	}
	fail_msg("the program runs past its end");
	return -1;
}

static void without_rules_every_device_is_allowed(void **state)
{
	assert_int_equal(judge(NULL, 0, 'c', 1, 3, RWM), 1);
}

static void a_denial_of_all_denies_both_types(void **state)
{
	const struct cgroup_device rules[] = { { false, 'a', -1, -1, RWM } };

	assert_int_equal(judge(rules, 1, 'c', 1, 3, R), 0);
	assert_int_equal(judge(rules, 1, 'b', 8, 0, M), 0);
}

static void the_later_rule_wins(void **state)
{
	const struct cgroup_device rules[] = { { false, 'a', -1, -1, RWM },
		{ true, 'c', 1, 3, RWM }, { false, 'c', 1, 3, W }, { true, 'b', 8, -1, R } };

	assert_int_equal(judge(rules, 4, 'c', 1, 3, R), 1);
	assert_int_equal(judge(rules, 4, 'c', 1, 3, W), 0);
	assert_int_equal(judge(rules, 4, 'c', 1, 3, R | W), 0); /* one that is denied is enough */
	assert_int_equal(judge(rules, 2, 'c', 1, 3, R | W), 1);
	assert_int_equal(judge(rules, 4, 'c', 1, 5, R), 0);
	assert_int_equal(judge(rules, 4, 'b', 1, 3, R), 0);
	assert_int_equal(judge(rules, 4, 'b', 8, 77, R), 1);
	assert_int_equal(judge(rules, 4, 'b', 8, 77, R | W), 0);
	assert_int_equal(judge(rules, 4, 'b', 9, 77, R), 0);
}

static void two_rules_together_allow_what_each_allows_a_half_of(void **state)
{
	const struct cgroup_device rules[] = { { false, 'a', -1, -1, RWM }, { true, 'c', 5, 1, R },
		{ true, 'c', -1, 1, W } };

	assert_int_equal(judge(rules, 3, 'c', 5, 1, R | W), 1);
	assert_int_equal(judge(rules, 3, 'c', 5, 1, RWM), 0);
	assert_int_equal(judge(rules, 3, 'c', 5, 2, W), 0);
	assert_int_equal(judge(rules, 3, 'c', 4, 1, R | W), 0);
}

/* The same, asked of a plain reading of the rules: each access is settled by the last that names
 * it. */
static int by_the_book(const struct cgroup_device *rules, size_t n, char type, int64_t maj,
	int64_t min, uint32_t access)
{
	for (uint32_t bit = 1; bit <= RWM; bit <<= 1) {
		bool allowed = true;

		for (size_t i = 0; i < n; i++) {
			const struct cgroup_device *r = &rules[i];

			if (r->type == 'a' ||
				(r->type == type && (r->major < 0 || r->major == maj) &&
					(r->minor < 0 || r->minor == min) && r->access & bit))
				allowed = r->allow;
		}
		if (access & bit && !allowed)
			return 0;
	}
	return 1;
}

static void ten_thousand_lists_are_judged_by_the_book(void **state)
{
	uint32_t seed = 42;

#define NEXT(n) ((seed = seed * 1664525u + 1013904223u) >> 16) % (n)
	for (int round = 0; round < 10000; round++) {
		struct cgroup_device rules[6];
		size_t n = NEXT(7);
		char type;
		uint32_t maj, min, access;

		for (size_t i = 0; i < n; i++) {
			rules[i].allow = NEXT(2);
			rules[i].type = "abccbc"[NEXT(6)];
			rules[i].major = (int)(NEXT(4)) - 1;
			rules[i].minor = (int)(NEXT(4)) - 1;
			rules[i].access = (uint8_t)(1 + NEXT(7));
		}
		type = "bc"[NEXT(2)];
		maj = NEXT(3);
		min = NEXT(3);
		access = 1 + NEXT(7);
		assert_int_equal(judge(rules, n, type, maj, min, access),
			by_the_book(rules, n, type, maj, min, access));
	}
}

static void a_program_that_does_not_fit_says_its_length(void **state)
{
	const struct cgroup_device rules[] = { { false, 'a', -1, -1, RWM },
		{ true, 'c', 1, 3, R } };
	struct bpf_insn v[ROOM], guard;
	size_t len = cgroup_device_program(rules, 2, v, ROOM);

	memset(&v[4], 0xa5, sizeof v[4]);
	guard = v[4];
	assert_int_equal(cgroup_device_program(rules, 2, v, 4), len);
	assert_memory_equal(&v[4], &guard, sizeof guard);
}

/* ---- conversions and names
 * ------------------------------------------------------------------------- */

static void shares_become_weights(void **state)
{
	static const uint64_t pairs[][2] = { { 0, 0 }, { 1, 1 }, { 2, 1 }, { 1024, 100 },
		{ 262144, 10000 }, { 1000000, 10000 } };
	uint64_t last = 0;

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		assert_int_equal(cgroup_weight_of_shares(pairs[i][0]), pairs[i][1]);
	for (uint64_t shares = 2; shares < 300000; shares += 97) {
		uint64_t w = cgroup_weight_of_shares(shares);

		assert_in_range(w, last ? last : 1, 10000);
		last = w;
	}
}

static void block_weights_stay_within_bounds(void **state)
{
	assert_int_equal(cgroup_weight_of_blkio(0), 0);
	assert_int_equal(cgroup_weight_of_blkio(10), 1);
	assert_int_equal(cgroup_weight_of_blkio(1000), 10000);
	assert_int_equal(cgroup_weight_of_blkio(3), 1);
	assert_int_equal(cgroup_weight_of_blkio(65535), 10000);
}

static void every_controller_has_a_name_of_its_own(void **state)
{
	for (int i = 0; i < CG_COUNT; i++) {
		const char *name = cgroup_controller_name((enum cgroup_controller)i);

		assert_non_null(name);
		assert_int_equal(cgroup_controller_by_name(name), i);
	}
	assert_int_equal(cgroup_controller_by_name("io"), CG_BLKIO);
	assert_int_equal(cgroup_controller_by_name("name=elogind"), CG_NAMED);
	assert_int_equal(cgroup_controller_by_name("cpus"), CG_COUNT);
	assert_int_equal(cgroup_controller_by_name(""), CG_COUNT);
}

static void a_path_that_leads_elsewhere_is_refused(void **state)
{
	static const char *const bad[] = { "", "/", "kapsel", "//", "/a/", "/a//b", "/..",
		"/a/../b", "/a/..", "/.", "/./a", "/a/.", "/a b", "/a\nb" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CLEANUP_ERR struct kerr e = KERR_INIT;
		struct cgroup *c = NULL;

		assert_int_equal(cgroup_make(bad[i], NULL, &c, &e), -1);
		assert_int_equal(e.code, KERR_CGROUP);
		assert_null(c);
		if (strchr(bad[i], '\n')) /* ends the path in the saved form */
			continue;
		assert_int_equal(cgroup_open(bad[i], &c, NULL), -1);
		assert_null(c);
	}
}

static void a_saved_cgroup_that_is_gone_opens_as_empty(void **state)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct cgroup *c = NULL;
	pid_t *pids = NULL;
	size_t n = 9;

	assert_int_equal(
		cgroup_open(
			"/kapsel-test/never-was\n1 8 0 /sys/fs/cgroup\nnonsense\n3 4\n", &c, NULL),
		0);
	assert_string_equal(cgroup_path(c), "/kapsel-test/never-was");
	assert_true(cgroup_is_empty(c));
	assert_int_equal(cgroup_procs(c, &pids, &n, NULL), 0);
	assert_int_equal(n, 0);
	assert_int_equal(cgroup_dir(c, 0), -1);
	assert_int_equal(cgroup_v2_fd(c), -1);
	assert_int_equal(cgroup_kill(c, deadline_in_ms(10), NULL), 0);
	assert_int_equal(cgroup_remove(c, deadline_in_ms(10), NULL), 0);
	cgroup_save(c, &b);
	assert_string_equal(buf_str(&b), "/kapsel-test/never-was\n");
	cgroup_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_rules_every_device_is_allowed),
		cmocka_unit_test(a_denial_of_all_denies_both_types),
		cmocka_unit_test(the_later_rule_wins),
		cmocka_unit_test(two_rules_together_allow_what_each_allows_a_half_of),
		cmocka_unit_test(ten_thousand_lists_are_judged_by_the_book),
		cmocka_unit_test(a_program_that_does_not_fit_says_its_length),
		cmocka_unit_test(shares_become_weights),
		cmocka_unit_test(block_weights_stay_within_bounds),
		cmocka_unit_test(every_controller_has_a_name_of_its_own),
		cmocka_unit_test(a_path_that_leads_elsewhere_is_refused),
		cmocka_unit_test(a_saved_cgroup_that_is_gone_opens_as_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
