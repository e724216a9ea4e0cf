/* What the log has of calls on the control socket: who asked for which change, of what, and why it
 * failed. */
#ifndef NBDCRYPT_CONTROL_LOG_H
#define NBDCRYPT_CONTROL_LOG_H

struct control_client;
struct json_object;

/* A change that the caller may make, before it is made. */
void control_log_change(const struct control_client *client);
/* It was made.  For the audit log alone. */
void control_log_done(const struct control_client *client);
/* The caller may not. */
void control_log_refusal(const struct control_client *client);
/* It was not made: `error` is the name of the reply, with these parameters. */
void control_log_failure(const struct control_client *client, const char *error,
                         struct json_object *parameters);

#endif
