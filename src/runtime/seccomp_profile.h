// The system call filter that containers get by default ("RuntimeDefault"), as the seccomp object of the OCI runtime-spec.
#ifndef CORACLE_RUNTIME_SECCOMP_PROFILE_H
#define CORACLE_RUNTIME_SECCOMP_PROFILE_H

#include "json/value.h"

// Allows what programs need and refuses (EPERM) what reaches for the kernel itself; a capability opens the calls that it is
// for, as in the profiles of Docker and containerd.
struct value *seccomp_default(struct arena *a, uint64_t caps);

#endif
