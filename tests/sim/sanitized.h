/* Which sanitizer this is built with: gcc and clang say it differently. */
#ifndef NBDCRYPT_SIM_SANITIZED_H
#define NBDCRYPT_SIM_SANITIZED_H

#if defined(__SANITIZE_ADDRESS__)
#define SIM_ADDRESS_SANITIZER
#elif defined(__SANITIZE_THREAD__)
#define SIM_THREAD_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIM_ADDRESS_SANITIZER
#elif __has_feature(thread_sanitizer)
#define SIM_THREAD_SANITIZER
#endif
#endif

#endif
