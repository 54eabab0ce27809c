/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KAPSEL_LOG_PRIVATE_H
#define KAPSEL_LOG_PRIVATE_H

#include <kapsel/log.h>

#define NOTE_TAG "F:kapsel"

struct parsed {
	uint64_t time_ns;
	const char *time;
	size_t time_len;
	enum log_stream stream;
	bool partial;
	const char *text;
	size_t len;
};
/* One line without its \n. false: it is no record. */
bool record_parse(const char *line, size_t len, struct parsed *out);
uint64_t note_dropped(const char *text, size_t len);
const char *log_file_name(unsigned i, char out[static 16]); /* "3.log" */

#endif
