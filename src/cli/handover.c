/* SPDX-License-Identifier: Apache-2.0 */
/* check, plan, spec and info --facts read strangers' bundles: kapsel-oci's work, without a daemon.
 */
#include "cli.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static bool given_twice(struct cli *k, const char *flag)
{
	for (char **w = k->verbatim; *w; w++)
		if (str_eq(*w, flag))
			return true;
	return false;
}

int cmd_hand_over(struct cli *k)
{
	static const char *const otherwise[] = { PREFIX "/bin/kapsel-oci",
		"/usr/local/bin/kapsel-oci", "/usr/bin/kapsel-oci", NULL };
	const char *program = beside(k->a, "kapsel-oci", otherwise);
	CLEANUP_ERR struct kerr e = KERR_INIT;
	size_t n = 0, words = 0;
	const char **argv;

	while (k->verbatim[words])
		words++;
	argv = arena_array(k->a, words + 4, sizeof *argv);
	argv[n++] = "kapsel"; /* so that it speaks, and fails, as we do */
	argv[n++] = args_has(k, F_FACTS) ? "facts" : k->command->name;
	if (args_has(k, F_JSON) && !args_has(k, F_FACTS) && !given_twice(k, "--json"))
		argv[n++] = "--json";
	for (size_t i = 0; i < words && !args_has(k, F_FACTS); i++)
		argv[n++] = k->verbatim[i];
	signal(SIGPIPE, SIG_DFL); /* an ignored one would be inherited */
	if (program)
		execv(program, (char *const *)(uintptr_t)argv);
	kerr_fail(&e, KERR_PATH_OPEN, program ? errno : ENOENT,
		"kapsel-oci is neither beside kapsel nor in %s/bin", PREFIX);
	return cli_fail(k, &e);
}
