/* What the kernel knows of this process: sections package, process, memory, cgroup and rings. */
#ifndef NBDCRYPT_REPORT_PROCESS_H
#define NBDCRYPT_REPORT_PROCESS_H

#include "server/report/report.h"

extern const struct report_section report_package_section, report_process_section,
    report_memory_section, report_cgroup_section, report_rings_section;

#endif
