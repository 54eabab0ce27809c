/* SPDX-License-Identifier: Apache-2.0 */
/* A config.json as a stranger writes it: read, judged, planned for this node, printed. */
#include <kapsel/plan.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* A report says where and why, in text that a terminal bears. */
static void look(const struct kerr *e, int rc)
{
	CLEANUP_BUF struct buf text = BUF_INIT;

	if (kerr_is_set(e) != (rc != 0))
		abort();
	if (rc == 0)
		return;
	kerr_text(e, &text);
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.data[i] < ' ' && text.data[i] != '\n')
			abort();
}

static void plan(struct arena *a, const struct oci_spec *spec, const struct facts *f, bool wait)
{
	struct plan_options o = { .id = "fuzz", .cgroup_parent = "/kapsel", .wait_start = wait };
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_BUF struct buf text = BUF_INIT;
	CLEANUP_BUF struct buf json = BUF_INIT;
	struct plan p;
	int rc = plan_build(a, spec, f, &o, &p, &e);

	look(&e, rc);
	if (rc)
		return;
	plan_text(&p, &text);
	plan_json(&p, &json);
	if (json_parse(a, json.data, json.len, NULL, NULL) == NULL)
		abort(); /* what we print we read */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct facts facts;
	static bool known;
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_ERR struct kerr warnings = KERR_INIT;
	CLEANUP_FREE char *text = mem_zalloc(len + 1);
	struct spec_options o = { len & 1, len & 2 };
	struct oci_spec spec;
	int rc;

	if (!known && facts_read(&facts, NULL))
		abort();
	known = true;
	memcpy(text, data, len);
	rc = spec_parse(a, text, len, &o, &spec, &warnings, &e);
	look(&e, rc);
	if (rc == 0)
		plan(a, &spec, &facts, len & 4);
	return 0;
}
