/* Declarations of what stands in the place of the functions of libc: see simulate_LDFLAGS. */
#ifndef NBDCRYPT_SIM_WRAP_H
#define NBDCRYPT_SIM_WRAP_H

#include <fcntl.h>
#include <libcryptsetup.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/vfs.h>
#include <time.h>

#include "crypto/luks/luks-turns.h"
#include "plugins/file/file-loop.h"
#include "plugins/remote/remote-replies.h"
#include "server/block/image-claim.h"
#include "server/block/request.h"
#include "server/keys/key-source.h"
#include "server/serve/listeners.h"

int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attributes, void *(*fn)(void *),
                          void *context);
int __wrap_pthread_join(pthread_t thread, void **result);
int __wrap_pthread_detach(pthread_t thread);
int __wrap_pthread_setname_np(pthread_t thread, const char *name);
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *before);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);
int __wrap_pthread_cond_clockwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                  clockid_t clock, const struct timespec *when);
int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                  const struct timespec *when);
int __wrap_pthread_cond_signal(pthread_cond_t *condition);
int __wrap_pthread_cond_broadcast(pthread_cond_t *condition);
int __wrap_sem_init(sem_t *semaphore, int shared, unsigned value);
int __wrap_sem_destroy(sem_t *semaphore);
int __wrap_sem_wait(sem_t *semaphore);
int __wrap_sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *until);
int __wrap_sem_post(sem_t *semaphore);
int __wrap_clock_gettime(clockid_t clock, struct timespec *out);
time_t __wrap_time(time_t *out);
int __wrap_nanosleep(const struct timespec *duration, struct timespec *left);
ssize_t __wrap_getrandom(void *out, size_t length_bytes, unsigned flags);

int __real_open(const char *path, int flags, ...);
int __real_close(int fd);
int __real_fstat(int fd, struct stat *out);
int __real_stat(const char *path, struct stat *out);
int __real_lstat(const char *path, struct stat *out);
off_t __real_lseek(int fd, off_t offset, int whence);
int __real_fcntl(int fd, int command, ...);
int __real_fstatfs(int fd, struct statfs *out);
int __wrap_open(const char *path, int flags, ...);
int __wrap___open_2(const char *path, int flags);
int __wrap_close(int fd);
int __wrap_stat(const char *path, struct stat *out);
int __wrap_lstat(const char *path, struct stat *out);
int __wrap_fstat(int fd, struct stat *out);
off_t __wrap_lseek(int fd, off_t offset, int whence);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fstatfs(int fd, struct statfs *out);
int __real_madvise(void *at, size_t length_bytes, int advice);
int __wrap_madvise(void *at, size_t length_bytes, int advice);
int __wrap_flock(int fd, int operation);
int __wrap_socket(int family, int type, int protocol);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t address_bytes);
ssize_t __wrap_send(int fd, const void *data, size_t length_bytes, int flags);
ssize_t __wrap_recv(int fd, void *out, size_t length_bytes, int flags);
int __wrap_poll(struct pollfd *files, nfds_t count, int timeout_ms);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t value_bytes);
int __wrap_file_loop_find(char name[FILE_LOOP_NAME_BYTES], const struct stat *status,
                          bool read_only);
int __wrap_key_source_read(struct secret **out, const struct key_source *source, const char *image,
                           bool confirm, struct error *err);
int __real_crypt_format(struct crypt_device *device, const char *type, const char *cipher,
                        const char *mode, const char *uuid, const char *volume_key,
                        size_t volume_key_bytes, void *settings);
int __wrap_crypt_format(struct crypt_device *device, const char *type, const char *cipher,
                        const char *mode, const char *uuid, const char *volume_key,
                        size_t volume_key_bytes, void *settings);
int __wrap_output_file_write(const char *path, const void *data, size_t length_bytes, bool replace,
                             struct error *err);
int __wrap_listeners_prepare(struct listeners_change **out, const struct listeners *listeners,
                             const struct serve_options *next, struct error *err);
void __wrap_listeners_coming(struct listeners *listeners, struct listeners_change *change);
void __wrap_listeners_commit(struct listeners *listeners);
void __real_group_sync_join(struct request *req);
void __wrap_group_sync_join(struct request *req);
void __real_group_sync_ended(struct request *leader, int error);
void __wrap_group_sync_ended(struct request *leader, int error);
void __real_remote_replies_begin(struct remote_replies *replies,
                                 const struct remote_connection *connection);
void __wrap_remote_replies_begin(struct remote_replies *replies,
                                 const struct remote_connection *connection);
int __real_image_claim_take(struct image_claim **out, const struct image_claim_wish *wish,
                            struct error *err);
int __wrap_image_claim_take(struct image_claim **out, const struct image_claim_wish *wish,
                            struct error *err);
bool __real_image_claim_is_of(const struct image_claim *claim, const char *identity);
bool __wrap_image_claim_is_of(const struct image_claim *claim, const char *identity);
void __wrap_luks_turns_begin(struct luks_turn *turn, uint64_t memory_bytes);
void __wrap_luks_turns_begin_alone(struct luks_turn *turn, uint64_t memory_bytes);
void __wrap_luks_turns_end(struct luks_turn *turn);

#endif
