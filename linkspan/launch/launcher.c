/*
 * The launcher as a native program: it hands calls to the resident as linkspan/launch/launcher.py does,
 * without starting an interpreter.
 *
 * It knows nothing else. Without a resident that matches, and for everything that is not a call, it becomes
 * the Python launcher, which decides as if it had been started in the first place. linkspan/launch/native.py
 * compiles it, once for each executable, and puts in front of this text (linkspan/launch/forms.py):
 *
 *   TYPE        the CNI type
 *   PYTHON      the interpreter
 *   IDENTITY    the file whose identity is the installation's (protocol.build)
 *   PROTOCOL    begins the greeting of a resident that speaks as we do
 *   GREETING_US how long the greeting may take, in microseconds
 *   STDERR, NETNS   the names of the descriptors that travel with a call
 *   RUN_DIR     parent of the state directories, which are named by the cookie of their network namespace
 *   WORKERS     the name of the socket in it, without its suffix
 *   STANDALONE  the environment variable that keeps us from asking a resident
 *   PROGRAM     the Python launcher: what the interpreter is given with -c
 *   LOST        the Python program that reports a lost call
 *   NO_PYTHON   what to answer if that cannot be started
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* asm-generic/socket.h, Linux 5.14 */
#endif

extern char **environ;

static const struct timeval GREETING_TIMEOUT = {.tv_usec = GREETING_US}, FOREVER;

struct bytes {
    char *data;
    size_t size, capacity;
};

/* --- bytes -------------------------------------------------------------------------------------------- */

static void fail(void)
{
    dprintf(STDOUT_FILENO, "%s\n", NO_PYTHON);
    _exit(1);
}

static void append(struct bytes *to, const void *data, size_t size)
{
    if (!size)
        return;
    if (size > to->capacity - to->size) {
        to->capacity = (to->size + size) * 2;
        to->data = realloc(to->data, to->capacity);
        if (!to->data)
            fail();
    }
    memcpy(to->data + to->size, data, size);
    to->size += size;
}

static uint32_t number(const char *at)
{
    const unsigned char *byte = (const unsigned char *)at;
    return (uint32_t)byte[0] << 24 | (uint32_t)byte[1] << 16 | (uint32_t)byte[2] << 8 | byte[3];
}

static void append_number(struct bytes *to, size_t value)
{
    const unsigned char byte[4] = {value >> 24, value >> 16, value >> 8, value};
    append(to, byte, sizeof byte);
}

static void append_field(struct bytes *to, const void *data, size_t size)
{
    append_number(to, size);
    append(to, data, size);
}

static struct bytes read_all(int fd)
{
    struct bytes all = {0};
    char piece[1 << 16];
    ssize_t size;

    while ((size = read(fd, piece, sizeof piece)) > 0 || (size < 0 && errno == EINTR))
        if (size > 0)
            append(&all, piece, size);
    return all;
}

/* Whether all of it went out. */
static int write_all(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t written = write(fd, data, size);
        if (written < 0 && errno != EINTR)
            return 0;
        if (written > 0)
            data += written, size -= written;
    }
    return 1;
}

/* Open what is closed of descriptors 0 to 2, so that no socket of ours takes their place. */
static void open_streams(void)
{
    int fd;

    while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= STDERR_FILENO)
        ;
    close(fd);
}

/* --- the Python launcher ------------------------------------------------------------------------------ */

/* Become a Python program. `self`, how we were called, is only what ps shows. */
static void become_python(const char *program, const char *self)
{
    char *const argv[] = {PYTHON, "-IS", "-c", (char *)program, (char *)self, NULL};

    execv(PYTHON, argv);
    fail();
}

/* The same with a standard input that was read already. */
static void become_python_again(const char *program, const char *self, const struct bytes *in)
{
    int fd = memfd_create("stdin", MFD_CLOEXEC);

    if (fd < 0 || !write_all(fd, in->data, in->size) || lseek(fd, 0, SEEK_SET) < 0 ||
        dup2(fd, STDIN_FILENO) < 0)
        fail();
    become_python(program, self);
}

/* --- with a resident ---------------------------------------------------------------------------------- */

static void allow(int resident, struct timeval time)
{
    setsockopt(resident, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    setsockopt(resident, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
}

/* A connection to the resident of this network namespace (paths.state_dir), or -1. */
static int connect_resident(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    uint64_t cookie;
    socklen_t size = sizeof cookie;
    int resident = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (resident < 0 || getsockopt(resident, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) < 0)
        return -1;
    snprintf(address.sun_path, sizeof address.sun_path, RUN_DIR "/%llu/" WORKERS ".sock",
             (unsigned long long)cookie);
    allow(resident, GREETING_TIMEOUT);
    if (connect(resident, (struct sockaddr *)&address, sizeof address) < 0) {
        close(resident);
        return -1;
    }
    return resident;
}

/* The line that a resident for us greets with (protocol.greeting), or "". */
static const char *greeting(void)
{
    static char line[512];
    char net[64] = "", mnt[64] = "";
    struct stat identity;

    if (stat(IDENTITY, &identity) < 0 || readlink("/proc/self/ns/net", net, sizeof net - 1) < 0 ||
        readlink("/proc/self/ns/mnt", mnt, sizeof mnt - 1) < 0)
        return "";
    snprintf(line, sizeof line, "%s %llu.%llu.%lld.%lld %s %s\n", PROTOCOL,
             (unsigned long long)identity.st_dev, (unsigned long long)identity.st_ino,
             (long long)identity.st_mtim.tv_sec * 1000000000LL + identity.st_mtim.tv_nsec,
             (long long)identity.st_size, net, mnt);
    return line;
}

/* recv(2), whatever signals come; a process that is stopped and continued sees EINTR where there is a
 * timeout (signal(7)). */
static ssize_t receive(int resident, void *data, size_t size)
{
    ssize_t received;

    do
        received = recv(resident, data, size, 0);
    while (received < 0 && errno == EINTR);
    return received;
}

/* Whether it greets in time, and as it should. */
static int greeting_matches(int resident)
{
    const char *expected = greeting();
    char received[512];
    size_t size = 0;

    while (!size || received[size - 1] != '\n') {
        size_t left = sizeof received - size;
        ssize_t piece = left ? receive(resident, received + size, left) : 0;
        if (piece <= 0)
            return 0;
        size += piece;
    }
    return size == strlen(expected) && !memcmp(received, expected, size);
}

/* One call (protocol.call_frame); `descriptors` names what travels with it. */
static struct bytes call_frame(const struct bytes *in, const char *descriptors)
{
    struct bytes variables = {0}, body = {0}, frame = {0};
    char cwd[PATH_MAX];

    for (char **each = environ; *each; each++)
        append(&variables, *each, strlen(*each) + 1);
    if (!getcwd(cwd, sizeof cwd))
        strcpy(cwd, "/");
    append_field(&body, TYPE, strlen(TYPE));
    append_field(&body, cwd, strlen(cwd));
    append_field(&body, variables.data, variables.size);
    append_field(&body, in->data, in->size);
    append_field(&body, descriptors, strlen(descriptors));
    append_field(&frame, body.data, body.size);
    return frame;
}

/* Hand the call over, with our stderr and the container's namespace. 0 if it was not sent completely:
 * nobody can have begun it. */
static int send_call(int resident, const struct bytes *in)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(2 * sizeof(int))];
    } control = {0};
    const char *path = getenv("CNI_NETNS");
    int netns = path && *path ? open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -1;
    int fds[] = {STDERR_FILENO, netns};
    size_t size = (netns < 0 ? 1 : 2) * sizeof *fds;

    struct bytes frame = call_frame(in, netns < 0 ? STDERR : STDERR " " NETNS);
    struct iovec whole = {frame.data, frame.size};
    struct msghdr message = {
        .msg_iov = &whole, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = CMSG_SPACE(size)};
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(&control.header), fds, size);
    allow(resident, FOREVER);
    ssize_t sent = sendmsg(resident, &message, MSG_NOSIGNAL);
    close(netns);
    while (sent >= 0 && whole.iov_len > (size_t)sent) {
        whole.iov_base = (char *)whole.iov_base + sent;
        whole.iov_len -= sent;
        sent = send(resident, whole.iov_base, whole.iov_len, MSG_NOSIGNAL);
    }
    return sent >= 0;
}

static int receive_exactly(int resident, char *data, size_t size)
{
    while (size) {
        ssize_t received = receive(resident, data, size);
        if (received <= 0)
            return 0;
        data += received, size -= received;
    }
    return 1;
}

/* Print the answer and exit with its status; return only if none came completely. */
static void relay(int resident)
{
    char head[4];

    if (!receive_exactly(resident, head, sizeof head))
        return;
    size_t size = number(head);
    char *body = malloc(size + 1);
    if (!body || !receive_exactly(resident, body, size))
        return;
    size_t first = size >= 4 ? number(body) : SIZE_MAX;
    if (first > size || 8 + first > size || number(body + 4 + first) != size - 8 - first)
        return;
    char *out = body + 8 + first;
    int written = write_all(STDOUT_FILENO, out, size - 8 - first);
    body[4 + first] = 0;
    _exit(written ? atoi(body + 4) : 1);
}

int main(int argc, char **argv)
{
    const char *command = getenv("CNI_COMMAND"), *standalone = getenv(STANDALONE);
    const char *self = argc ? argv[0] : TYPE;
    int resident = -1;

    open_streams();
    if (command && *command && !(standalone && *standalone))
        resident = connect_resident();
    if (resident < 0 || !greeting_matches(resident))
        become_python(PROGRAM, self);
    struct bytes in = read_all(STDIN_FILENO);
    if (!send_call(resident, &in))
        become_python_again(PROGRAM, self, &in);
    /* From here on the call may be running: it is never carried out a second time. */
    relay(resident);
    become_python_again(LOST, self, &in);
}
