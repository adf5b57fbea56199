// Fixed worker threads that share out one job after another.
//
// A job is done when its tasks are done, not when every worker has looked at it: a worker that the system has put aside
// delays nobody. One 64-bit ticket holds the job's number, its number of tasks and the next task, so that whoever
// takes a task takes it from the job whose body it then calls. Threads spin for a moment before they sleep, because in a
// decoder step the next job comes within microseconds.
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "CDyadKernels.h"

enum { SPINS = 4000, COUNT_BITS = 20 };

static const uint64_t COUNT_MASK = ((uint64_t)1 << COUNT_BITS) - 1;

struct dyad_pool {
  size_t threads;
  pthread_t *workers;
  pthread_mutex_t run_lock;  // one job at a time
  pthread_mutex_t lock;      // guards sleeping
  pthread_cond_t wake;
  pthread_cond_t done;
  _Atomic uint64_t ticket;  // job number (24 bits), tasks (20), next task (20)
  atomic_size_t finished;   // tasks of the job that are done
  atomic_bool stopping;
  // Of the current job; they stay while a task is unfinished.
  void (*body)(void *, size_t, size_t);
  void *context;
};

typedef struct {
  dyad_pool *pool;
  size_t index;
} worker_argument;

static inline uint64_t ticket_job(uint64_t ticket) { return ticket >> (2 * COUNT_BITS); }
static inline size_t ticket_tasks(uint64_t ticket) { return ticket >> COUNT_BITS & COUNT_MASK; }
static inline size_t ticket_next(uint64_t ticket) { return ticket & COUNT_MASK; }

static inline void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Takes tasks until none is left.
static void take_tasks(dyad_pool *pool, size_t worker) {
  uint64_t ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
  while (ticket_next(ticket) < ticket_tasks(ticket)) {
    if (!atomic_compare_exchange_weak_explicit(&pool->ticket, &ticket, ticket + 1, memory_order_acq_rel,
                                               memory_order_acquire))
      continue;
    pool->body(pool->context, ticket_next(ticket), worker);
    const size_t tasks = ticket_tasks(ticket);
    if (atomic_fetch_add_explicit(&pool->finished, 1, memory_order_acq_rel) + 1 == tasks && worker != 0) {
      pthread_mutex_lock(&pool->lock);
      pthread_cond_signal(&pool->done);
      pthread_mutex_unlock(&pool->lock);
    }
    ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
  }
}

// Returns the number of a job other than `seen`.
static uint64_t await_job(dyad_pool *pool, uint64_t seen) {
  for (int spin = 0; spin < SPINS; spin++) {
    const uint64_t job = ticket_job(atomic_load_explicit(&pool->ticket, memory_order_acquire));
    if (job != seen) return job;
    relax();
  }
  pthread_mutex_lock(&pool->lock);
  uint64_t job;
  while ((job = ticket_job(atomic_load_explicit(&pool->ticket, memory_order_acquire))) == seen)
    pthread_cond_wait(&pool->wake, &pool->lock);
  pthread_mutex_unlock(&pool->lock);
  return job;
}

static void *work(void *raw) {
  const worker_argument argument = *(worker_argument *)raw;
  free(raw);
  uint64_t seen = 0;
  for (;;) {
    seen = await_job(argument.pool, seen);
    if (atomic_load(&argument.pool->stopping)) return NULL;
    take_tasks(argument.pool, argument.index);
  }
}

static void publish(dyad_pool *pool, size_t tasks) {
  const uint64_t job = ticket_job(atomic_load_explicit(&pool->ticket, memory_order_relaxed)) + 1;
  pthread_mutex_lock(&pool->lock);
  atomic_store_explicit(&pool->ticket, job << (2 * COUNT_BITS) | (uint64_t)tasks << COUNT_BITS, memory_order_release);
  pthread_cond_broadcast(&pool->wake);
  pthread_mutex_unlock(&pool->lock);
}

dyad_pool *dyad_pool_create(size_t threads) {
  dyad_pool *pool = calloc(1, sizeof *pool);
  if (pool == NULL) return NULL;
  pool->workers = calloc(threads, sizeof *pool->workers);
  if (pool->workers == NULL) {
    free(pool);
    return NULL;
  }
  pthread_mutex_init(&pool->run_lock, NULL);
  pthread_mutex_init(&pool->lock, NULL);
  pthread_cond_init(&pool->wake, NULL);
  pthread_cond_init(&pool->done, NULL);
  pool->threads = 1;
  for (size_t index = 1; index < threads; index++) {
    worker_argument *argument = malloc(sizeof *argument);
    if (argument != NULL) *argument = (worker_argument){pool, index};
    if (argument == NULL || pthread_create(&pool->workers[index], NULL, work, argument) != 0) {
      free(argument);
      dyad_pool_destroy(pool);
      return NULL;
    }
    pool->threads++;
  }
  return pool;
}

void dyad_pool_destroy(dyad_pool *pool) {
  atomic_store(&pool->stopping, true);
  publish(pool, 0);
  for (size_t index = 1; index < pool->threads; index++) pthread_join(pool->workers[index], NULL);
  pthread_cond_destroy(&pool->done);
  pthread_cond_destroy(&pool->wake);
  pthread_mutex_destroy(&pool->lock);
  pthread_mutex_destroy(&pool->run_lock);
  free(pool->workers);
  free(pool);
}

void dyad_pool_run(dyad_pool *pool, size_t tasks, void (*body)(void *context, size_t task, size_t worker),
                   void *context) {
  if (pool->threads == 1 || tasks <= 1 || tasks > COUNT_MASK) {
    for (size_t task = 0; task < tasks; task++) body(context, task, 0);
    return;
  }
  pthread_mutex_lock(&pool->run_lock);
  pool->body = body;
  pool->context = context;
  atomic_store_explicit(&pool->finished, 0, memory_order_relaxed);
  publish(pool, tasks);
  take_tasks(pool, 0);
  for (int spin = 0; spin < SPINS && atomic_load_explicit(&pool->finished, memory_order_acquire) != tasks; spin++) relax();
  if (atomic_load_explicit(&pool->finished, memory_order_acquire) != tasks) {
    pthread_mutex_lock(&pool->lock);
    while (atomic_load_explicit(&pool->finished, memory_order_acquire) != tasks)
      pthread_cond_wait(&pool->done, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
  }
  pthread_mutex_unlock(&pool->run_lock);
}
