// Fixed worker threads. A job wakes them by a generation counter; they spin for a moment before they sleep, because in a
// decoder step the next job comes within microseconds.
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "CDyadKernels.h"

enum { SPINS = 4000 };

struct dyad_pool {
  size_t threads;
  pthread_t *workers;
  pthread_mutex_t run_lock;  // one job at a time
  pthread_mutex_t lock;      // guards sleeping
  pthread_cond_t wake;
  pthread_cond_t done;
  atomic_size_t generation;  // of the job; workers wait for it to change
  atomic_size_t next;        // task to take
  atomic_size_t working;     // workers that have not finished the job
  atomic_bool stopping;
  size_t tasks;
  void (*body)(void *, size_t, size_t);
  void *context;
};

typedef struct {
  dyad_pool *pool;
  size_t index;
} worker_argument;

static inline void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static void take_tasks(dyad_pool *pool, size_t worker) {
  for (;;) {
    const size_t task = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
    if (task >= pool->tasks) return;
    pool->body(pool->context, task, worker);
  }
}

// Returns when the generation is no longer `seen`.
static size_t await_generation(dyad_pool *pool, size_t seen) {
  for (int spin = 0; spin < SPINS; spin++) {
    const size_t now = atomic_load_explicit(&pool->generation, memory_order_acquire);
    if (now != seen) return now;
    relax();
  }
  pthread_mutex_lock(&pool->lock);
  size_t now;
  while ((now = atomic_load_explicit(&pool->generation, memory_order_acquire)) == seen)
    pthread_cond_wait(&pool->wake, &pool->lock);
  pthread_mutex_unlock(&pool->lock);
  return now;
}

static void *work(void *raw) {
  worker_argument argument = *(worker_argument *)raw;
  free(raw);
  dyad_pool *pool = argument.pool;
  size_t seen = 0;
  for (;;) {
    seen = await_generation(pool, seen);
    if (atomic_load(&pool->stopping)) return NULL;
    take_tasks(pool, argument.index);
    if (atomic_fetch_sub_explicit(&pool->working, 1, memory_order_acq_rel) == 1) {
      pthread_mutex_lock(&pool->lock);
      pthread_cond_signal(&pool->done);
      pthread_mutex_unlock(&pool->lock);
    }
  }
}

static void start_generation(dyad_pool *pool) {
  pthread_mutex_lock(&pool->lock);
  atomic_fetch_add_explicit(&pool->generation, 1, memory_order_release);
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
  start_generation(pool);
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
  if (pool->threads == 1 || tasks <= 1) {
    for (size_t task = 0; task < tasks; task++) body(context, task, 0);
    return;
  }
  pthread_mutex_lock(&pool->run_lock);
  pool->tasks = tasks;
  pool->body = body;
  pool->context = context;
  atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
  atomic_store_explicit(&pool->working, pool->threads - 1, memory_order_relaxed);
  start_generation(pool);
  take_tasks(pool, 0);
  for (int spin = 0; spin < SPINS; spin++) {
    if (atomic_load_explicit(&pool->working, memory_order_acquire) == 0) break;
    relax();
  }
  if (atomic_load_explicit(&pool->working, memory_order_acquire) != 0) {
    pthread_mutex_lock(&pool->lock);
    while (atomic_load_explicit(&pool->working, memory_order_acquire) != 0) pthread_cond_wait(&pool->done, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
  }
  pthread_mutex_unlock(&pool->run_lock);
}
