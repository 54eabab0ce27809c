/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire: versioned binary frames between our own programs (kapseld D, kapsel-monitor M,
 * kapsel-oci as executor E), one frame a packet of an AF_UNIX SOCK_SEQPACKET socket, fds beside it.
 *
 * Frame: u32 magic "KPSL", u16 version, u16 type, u32 length of what follows; then fields, each
 * u16 tag, u16 zero, u32 length, bytes; little-endian. A frame is at most WIRE_MOST bytes; larger
 * values (args, env) travel in a sealed memfd as one more fd. Unknown tags are skipped; a repeated
 * or cut field, or an unknown type, ends the conversation with KERR_WIRE.
 */
#ifndef KAPSEL_WIRE_H
#define KAPSEL_WIRE_H

#include <kapsel/sys.h>

#define WIRE_VERSION 1
#define WIRE_MOST    (128u * 1024)

enum wire_type {
	/* E -> D, once after birth: facts are read, namespaces stocked */
	WIRE_READY = 1,
	/* D -> E */
	WIRE_CREATE, /* ID UID INSTANCE BUNDLE FLAGS LOGMODE, overrides; fds: see wire_fd tags */
	WIRE_GO,     /* after PREPARED (and again after MADE if it was asked for) */
	WIRE_START,  /* start a created container: fds: run dir */
	WIRE_EXEC,   /* into a running one: process JSON (memfd), FLAGS; fds: run dir, stdio */
	WIRE_CANCEL,
	/* E -> D */
	WIRE_PREPARED, /* ANNOTATIONS (json), STOP_SIGNAL, ROOTFS, NETWORK, WARNINGS (json), DIGEST
			*/
	WIRE_MADE,     /* the namespaces exist: fd netns (only when FLAG_WANT_MADE) */
	WIRE_CREATED,  /* PID START_TIME CGROUP: init waits for start; fd pidfd */
	WIRE_STARTED,  /* the program runs: PID START_TIME CGROUP; fd pidfd */
	WIRE_FAILED,   /* ERROR (kerr as JSON): nothing is left; E exits after it */
	/* E -> M, on the pair's own socket */
	WIRE_INIT, /* PID START_TIME CGROUP FLAGS(terminal); fds in order of WIRE_FDS */
	/* D -> M */
	WIRE_WATCH,  /* ID UID INSTANCE LOG_*: what this monitor is to be; fds run dir, log dir,
			client stdio */
	WIRE_STATUS, /* asks; answered by STATE */
	WIRE_STOP,   /* SIGNAL TIMEOUT_MS WHO: signal, then after the time the whole cgroup */
	WIRE_KILL,   /* SIGNAL ALL WHO */
	WIRE_ATTACH, /* fds: in, out, err (any may be absent: WIRE_FDS says which) */
	WIRE_DETACH, /* REQUEST: the clients whose WATCH or ATTACH had the same */
	WIRE_RESIZE, /* ROWS COLUMNS */
	WIRE_CLOSE_STDIN,
	WIRE_REOPEN, /* log rotation from outside */
	/* M -> D */
	WIRE_STATE,  /* PHASE PID START_TIME INSTANCE DROPPED...; fd pidfd of init */
	WIRE_EXITED, /* the exit record's fields, after it was written; then the end of the socket
			says that the cgroup is gone as well */
	WIRE_DONE,   /* answer to a command; ERROR when it failed */
	/* D -> E */
	WIRE_POSTSTOP, /* run the poststop hooks of what has stopped: fds: run dir; answered by
			  STARTED */
	/* D -> template (an executor that is copied): a pair, please; fds MONITOR, EXECUTOR */
	WIRE_PAIR,
	/* D -> E, and back: the values of process.env: fds: run dir; ENV (json) */
	WIRE_ENV,
	WIRE_TYPE_COUNT
};

enum wire_tag {
	TAG_ID = 1,
	TAG_UID,
	TAG_INSTANCE,
	TAG_BUNDLE,
	TAG_FLAGS,
	TAG_ERROR,
	TAG_PID,
	TAG_START_TIME,
	TAG_CGROUP,
	TAG_FDS,
	TAG_ARGS,
	TAG_ENV,
	TAG_CWD,
	TAG_USER,
	TAG_PROCESS,
	TAG_ANNOTATIONS,
	TAG_STOP_SIGNAL,
	TAG_ROOTFS,
	TAG_NETWORK,
	TAG_WARNINGS,
	TAG_DIGEST,
	TAG_SIGNAL,
	TAG_TIMEOUT_MS,
	TAG_WHO,
	TAG_ALL,
	TAG_ROWS,
	TAG_COLUMNS,
	TAG_PHASE,
	TAG_DROPPED,
	TAG_LOG_SIZE,
	TAG_LOG_FILES,
	TAG_LOG_FORMAT,
	TAG_CGROUP_PARENT,
	TAG_VOLATILE_BYTES,
	TAG_EXIT_CODE,
	TAG_EXIT_SIGNAL,
	TAG_OOM,
	TAG_STARTED_WALL,
	TAG_ENDED_WALL,
	TAG_STARTED_MONO,
	TAG_ENDED_MONO,
	TAG_PEAK_MEMORY,
	TAG_CPU_NS,
	TAG_OWNER_UID,
	TAG_OWNER_GID,
	TAG_OWNER_GROUPS,
	TAG_REASON,
	TAG_REQUEST,
	TAG_LAST_LINES,
	TAG_OOM_LIMIT,
	TAG_CORE,
	TAG_COUNT
};

/* TAG_FLAGS */
#define WIRE_TERMINAL	  (1u << 0)
#define WIRE_START_NOW	  (1u << 1) /* run: no stop between create and start */
#define WIRE_DIRECT_OUT	  (1u << 2) /* the client's fds become the container's own 0-2 */
#define WIRE_KEEP_STDIN	  (1u << 3) /* -i: stdin stays open */
#define WIRE_VOLATILE	  (1u << 4)
#define WIRE_WANT_MADE	  (1u << 5)
#define WIRE_NO_LOG	  (1u << 6)
#define WIRE_EXEC_CHILD	  (1u << 7) /* this init is an exec'd process, not a container */
#define WIRE_NO_CACHE	  (1u << 8)
#define WIRE_HAS_POSTSTOP (1u << 10) /* in PREPARED: the bundle has poststop hooks */
#define WIRE_STRICT	  (1u << 9)

/* TAG_FDS: one byte for each fd that travels beside the frame, in order. */
enum wire_fd {
	WIRE_FD_RUN_DIR = 'r',
	WIRE_FD_BUNDLE = 'b',
	WIRE_FD_STDIN = '0',
	WIRE_FD_STDOUT = '1',
	WIRE_FD_STDERR = '2',
	WIRE_FD_PIDFD = 'p',
	WIRE_FD_MASTER = 't',
	WIRE_FD_LOG_DIR = 'l',
	WIRE_FD_NETNS = 'n',
	WIRE_FD_START = 's',
	WIRE_FD_MEMFD = 'm',
	WIRE_FD_CACHE = 'c',
	WIRE_FD_CGROUP = 'g',
	WIRE_FD_MONITOR = 'M',
	WIRE_FD_EXECUTOR = 'E'
};

struct wire_out {
	struct buf b;
	int fds[SOCKET_MOST_FDS]; /* borrowed */
	char kinds[SOCKET_MOST_FDS];
	size_t nfds;
	bool too_many; /* more than SOCKET_MOST_FDS: wire_send() refuses with KERR_LIMIT */
};
void wire_begin(struct wire_out *m, enum wire_type type);
void wire_u64(struct wire_out *m, enum wire_tag tag, uint64_t v);
void wire_str(struct wire_out *m, enum wire_tag tag, const char *s); /* NULL: left out */
void wire_bytes(struct wire_out *m, enum wire_tag tag, const void *p, size_t len);
void wire_list(
	struct wire_out *m, enum wire_tag tag, char *const *v, size_t n);  /* each with its NUL */
void wire_fd(struct wire_out *m, enum wire_fd kind, int fd);		   /* -1: left out */
int wire_send(int socket, struct wire_out *m, deadline d, struct kerr *e); /* frees @m */

struct wire_in {
	enum wire_type type;
	char *data; /* owned, with a NUL behind it */
	size_t len;
	struct {
		const char *p;
		uint32_t len;
		bool there;
	} field[TAG_COUNT];
	int fds[SOCKET_MOST_FDS]; /* owned; wire_take_fd() hands one on */
	size_t nfds;
};
/* Return: 1 a frame, 0 the other side is gone, -1. */
int wire_recv(int socket, struct wire_in *m, deadline d, struct kerr *e);
int wire_parse(
	const void *frame, size_t len, struct wire_in *m, struct kerr *e); /* for the fuzzer */
void wire_in_free(struct wire_in *m);
uint64_t wire_get_u64(const struct wire_in *m, enum wire_tag tag, uint64_t absent);
/* NULL when absent or with a NUL inside. Lives as long as @m; not for a tag that is read as u64,
 * list or error as well: it ends the text in place. */
const char *wire_get_str(const struct wire_in *m, enum wire_tag tag);
/* @out points into @m; its vector is the caller's to free(). */
int wire_get_list(
	const struct wire_in *m, enum wire_tag tag, char ***out, size_t *n, struct kerr *e);
int wire_take_fd(struct wire_in *m, enum wire_fd kind); /* -1 when absent */
/* kerr <-> TAG_ERROR: a flat, bounded form, read without a JSON parser. */
void wire_error(struct wire_out *m, const struct kerr *e);
int wire_get_error(
	const struct wire_in *m, struct kerr *out); /* always -1; KERR_WIRE if unreadable */

#endif
