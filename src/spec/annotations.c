/* SPDX-License-Identifier: Apache-2.0 */
#include <kapsel/spec.h>
#include <string.h>

static const struct annotation_row rows[] = {
	{ "io.kapsel.stop-signal", "signal", "TERM", "what asks the container to end", true },
	{ "io.kapsel.stop-timeout", "duration", "10s", "how long it may take before it is killed",
		true },
	{ "io.kapsel.log.driver", "cri|none", "cri", "where stdout and stderr go", true },
	{ "io.kapsel.log.max-size", "size", "16m", "a log file is rotated at this size", true },
	{ "io.kapsel.log.max-files", "number", "4", "how many log files are kept", true },
	{ "io.kapsel.restart", "policy", "no", "no, on-failure[:N], always or unless-stopped",
		false },
	{ "io.kapsel.health.cmd", "command", "", "a probe within the container", false },
	{ "io.kapsel.health.interval", "duration", "30s", "between two probes", false },
	{ "io.kapsel.depends-on", "ids", "", "containers that must be ready first", false },
	{ "io.kapsel.zone", "names", "", "networks to join", false },
	{ "io.kapsel.publish", "ports", "", "ports to publish", false },
};

const struct annotation_row *annotation_rows(size_t *n)
{
	*n = ARRAY_LEN(rows);
	return rows;
}

static int check_value(const struct annotation_row *r, const char *value)
{
	uint64_t n;

	if (str_eq(r->type, "signal"))
		return signal_parse(value) < 0;
	if (str_eq(r->type, "duration"))
		return str_to_ms(value, &n);
	if (str_eq(r->type, "size"))
		return str_to_bytes(value, &n) || n < 4096;
	if (str_eq(r->type, "number"))
		return str_to_u64(value, &n) || n < 1 || n > 100;
	return !str_eq(value, "cri") && !str_eq(value, "none");
}

int annotation_check(const char *key, const char *value, struct kerr *e)
{
	const struct annotation_row *near = NULL;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (strcmp(rows[i].key, key) == 0) {
			if (!rows[i].supported)
				return kerr_fail(e, KERR_UNSUPPORTED, 0,
					"'%s' is not carried out by this version", key);
			if (check_value(&rows[i], value))
				return kerr_fail(e, KERR_CONFIG_VALUE, 0,
					"'%.60s' is no value of %s, a %s", value, key,
					rows[i].type);
			return 0;
		}
		if (str_distance(rows[i].key, key, 2) <= 2)
			near = &rows[i];
	}
	return kerr_fail(e, KERR_CONFIG_UNKNOWN, 0, "'%.60s' is no annotation of Kapsel%s%s%s", key,
		near ? ": did you mean '" : "", near ? near->key : "", near ? "'?" : "");
}
