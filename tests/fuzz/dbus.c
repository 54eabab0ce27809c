/* SPDX-License-Identifier: Apache-2.0 */
/* What systemd's manager, or whoever sits in its place, says to a caller. */
#include "../../src/systemd/private.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void as_message(const uint8_t *data, size_t len)
{
	struct dbus_message m;
	const char *s;
	uint32_t n;

	if (dbus_parse(data, len, &m, NULL))
		return;
	for (int i = 0; i < 8; i++)
		if (dbus_get_u32(&m.body, &n) || !dbus_get_string(&m.body, &s))
			continue;
		else if (strlen(s) > len)
			abort();
}

static void as_conversation(const uint8_t *data, size_t len)
{
	static const char welcome[] = "DATA\r\nOK 0\r\n";
	static const struct systemd_property v[] = { { .name = "TasksMax", .form = SYSTEMD_U64 } };
	static const struct systemd_scope s = {
		.unit = "a.scope", .slice = "system.slice", .v = v, .n = 1
	};
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct bus b;
	int pair[2];

	if (socket_pair(SOCK_STREAM, pair, NULL))
		abort();
	if (write(pair[1], welcome, sizeof welcome - 1) < 0 || write(pair[1], data, len) < 0)
		abort();
	shutdown(pair[1], SHUT_WR);
	if (bus_begin(&b, pair[0], true, deadline_in_ms(1000), &e) == 0) {
		if (scope_start(&b, &s, 1, &e) && !kerr_is_set(&e))
			abort();
		bus_close(&b);
	}
	close(pair[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	as_message(data, len);
	as_conversation(data, len);
	return 0;
}
