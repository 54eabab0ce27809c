/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/random.h>

static void make_request(struct cli *k)
{
	uint64_t r = 0;
	CLEANUP_FREE char *text = NULL;

	if (getrandom(&r, sizeof r, 0) != sizeof r)
		r = clock_mono_ns();
	text = mem_printf("kapsel-%016llx", (unsigned long long)r);
	for (size_t i = 0; i < sizeof k->request - 1 && text[i]; i++)
		k->request[i] = text[i];
}

/* One's own kapseld, where one runs; else the node's. */
static const char *users_socket(struct arena *a)
{
	const char *runtime = getauxval(AT_EUID) == 0 ? NULL : getenv("XDG_RUNTIME_DIR"), *path;
	CLEANUP_FD int fd = -1;

	if (runtime == NULL || *runtime != '/')
		return API_SOCKET;
	path = arena_printf(a, "%s/kapsel/kapseld.sock", runtime);
	fd = path_host(AT_FDCWD, path, O_PATH, NULL);
	return fd < 0 ? API_SOCKET : path;
}

static const char *host(const struct cli *k)
{
	const char *given = args_value(k, F_HOST), *env = getenv("KAPSEL_HOST");

	if (given == NULL && env && *env)
		given = env;
	if (given && str_starts(given, "unix:"))
		given += given[5] == '/' && given[6] == '/' ? 7 : 5;
	return given ? given : users_socket(k->a);
}

int main(int argc, char **argv)
{
	struct cli k = { .a = arena_new() };
	struct kerr e = KERR_INIT;
	int status;

	signal(SIGPIPE, SIG_IGN);
	if (args_parse(&k, argc, argv, &e))
		return cli_fail(&k, &e) == EXIT_KAPSEL ? EXIT_KAPSEL : EXIT_WRONG_USE;
	k.host = host(&k);
	make_request(&k);
	if (args_has(&k, F_HELP)) {
		if (k.verbatim == NULL)
			help_all(&k);
		else
			help_of(&k, k.command);
		status = 0;
	} else {
		status = k.command->run(&k);
	}
	if (out_flush(&k) && status == 0)
		status = EXIT_FAILED;
	return status; /* the kernel frees */
}
