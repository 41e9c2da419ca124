//go:build cgo && linux && !purego

#include "team.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

// How often a waiting thread looks before it goes to sleep: some tens of microseconds, about what waking it takes.
enum { LOOKS = 600 };
enum { CACHE_LINE = 64 };

// The gate of a call: its number in the upper half, whether members may enter, how many are inside.
#define CALL (1ull << 32)
#define OPEN (1ull << 31)
#define INSIDE (OPEN - 1)

struct ensue_team {
  // Written by the caller while nobody is inside, read by members.
  ensue_work *work;
  const void *job;
  long items;
  int threads;
  pthread_t *members;
  _Alignas(CACHE_LINE) _Atomic uint64_t gate;
  _Alignas(CACHE_LINE) _Atomic long next;
  _Alignas(CACHE_LINE) _Atomic uint32_t bell; // rung when the gate opens
  _Atomic int asleep;
  _Alignas(CACHE_LINE) _Atomic uint32_t left; // rung when the last member leaves and the caller sleeps
  _Atomic int waiting;
  _Atomic int closed;
};

typedef struct {
  ensue_team *team;
  int thread;
} member;

static void pause_briefly(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static void sleep_on(_Atomic uint32_t *word, uint32_t seen) { syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0); }
static void wake(_Atomic uint32_t *word, int most) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, most, NULL, NULL, 0); }

static void take_items(ensue_team *t, int thread) {
  ensue_work *work = t->work;
  const void *job = t->job;
  const long items = t->items;
  for (long i; (i = atomic_fetch_add_explicit(&t->next, 1, memory_order_relaxed)) < items;) work(job, i, thread);
}

// Waits until the gate is open for a call after `last`, or the team closes. Returns the gate.
static uint64_t await_call(ensue_team *t, uint64_t last) {
  for (int looks = 0;; looks++) {
    uint32_t seen = atomic_load(&t->bell);
    uint64_t gate = atomic_load(&t->gate);
    if (atomic_load(&t->closed) || ((gate & OPEN) && gate / CALL != last)) return gate;
    if (looks < LOOKS) {
      pause_briefly();
      continue;
    }
    atomic_fetch_add(&t->asleep, 1);
    gate = atomic_load(&t->gate);
    if (!atomic_load(&t->closed) && !((gate & OPEN) && gate / CALL != last)) sleep_on(&t->bell, seen);
    atomic_fetch_sub(&t->asleep, 1);
    looks = 0;
  }
}

static void *serve(void *argument) {
  member m = *(member *)argument;
  free(argument);
  ensue_team *t = m.team;
  uint64_t last = UINT64_MAX;
  while (1) {
    uint64_t gate = await_call(t, last);
    if (atomic_load(&t->closed)) return NULL;
    if (!atomic_compare_exchange_strong(&t->gate, &gate, gate + 1)) continue;
    last = gate / CALL;
    take_items(t, m.thread);
    uint64_t before = atomic_fetch_sub(&t->gate, 1);
    if ((before & INSIDE) == 1 && atomic_load(&t->waiting)) {
      atomic_fetch_add(&t->left, 1);
      wake(&t->left, 1);
    }
  }
}

static int start_member(ensue_team *t, int thread) {
  member *m = malloc(sizeof *m);
  if (!m) return 0;
  m->team = t, m->thread = thread;
  if (pthread_create(&t->members[thread - 1], NULL, serve, m)) {
    free(m);
    return 0;
  }
  return 1;
}

ensue_team *ensue_team_open(int threads) {
  size_t size = (sizeof(ensue_team) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
  ensue_team *t = aligned_alloc(CACHE_LINE, size);
  if (!t) return NULL;
  *t = (ensue_team){.threads = 1};
  t->members = calloc(threads > 1 ? threads - 1 : 1, sizeof *t->members);
  // The program's signals are for its own threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (t->members && t->threads < threads && start_member(t, t->threads)) t->threads++;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (!t->members || t->threads < threads) {
    ensue_team_close(t);
    return NULL;
  }
  return t;
}

void ensue_team_close(ensue_team *t) {
  if (!t) return;
  atomic_store(&t->closed, 1);
  atomic_fetch_add(&t->bell, 1);
  wake(&t->bell, INT_MAX);
  for (int i = 0; i < t->threads - 1; i++) pthread_join(t->members[i], NULL);
  free(t->members);
  free(t);
}

int ensue_team_size(const ensue_team *t) { return t ? t->threads : 1; }

// Closes the gate once nobody is inside: then every item that was taken is done.
static void await_members(ensue_team *t) {
  for (int looks = 0;; looks++) {
    uint32_t seen = atomic_load(&t->left);
    uint64_t gate = atomic_load(&t->gate);
    if (!(gate & INSIDE)) {
      if (atomic_compare_exchange_strong(&t->gate, &gate, gate & ~OPEN)) return;
      continue;
    }
    if (looks < LOOKS) {
      pause_briefly();
      continue;
    }
    atomic_store(&t->waiting, 1);
    if (atomic_load(&t->gate) & INSIDE) sleep_on(&t->left, seen);
    atomic_store(&t->waiting, 0);
  }
}

void ensue_team_run(ensue_team *t, ensue_work *work, const void *job, long items) {
  if (!t || t->threads == 1 || items <= 1) {
    for (long i = 0; i < items; i++) work(job, i, 0);
    return;
  }
  t->work = work, t->job = job, t->items = items;
  atomic_store_explicit(&t->next, 0, memory_order_relaxed);
  uint64_t gate = atomic_load(&t->gate);
  atomic_store(&t->gate, (gate / CALL + 1) * CALL | OPEN);
  atomic_fetch_add(&t->bell, 1);
  if (atomic_load(&t->asleep)) wake(&t->bell, t->threads - 1);
  take_items(t, 0);
  await_members(t);
}
