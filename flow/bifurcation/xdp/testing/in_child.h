#ifndef LUNA_FLOW_BIFURCATION_XDP_TESTING_IN_CHILD_H_
#define LUNA_FLOW_BIFURCATION_XDP_TESTING_IN_CHILD_H_

#include "absl/functional/function_ref.h"

namespace luna::bifurcation::xdp {

// Runs `body` in a forked child and returns the child's wait status (waitpid): exit code 0 when the body returns, its
// own when it calls _exit(). The child dies with this process. Blocks until the child is gone; of this process's
// threads only the calling one is in the child. For tests of what a process leaves behind.
int InChild(absl::FunctionRef<void()> body);

}  // namespace luna::bifurcation::xdp

#endif  // LUNA_FLOW_BIFURCATION_XDP_TESTING_IN_CHILD_H_
