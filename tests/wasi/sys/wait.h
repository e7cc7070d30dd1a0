/* There are no processes in WASI: only what has to compile. */
#include <sys/types.h>

#define WNOHANG 1
#define WIFEXITED(status) ((status) == 0)
#define WEXITSTATUS(status) (status)

static inline pid_t waitpid(pid_t process, int *status, int how)
{
    (void)process, (void)status, (void)how;
    return -1;
}
