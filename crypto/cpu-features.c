/* Features of the processor, from CPUID (Intel 64 and IA-32 Architectures Software Developer's
 * Manual, volume 2A, "CPUID"; volume 1, 13.3 for XCR0).
 *
 * An instruction set is usable when the processor has it and the operating system saves its
 * registers at a context switch; XCR0 tells the second.  __builtin_cpu_supports() would do
 * both, but not every compiler that can build the kernels knows "vaes" there. */
#include "crypto/cpu-features.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <stdint.h>

#define LEAF_1_ECX_PCLMULQDQ (1u << 1)
#define LEAF_1_ECX_AES (1u << 25)
#define LEAF_1_ECX_OSXSAVE (1u << 27)
#define LEAF_1_ECX_AVX (1u << 28)
#define LEAF_7_EBX_AVX2 (1u << 5)
#define LEAF_7_EBX_AVX512F (1u << 16)
#define LEAF_7_EBX_AVX512BW (1u << 30)
#define LEAF_7_ECX_VAES (1u << 9)
#define LEAF_7_ECX_VPCLMULQDQ (1u << 10)

#define XCR0_SSE_AVX 0x06u /* xmm and ymm */
#define XCR0_AVX512 0xe6u  /* those, the masks, the upper halves of zmm, and zmm16 to zmm31 */

static uint32_t saved_registers(void)
{
    uint32_t low, high;

    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static bool has(uint32_t leaf_1_ecx, uint32_t leaf_7_ebx, uint32_t leaf_7_ecx, uint32_t xcr0)
{
    uint32_t eax, ebx, ecx, edx;

    leaf_1_ecx |= LEAF_1_ECX_OSXSAVE; /* without it xgetbv is an invalid instruction */
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || (ecx & leaf_1_ecx) != leaf_1_ecx)
        return false;
    if ((saved_registers() & xcr0) != xcr0)
        return false;
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
        return false;
    return (ebx & leaf_7_ebx) == leaf_7_ebx && (ecx & leaf_7_ecx) == leaf_7_ecx;
}

bool cpu_has_aes(void)
{
    uint32_t eax, ebx, ecx, edx;

    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & LEAF_1_ECX_AES) != 0;
}

bool cpu_has_vaes_avx2(void)
{
    return has(LEAF_1_ECX_AES | LEAF_1_ECX_AVX, LEAF_7_EBX_AVX2, LEAF_7_ECX_VAES, XCR0_SSE_AVX);
}

bool cpu_has_vaes_avx512(void)
{
    return has(LEAF_1_ECX_AES | LEAF_1_ECX_AVX, LEAF_7_EBX_AVX2 | LEAF_7_EBX_AVX512F,
               LEAF_7_ECX_VAES, XCR0_AVX512);
}

bool cpu_has_gcm_avx2(void)
{
    return cpu_has_vaes_avx2() && has(LEAF_1_ECX_PCLMULQDQ, 0, LEAF_7_ECX_VPCLMULQDQ, XCR0_SSE_AVX);
}

bool cpu_has_gcm_avx512(void)
{
    return cpu_has_vaes_avx512() && cpu_has_gcm_avx2() &&
           has(0, LEAF_7_EBX_AVX512BW, 0, XCR0_AVX512);
}

#else

/* Other processors of today have them, and GnuTLS uses them. */
bool cpu_has_aes(void)
{
    return true;
}

bool cpu_has_vaes_avx2(void)
{
    return false;
}

bool cpu_has_vaes_avx512(void)
{
    return false;
}

bool cpu_has_gcm_avx2(void)
{
    return false;
}

bool cpu_has_gcm_avx512(void)
{
    return false;
}

#endif
