#include "luna/flow/bifurcation/xdp/testing/in_child.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "glog/logging.h"

namespace luna::bifurcation::xdp {

int InChild(absl::FunctionRef<void()> body) {
  const pid_t child = fork();
  PCHECK(child >= 0) << "fork";
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    body();
    _exit(0);
  }
  int status = 0;
  PCHECK(waitpid(child, &status, 0) == child);
  return status;
}

}  // namespace luna::bifurcation::xdp
