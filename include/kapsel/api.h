/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api: varlink on a Unix stream socket, both ends. The interfaces are the texts
 * src/api/io.kapsel.*.varlink, which are built into the program: a request is checked against
 * them (types, enums, unknown fields) before a handler sees it. One table says what each method
 * needs; what is not in it does not exist.
 *
 * Wire: a message is one JSON object and a NUL. Fds travel by SCM_RIGHTS with the sendmsg(2) that
 * carries a message's last bytes (at most API_MOST_FDS a message); a parameter refers to one by
 * its number, from 0.
 */
#ifndef KAPSEL_API_H
#define KAPSEL_API_H

#include <kapsel/json.h>
#include <kapsel/sys.h>

#define API_MOST_FDS 8
#define API_SOCKET   "/run/kapsel/kapseld.sock"

/* ---- methods ----------------------------------------------------------------------------------
 */

/* Each role includes those before it. */
enum role { ROLE_NONE, ROLE_OBSERVE, ROLE_OPERATE, ROLE_ADMIN };
const char *role_name(enum role r); /* "observe" */
int role_parse(const char *s);	    /* enum role, or -1 */

enum api_method {
	/* org.varlink.service: answered by this room */
	API_GET_INFO,
	API_GET_INTERFACE,
	/* io.kapsel.Containers */
	API_CREATE,
	API_START,
	API_RUN,
	API_STOP,
	API_KILL,
	API_PAUSE,
	API_RESUME,
	API_DELETE,
	API_UPDATE,
	API_EXEC,
	API_ATTACH,
	API_RESIZE,
	API_GET,
	API_LIST,
	API_WAIT,
	API_WATCH,
	API_LOGS,
	API_STATS,
	API_PROCESSES,
	/* io.kapsel.Node */
	API_NODE_INFO,
	API_NODE_CHECK,
	API_NODE_FACTS,
	API_NODE_METRICS,
	API_NODE_DRAIN,
	API_NODE_RESUME,
	API_NODE_RELOAD,
	API_NODE_GC,
	API_NODE_UPGRADE,
	API_METHOD_COUNT
};

struct api_method_row {
	const char *name; /* "io.kapsel.Containers.List" */
	enum role role;	  /* the least that may call it */
	bool more;	  /* may be called with `more` and then may answer several times */
	bool changes;	  /* leaves an audit line even when it succeeds */
};
const struct api_method_row *api_method(enum api_method m);
int api_method_by_name(const char *name); /* enum api_method, or -1 */

/* The text of an interface ("io.kapsel.Node"), or NULL. api_interface(n) lists them: NULL at the
 * end. */
const char *api_interface(size_t n);
const char *api_interface_text(const char *name);

/* The interfaces, parsed. A server has its own. */
struct api_schema;
int api_schema_new(struct api_schema **out, struct kerr *e);
void api_schema_free(struct api_schema *s);
void api_schema_freep(struct api_schema **s);
#define CLEANUP_SCHEMA CLEANUP(api_schema_freep)

/**
 * api_check_in() - are @params what the interface's text gives for @m?
 * @params: an object, or NULL for an empty one
 *
 * Return: 0, or -1 with KERR_CONFIG_UNKNOWN (an unknown field, "did you mean"), KERR_CONFIG_TYPE,
 * KERR_CONFIG_VALUE (no such enum word) or KERR_CONFIG_REQUIRED, each with the pointer; all of
 * them in one report. null counts as absent where the field is optional.
 */
int api_check_in(
	const struct api_schema *s, enum api_method m, const struct json *params, struct kerr *e);
/* The same for a reply; `make check` holds every reply against it. */
int api_check_out(
	const struct api_schema *s, enum api_method m, const struct json *params, struct kerr *e);

/* ---- server ------------------------------------------------------------------------------------
 */

struct api_limits {
	uint64_t message_bytes;	  /* 1 MiB: a longer request is skipped and answered Limit */
	uint64_t calls;		  /* 8 in flight a connection; the next are answered Limit */
	uint64_t half_message_ms; /* 30 s for the rest of a message, then the client is dropped */
	uint64_t unsent_bytes;	  /* 1 MiB of unread replies, then the client is dropped */
	uint64_t connections_per_uid; /* 4,096 */
	uint64_t connections;	      /* 8,192 in all; the last place is for admin */
};
extern const struct api_limits api_limits_default;
/* Node.Info's `limits`: an array of { name, value } is added to @o. */
void api_limits_json(const struct api_limits *l, struct json_out *o);

struct api_call;
struct api_server;

struct api_hooks {
	/* The configuration's word on who may what. */
	enum role (*role)(void *arg, const struct peer *p);
	/* A checked and allowed call. It is answered now or later: exactly once by api_reply() or
	 * api_fail(), unless api_call_gone() told that the client went away. */
	void (*call)(void *arg, struct api_call *c);
	/* After the last answer of a changing call, and after each refused one: @result is NULL for
	 * success. The call is still readable. */
	void (*audit)(void *arg, const struct api_call *c, const struct kerr *result);
};

/**
 * api_server_new() - serve on @listener (owned from now on, also on failure)
 * @limits: borrowed for the server's life, may change under it (a reload); NULL: the defaults
 */
int api_server_new(struct loop *l, int listener, const struct api_limits *limits,
	const struct api_hooks *hooks, void *arg, struct api_server **out, struct kerr *e);
/* Hands one connected socket to the server (tests, a socket pair). Owned, also on failure. */
int api_server_adopt(struct api_server *s, int fd, struct kerr *e);
/* Closes everything; calls in flight end as if their clients had gone. What is answered already is
 * sent if the socket takes it at once. */
void api_server_free(struct api_server *s);
void api_server_deafen(struct api_server *s); /* no new connections; those that are stay */
size_t api_server_connections(const struct api_server *s);

enum api_method api_call_method(const struct api_call *c);
const struct json *api_call_params(const struct api_call *c); /* an object, perhaps empty */
const struct peer *api_call_peer(const struct api_call *c);
enum role api_call_role(const struct api_call *c);
bool api_call_more(const struct api_call *c);		/* several answers are welcome */
const char *api_call_request(const struct api_call *c); /* its `request`, or NULL */
/* Lives as long as the call: for what the handler keeps beside it. */
struct arena *api_call_arena(struct api_call *c);
void api_call_set_data(struct api_call *c, void *data);
void *api_call_data(const struct api_call *c);
/* The fd that parameter @name (a number) of @in refers to: owned by the caller from then on. -1
 * with KERR_NONE when the parameter is absent; -1 with KERR_CONFIG_VALUE when no such fd came or it
 * was taken already. Two parameters that name one fd: take it once and dup it. */
int api_call_take_fd(struct api_call *c, const struct json *in, const char *name, struct kerr *e);
/* @gone is called once if the client goes away before the last answer; the call is freed after it
 * returns and must not be answered. With NULL (the default) the call runs on, its answers vanish.
 */
void api_call_gone(struct api_call *c, void (*gone)(struct api_call *c, void *arg), void *arg);

/**
 * api_reply() - the last answer; frees the call
 * @params: a JSON object as text ("{...}"), or NULL for an empty one
 */
void api_reply(struct api_call *c, const char *params, size_t len);
void api_reply_buf(struct api_call *c, const struct buf *params);
/* One of several (`continues`); only where api_call_more(). May drop a client that does not read:
 * then gone is called, from the loop, not from in here. */
void api_reply_more(struct api_call *c, const char *params, size_t len);
/* The last answer is an error: io.kapsel.X.NotFound and so on, by the code's row. Frees the call.
 */
void api_fail(struct api_call *c, const struct kerr *e);
/* Bytes that the client has not read yet. A stream holds back above a half of the limit and asks to
 * be called when they have fallen below: then nobody is dropped for the pace of a log. */
size_t api_call_unsent(const struct api_call *c);
void api_call_on_room(struct api_call *c, void (*room)(struct api_call *c, void *arg), void *arg);

/* ---- client ------------------------------------------------------------------------------------
 */

struct api_client;

/* Return: 0, or -1: KERR_DAEMON_MISSING, KERR_DAEMON_DENIED */
int api_connect(const char *path, struct api_client **out, struct kerr *e);
struct api_client *api_client_on(int fd); /* a connected socket; owned */
void api_client_free(struct api_client *c);
void api_client_freep(struct api_client **c);
#define CLEANUP_CLIENT CLEANUP(api_client_freep)
int api_client_fd(const struct api_client *c); /* for poll(); borrowed */
/* The connection ended, so the last failure says nothing about what the daemon did. */
bool api_client_lost(const struct api_client *c);

enum { API_MORE = 1, API_ONEWAY = 2 };
/* @params: an object as text, NULL for none. @fds are borrowed. */
int api_send(struct api_client *c, enum api_method m, const char *params, unsigned flags,
	const int *fds, size_t nfds, deadline d, struct kerr *e);
/* Sends what is between a caller and a program that has a method's full name only. */
int api_send_name(struct api_client *c, const char *method, const char *params, unsigned flags,
	const int *fds, size_t nfds, deadline d, struct kerr *e);

struct api_answer {
	const struct json *params; /* in the arena given */
	bool continues;
};
/**
 * api_receive() - the next answer
 * @d: 0 only looks: KERR_TIMEOUT when no whole answer is there
 *
 * Return: 0, or -1: the daemon's error with its code, message, step and faults; KERR_TIMEOUT;
 * KERR_WIRE; KERR_DAEMON_MISSING with api_client_lost() when the connection ended.
 */
int api_receive(
	struct api_client *c, struct arena *a, struct api_answer *out, deadline d, struct kerr *e);
/* A whole answer has been received already, and poll() would not tell. */
bool api_client_pending(const struct api_client *c);
/* One call, one answer. */
int api_call(struct api_client *c, struct arena *a, enum api_method m, const char *params,
	const int *fds, size_t nfds, const struct json **out, deadline d, struct kerr *e);

/* ---- for the fuzzer
 * ------------------------------------------------------------------------------ */

/* Feeds bytes as if a client had sent them; returns when all of them have been dealt with. */
void api_server_feed(struct api_server *s, const void *data, size_t len);

#endif
