/* sys.c - the only C of the project: what JavaScript cannot say by itself.
 *
 * - syscall(nr, ...args) makes any system call; set-up code uses it, the loop does not.
 * - The hot calls (kick, clock, wait, futexWait, futexWake, readFrames, writeFrame) take numbers only
 *   and address memory as offsets into the arena, so that a call costs 14-45 ns and allocates nothing.
 * - Every call returns its result or -errno; nothing here throws except for a wrong argument type.
 * - State is per JavaScript environment (a worker is one): the base address of its arena.
 *
 * Called only by src/native/sys.ts. Read first: man 2 syscall, Node-API "Environment life cycle APIs".
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <node_api.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <linux/futex.h>
#include <uv.h>

typedef struct { uint8_t *base; size_t length; } Arena;

#define ARGS(n) size_t argc = (n); napi_value a[n]; napi_get_cb_info(env, info, &argc, a, 0, 0)
#define FUNCTION(name) static napi_value name(napi_env env, napi_callback_info info)

static napi_value int32_of(napi_env env, int32_t value) {
  napi_value out; napi_create_int32(env, value, &out); return out;
}
static napi_value result_of(napi_env env, long r) { /* result or -errno */
  napi_value out; napi_create_int64(env, r < 0 ? -(int64_t)errno : r, &out); return out;
}
static int32_t arg32(napi_env env, napi_value v) { int32_t x = 0; napi_get_value_int32(env, v, &x); return x; }
static int64_t arg64(napi_env env, napi_value v) { int64_t x = 0; napi_get_value_int64(env, v, &x); return x; }

static Arena *arena_of(napi_env env) { void *p = 0; napi_get_instance_data(env, &p); return p; }

/* The address of `offset` in the arena if `length` bytes from there are inside it, else null. */
static uint8_t *at(napi_env env, int64_t offset, int64_t length) {
  Arena *m = arena_of(env);
  if (!m->base || offset < 0 || length < 0 || (uint64_t)(offset + length) > m->length) return 0;
  return m->base + offset;
}

static void *address_of(napi_env env, napi_value v, size_t *bytes) {
  napi_typedarray_type type; size_t length = 0, offset; void *data = 0; napi_value buffer;
  static const uint8_t width[] = {1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8};
  bool typed = false; napi_is_typedarray(env, v, &typed);
  if (typed) {
    napi_get_typedarray_info(env, v, &type, &length, &data, &buffer, &offset);
    length *= width[type];
  } else napi_get_dataview_info(env, v, &length, &data, &buffer, &offset);
  if (bytes) *bytes = length;
  return data;
}

/* Arguments of a system call: numbers, BigInts, or views (passed as their address). */
static void call_of(napi_env env, napi_value *a, size_t argc, long v[7]) {
  for (size_t i = 0; i < argc && i < 7; i++) {
    napi_valuetype type; napi_typeof(env, a[i], &type);
    if (type == napi_number) v[i] = arg64(env, a[i]);
    else if (type == napi_bigint) { uint64_t x; bool exact; napi_get_value_bigint_uint64(env, a[i], &x, &exact); v[i] = (long)x; }
    else if (type == napi_object) v[i] = (long)address_of(env, a[i], 0);
  }
}
static long call(const long v[7]) { return syscall(v[0], v[1], v[2], v[3], v[4], v[5], v[6]); }

/* syscall(nr, ...args) */
FUNCTION(Syscall) {
  ARGS(7); long v[7] = {0};
  call_of(env, a, argc, v);
  return result_of(env, call(v));
}

/* everyThread(nr, ...args): every thread of the process makes the call, for what the kernel keeps per thread and glibc
 * does not spread by itself, as it does for setuid (man 7 nptl). 0; or -errno if one failed; -ETIMEDOUT if one did not
 * answer the signal. SIGURG: ignored by default, so a late one does nothing. One caller at a time. */
enum { EVERY_MAX = 512, EVERY_LOOKS = 2000 };
static struct { long v[7]; atomic_int count, error; _Atomic pid_t done[EVERY_MAX]; } every;

static void every_run(int signal) {
  int saved = errno, i; (void)signal;
  if (call(every.v) < 0) every.error = errno;
  if ((i = every.count++) < EVERY_MAX) every.done[i] = (pid_t)syscall(SYS_gettid);
  errno = saved;
}

static int every_missing(void) { /* signals the threads that have not made the call; how many they are */
  struct dirent *entry; int missing = 0, self = 0, count = every.count < EVERY_MAX ? every.count : EVERY_MAX;
  DIR *tasks = opendir("/proc/self/task");
  if (!tasks) { every.error = errno; return 0; }
  while ((entry = readdir(tasks))) {
    pid_t tid = atoi(entry->d_name); int i = 0;
    while (i < count && every.done[i] != tid) i++;
    self |= tid == (pid_t)syscall(SYS_gettid);
    if (tid > 0 && i == count && syscall(SYS_tgkill, getpid(), tid, SIGURG) == 0) missing++;
  }
  closedir(tasks);
  if (!self) every.error = ESRCH; /* /proc is of another PID namespace: it says nothing of us */
  return missing;
}

FUNCTION(EveryThread) {
  ARGS(7); struct sigaction run = {.sa_handler = every_run, .sa_flags = SA_RESTART}, before;
  int missing = 1;
  memset(&every, 0, sizeof every);
  call_of(env, a, argc, every.v);
  sigaction(SIGURG, &run, &before);
  every_run(0);
  for (int i = 0; missing && i < EVERY_LOOKS; i++) if ((missing = every_missing())) usleep(500);
  sigaction(SIGURG, &before, 0);
  return int32_of(env, every.error ? -every.error : missing ? -ETIMEDOUT : 0);
}

/* address(view) -> BigInt, for pointers inside structures */
FUNCTION(Address) {
  ARGS(1); napi_value out;
  napi_create_bigint_uint64(env, (uint64_t)(uintptr_t)address_of(env, a[0], 0), &out);
  return out;
}

/* useArena(Uint8Array): the memory that this environment's offsets mean */
FUNCTION(UseArena) {
  ARGS(1); Arena *m = arena_of(env);
  m->base = address_of(env, a[0], &m->length);
  return int32_of(env, m->base ? 0 : -EINVAL);
}

/* mapAt(offset, length, prot, flags, fd, fdOffset): mmap MAP_FIXED inside the arena */
FUNCTION(MapAt) {
  ARGS(6); int64_t length = arg64(env, a[1]); uint8_t *p = at(env, arg64(env, a[0]), length);
  if (!p) { errno = EINVAL; return result_of(env, -1); }
  void *r = mmap(p, length, arg32(env, a[2]), arg32(env, a[3]) | MAP_FIXED, arg32(env, a[4]), arg64(env, a[5]));
  return result_of(env, r == MAP_FAILED ? -1 : 0);
}

static void unmap(napi_env env, void *data, void *hint) { (void)env; munmap(data, (size_t)(uintptr_t)hint); }

/* map(length, prot, flags, fd, fdOffset) -> ArrayBuffer over a new mapping, or -errno */
FUNCTION(Map) {
  ARGS(5); int64_t length = arg64(env, a[0]); napi_value out;
  void *p = mmap(0, length, arg32(env, a[1]), arg32(env, a[2]), arg32(env, a[3]), arg64(env, a[4]));
  if (p == MAP_FAILED) return result_of(env, -1);
  napi_create_external_arraybuffer(env, p, length, unmap, (void *)(uintptr_t)length, &out);
  return out;
}

/* kick(fd): tell the kernel that an AF_XDP transmit ring has work (Documentation/networking/af_xdp.rst). A write(2) of
 * nothing is a sendto(2) of nothing there (net/socket.c, sock_write_iter), and one that every filter allows whatever its
 * arguments are, so that none of them runs. The socket must not block: EOPNOTSUPP otherwise. */
FUNCTION(Kick) {
  ARGS(1);
  return int32_of(env, write(arg32(env, a[0]), 0, 0) < 0 ? -errno : 0);
}

/* clock(offset): CLOCK_MONOTONIC into two int32 words: microseconds and milliseconds, both modulo 2^32 */
FUNCTION(Clock) {
  ARGS(1); struct timespec t; uint32_t *out = (uint32_t *)at(env, arg32(env, a[0]), 8);
  if (!out) return int32_of(env, -EINVAL);
  clock_gettime(CLOCK_MONOTONIC, &t);
  uint64_t us = (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
  out[0] = (uint32_t)us; out[1] = (uint32_t)(us / 1000);
  return int32_of(env, 0);
}

/* wait(offset, count, timeoutUs): ppoll over an array of struct pollfd in the arena; timeoutUs < 0 waits for ever */
FUNCTION(Wait) {
  ARGS(3); int32_t count = arg32(env, a[1]), us = arg32(env, a[2]);
  struct pollfd *fds = (struct pollfd *)at(env, arg32(env, a[0]), (int64_t)count * sizeof *fds);
  if (!fds) return int32_of(env, -EINVAL);
  struct timespec t = {us / 1000000, (us % 1000000) * 1000L};
  int r = ppoll(fds, count, us < 0 ? 0 : &t, 0);
  return int32_of(env, r < 0 ? -errno : r);
}

/* futexWait(offset, expected, timeoutUs): 0 woken, -EAGAIN value differs, -ETIMEDOUT; works across processes */
FUNCTION(FutexWait) {
  ARGS(3); int32_t us = arg32(env, a[2]); uint32_t *word = (uint32_t *)at(env, arg32(env, a[0]), 4);
  if (!word) return int32_of(env, -EINVAL);
  struct timespec t = {us / 1000000, (us % 1000000) * 1000L};
  long r = syscall(SYS_futex, word, FUTEX_WAIT, arg32(env, a[1]), us < 0 ? 0 : &t, 0, 0);
  return int32_of(env, r < 0 ? -errno : 0);
}

FUNCTION(FutexWake) {
  ARGS(2); uint32_t *word = (uint32_t *)at(env, arg32(env, a[0]), 4);
  if (!word) return int32_of(env, -EINVAL);
  long r = syscall(SYS_futex, word, FUTEX_WAKE, arg32(env, a[1]), 0, 0, 0);
  return int32_of(env, r < 0 ? -errno : (int32_t)r);
}

/* readFrames(fd, list, max, capacity): one read() a frame into the arena. `list` is max pairs of words: on entry
 * [offset, -], on return [offset, length] for the first n. Returns n, or -errno if the first read failed. */
FUNCTION(ReadFrames) {
  ARGS(4); int fd = arg32(env, a[0]), max = arg32(env, a[2]), capacity = arg32(env, a[3]), n = 0;
  int32_t *list = (int32_t *)at(env, arg32(env, a[1]), (int64_t)max * 8);
  if (!list) return int32_of(env, -EINVAL);
  for (; n < max; n++) {
    uint8_t *p = at(env, list[2 * n], capacity);
    if (!p) return int32_of(env, n ? n : -EINVAL);
    ssize_t r = read(fd, p, capacity);
    if (r < 0) return int32_of(env, n ? n : -errno);
    list[2 * n + 1] = (int32_t)r;
  }
  return int32_of(env, n);
}

/* writeFrames(fd, list, count): one write() a frame; list is count pairs [offset, length]. Returns how many went. */
FUNCTION(WriteFrames) {
  ARGS(3); int fd = arg32(env, a[0]), count = arg32(env, a[2]), n = 0;
  int32_t *list = (int32_t *)at(env, arg32(env, a[1]), (int64_t)count * 8);
  if (!list) return int32_of(env, -EINVAL);
  for (; n < count; n++) {
    uint8_t *p = at(env, list[2 * n], list[2 * n + 1]);
    if (!p) return int32_of(env, n ? n : -EINVAL);
    if (write(fd, p, list[2 * n + 1]) < 0) return int32_of(env, n ? n : -errno);
  }
  return int32_of(env, n);
}

/* What the event loop calls, in the async context in which it was made. */
typedef struct { napi_env env; napi_ref function; napi_async_context context; } Callback;

static void keep(napi_env env, napi_value function, const char *name, Callback *to) {
  napi_value text; to->env = env;
  napi_create_reference(env, function, 1, &to->function);
  napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &text);
  napi_async_init(env, 0, text, &to->context);
}
static void call_back(Callback *to) {
  napi_handle_scope scope; napi_value fn, global;
  napi_open_handle_scope(to->env, &scope);
  napi_get_reference_value(to->env, to->function, &fn);
  napi_get_global(to->env, &global);
  napi_make_callback(to->env, to->context, global, fn, 0, 0, 0);
  napi_close_handle_scope(to->env, scope);
}

typedef struct { uv_poll_t poll; Callback to; } Watch;

static void watch_ready(uv_poll_t *poll, int status, int events) {
  (void)status; (void)events; call_back(&((Watch *)poll->data)->to);
}
static void watch_closed(uv_handle_t *handle) { free(handle->data); }
static void watch_cleanup(void *data) { Watch *w = data; uv_close((uv_handle_t *)&w->poll, watch_closed); }

/* watch(fd, callback) -> external: calls back from this thread's event loop when fd is readable, while armed */
FUNCTION(WatchFd) {
  ARGS(2); Watch *w = calloc(1, sizeof *w); uv_loop_t *loop; napi_value out;
  napi_get_uv_event_loop(env, &loop);
  int r = uv_poll_init(loop, &w->poll, arg32(env, a[0]));
  if (r < 0) { free(w); errno = -r; return result_of(env, -1); }
  w->poll.data = w; keep(env, a[1], "ix.watch", &w->to);
  napi_add_env_cleanup_hook(env, watch_cleanup, w);
  napi_create_external(env, w, 0, 0, &out);
  return out;
}

/* armWatch(watch, on) */
FUNCTION(ArmWatch) {
  ARGS(2); void *w = 0; bool on = false;
  napi_get_value_external(env, a[0], &w); napi_get_value_bool(env, a[1], &on);
  if (!w) return int32_of(env, -EINVAL);
  uv_poll_t *poll = &((Watch *)w)->poll;
  return int32_of(env, on ? uv_poll_start(poll, UV_READABLE, watch_ready) : uv_poll_stop(poll));
}

/* refWatch(watch, on): whether the event loop goes on for its sake alone */
FUNCTION(RefWatch) {
  ARGS(2); void *w = 0; bool on = false;
  napi_get_value_external(env, a[0], &w); napi_get_value_bool(env, a[1], &on);
  if (!w) return int32_of(env, -EINVAL);
  uv_handle_t *handle = (uv_handle_t *)&((Watch *)w)->poll;
  if (on) uv_ref(handle); else uv_unref(handle);
  return int32_of(env, 0);
}

typedef struct { uv_idle_t idle; uv_timer_t timer; Callback to; int closed; } Rounds;

static void round_begins(uv_idle_t *idle) { call_back(&((Rounds *)idle->data)->to); }
static void rounds_over(uv_timer_t *timer) { call_back(&((Rounds *)timer->data)->to); }
static void rounds_closed(uv_handle_t *one) { Rounds *r = one->data; if (++r->closed == 2) free(r); }
static void rounds_cleanup(void *data) {
  Rounds *r = data;
  uv_close((uv_handle_t *)&r->idle, rounds_closed); uv_close((uv_handle_t *)&r->timer, rounds_closed);
}

/* rounds(callback) -> external: calls back from this thread's event loop as armRounds says; allocates nothing in V8 */
FUNCTION(MakeRounds) {
  ARGS(1); Rounds *r = calloc(1, sizeof *r); uv_loop_t *loop; napi_value out;
  napi_get_uv_event_loop(env, &loop);
  uv_idle_init(loop, &r->idle); uv_timer_init(loop, &r->timer);
  r->idle.data = r->timer.data = r; keep(env, a[0], "ix.rounds", &r->to);
  napi_add_env_cleanup_hook(env, rounds_cleanup, r);
  napi_create_external(env, r, 0, 0, &out);
  return out;
}

/* armRounds(rounds, ms): 0: in each round of the loop, which then never waits; above: once, then; below: not at all */
FUNCTION(ArmRounds) {
  ARGS(2); void *p = 0; int32_t ms = arg32(env, a[1]); napi_get_value_external(env, a[0], &p);
  if (!p) return int32_of(env, -EINVAL);
  Rounds *r = p;
  uv_timer_stop(&r->timer);
  if (ms == 0) return int32_of(env, uv_idle_start(&r->idle, round_begins));
  uv_idle_stop(&r->idle);
  if (ms < 0) return int32_of(env, 0);
  uv_update_time(r->timer.loop); /* it counts from when the loop last looked */
  return int32_of(env, uv_timer_start(&r->timer, rounds_over, ms, 0));
}

/* fatal(error): 'uncaughtException', or the end, as for what a callback from C++ throws */
FUNCTION(Fatal) { ARGS(1); napi_fatal_exception(env, a[0]); return int32_of(env, 0); }

/* loopFd(): the descriptor that is readable when this thread's event loop has something to do, timers apart */
FUNCTION(LoopFd) {
  uv_loop_t *loop; (void)info;
  napi_get_uv_event_loop(env, &loop);
  return int32_of(env, uv_backend_fd(loop));
}

/* pin(cpu): this thread runs there only; cpu < 0 lifts it */
FUNCTION(Pin) {
  ARGS(1); int cpu = arg32(env, a[0]); cpu_set_t set; CPU_ZERO(&set);
  if (cpu < 0) for (int i = 0; i < CPU_SETSIZE; i++) CPU_SET(i, &set); else CPU_SET(cpu, &set);
  return int32_of(env, sched_setaffinity(0, sizeof set, &set) < 0 ? -errno : 0);
}

static void release(napi_env env, void *data, void *hint) { (void)env; (void)hint; free(data); }

NAPI_MODULE_INIT() {
  static const struct { const char *name; napi_callback fn; } table[] = {
    {"syscall", Syscall}, {"everyThread", EveryThread}, {"address", Address}, {"useArena", UseArena},
    {"mapAt", MapAt}, {"map", Map},
    {"kick", Kick}, {"clock", Clock}, {"wait", Wait}, {"futexWait", FutexWait}, {"futexWake", FutexWake},
    {"readFrames", ReadFrames}, {"writeFrames", WriteFrames}, {"pin", Pin},
    {"watch", WatchFd}, {"armWatch", ArmWatch}, {"refWatch", RefWatch}, {"fatal", Fatal}, {"loopFd", LoopFd},
    {"rounds", MakeRounds}, {"armRounds", ArmRounds},
  };
  napi_set_instance_data(env, calloc(1, sizeof(Arena)), release, 0);
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    napi_value f;
    napi_create_function(env, table[i].name, NAPI_AUTO_LENGTH, table[i].fn, 0, &f);
    napi_set_named_property(env, exports, table[i].name, f);
  }
  return exports;
}
