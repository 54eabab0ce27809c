/* SPDX-License-Identifier: Apache-2.0 */
#include <kapsel/seccomp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>

static uint32_t alu(uint16_t code, uint32_t a, uint32_t k)
{
	switch (BPF_OP(code)) {
	case BPF_AND:
		return a & k;
	case BPF_OR:
		return a | k;
	case BPF_RSH:
		return a >> k;
	case BPF_LSH:
		return a << k;
	default:
		return a;
	}
}

static bool jump(uint16_t code, uint32_t a, uint32_t k)
{
	switch (BPF_OP(code)) {
	case BPF_JEQ:
		return a == k;
	case BPF_JGT:
		return a > k;
	case BPF_JGE:
		return a >= k;
	case BPF_JSET:
		return (a & k) != 0;
	default:
		return true;
	}
}

uint32_t seccomp_simulate(const struct buf *program, uint32_t arch, int nr, const uint64_t args[6])
{
	const struct sock_filter *v = (const struct sock_filter *)(const void *)program->data;
	size_t n = program->len / sizeof *v;
	struct seccomp_data data = { .nr = nr, .arch = arch };
	uint32_t a = 0;

	memcpy(data.args, args, sizeof data.args);
	for (size_t pc = 0; pc < n; pc++) {
		const struct sock_filter *i = &v[pc];

		switch (BPF_CLASS(i->code)) {
		case BPF_LD:
			if (i->k + sizeof a > sizeof data)
				return SECCOMP_RET_KILL_PROCESS;
			memcpy(&a, (const char *)&data + i->k, sizeof a);
			break;
		case BPF_ALU:
			a = alu(i->code, a, i->k);
			break;
		case BPF_JMP:
			if (BPF_OP(i->code) == BPF_JA)
				pc += i->k;
			else
				pc += jump(i->code, a, i->k) ? i->jt : i->jf;
			break;
		case BPF_RET:
			return i->k;
		default:
			return SECCOMP_RET_KILL_PROCESS;
		}
	}
	return SECCOMP_RET_KILL_PROCESS;
}
