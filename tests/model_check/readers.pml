/* Who may delete what a reader may still read, for Spin: include/wisp/base/readers.hpp and the
 * writers in include/wisp/model/topic_index.hpp, after which the labels and inlines are named.
 *
 *   spin -a readers.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan -E
 *
 * What is checked, over all interleavings of READERS readers and a writer that takes UPDATES objects
 * out, one after the other, with stores that are late (store_buffer.pml):
 *   - nobody reads an object that has been deleted, be it in a look or in a hold;
 *   - nothing is left over: when all has come to rest, each object that was taken out is deleted,
 *     by the writer or by the reader that was the last to let go.
 *
 * A reader looks, holds what it found, ends the look, reads, lets go and collects, as a match does,
 * ROUNDS times. Threads that hold the mutex exclude each other, and its release is a fence: others
 * see it only after all stores before it. Looks within looks and more than one hold are left out.
 *
 * MEMORY: a reader remembers what it found, and looks only where that is of another age. SYMMETRIC:
 * the kernel has no membarrier. MUTANT_...: what each one breaks must be found. */

#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef READERS
#define READERS 2 /* or 1 */
#endif
#ifndef UPDATES
#define UPDATES 2
#endif

#define WRITER READERS
#define OBJECTS (UPDATES + 1) /* 1 .. OBJECTS; 0 is none */

#define LIST 0
#define AGE 1
#define WAITING 2
#define SINCE(reader) (3 + (reader))
#define HOLD(reader) (3 + READERS + (reader))

#define CPUS (READERS + 1)
#define WORDS (3 + 2 * READERS)
#define STORES 3
#include "store_buffer.pml"

bool locked;
byte garbage;                 /* taken out and not deleted; under the mutex, as the next */
byte retired_at[OBJECTS + 1]; /* the age; 0: not taken out */
bool deleted[OBJECTS + 1];

inline lock(cpu) {
  atomic { !locked -> locked = true };
  fence(cpu)
}
inline unlock(cpu) {
  fence(cpu);
  locked = false
}

/* Readers::unused(retired_at[object], object), into `used`. */
inline look_for_use(object) {
  used = false;
  reader = 0;
  do
  :: reader < READERS ->
#ifdef MUTANT_HOLDS_FIRST
    used = used || (mem[HOLD(reader)] == object);
    used = used || (mem[SINCE(reader)] != 0 && mem[SINCE(reader)] <= retired_at[object]);
#else
    used = used || (mem[SINCE(reader)] != 0 && mem[SINCE(reader)] <= retired_at[object]);
    used = used || (mem[HOLD(reader)] == object);
#endif
    reader++
  :: else -> break
  od;
  reader = 0
}

/* TopicIndex::reclaim. What it moves to `doomed` is deleted at once, which is the stricter. */
inline reclaim(cpu) {
  if
  :: garbage == 0
  :: else ->
#ifndef MUTANT_WAITS_LATE
    store(cpu, WAITING, 1);
#endif
    heavy_barrier(cpu, READERS);
    each = 1;
    do
    :: each <= OBJECTS ->
      if
      :: retired_at[each] != 0 && !deleted[each] ->
        look_for_use(each);
        if
        :: !used -> deleted[each] = true; garbage--
        :: else
        fi;
        used = false
      :: else
      fi;
      each++
    :: else -> break
    od;
    each = 0;
#ifdef MUTANT_WAITS_LATE
    store(cpu, WAITING, 1);
#endif
    if
    :: garbage == 0 -> store(cpu, WAITING, 0)
    :: else
    fi
  fi
}

proctype Reader(byte me) {
  byte round;
  byte began;
  byte list;
  byte each;
  byte reader;
  bool used;
  bool fenced[CPUS];
#ifdef MEMORY
  byte kept; /* what it found last, and at which age */
  byte kept_age;
  bool in_vain;
#endif
  do
  :: round < ROUNDS ->
#ifdef MEMORY
recall:
    if
    :: kept != 0 ->
#ifdef MUTANT_RECALLS_FIRST
      used = (mem[AGE] == kept_age);
      store(me, HOLD(me), kept);
      light_barrier(me);
#else
      store(me, HOLD(me), kept);
      light_barrier(me);
      used = (mem[AGE] == kept_age);
#endif
      if
      :: used -> used = false; list = kept; began = kept_age
      :: else -> store(me, HOLD(me), 0); in_vain = true
      fi
    :: else
    fi;
#endif
    if
    :: list == 0 ->
look:
      began = mem[AGE];
      store(me, SINCE(me), began);
      light_barrier(me);
      list = mem[LIST];
      assert(!deleted[list]);
#ifdef MEMORY
      kept = list;
      kept_age = began;
#endif
#ifdef MUTANT_LOOK_ENDS_FIRST
      store(me, SINCE(me), 0);
      store(me, HOLD(me), list);
#else
      store(me, HOLD(me), list);
      store(me, SINCE(me), 0);
#endif
    :: else
    fi;
    assert(!deleted[list]);
#if defined(MEMORY) && !defined(MUTANT_FORGETS_VAIN_HOLD)
    if
    :: in_vain -> began = 0
    :: else
    fi;
    in_vain = false;
#endif
#ifdef MUTANT_COLLECTS_FIRST
    used = (mem[WAITING] == 1 && mem[AGE] != began);
#endif
    store(me, HOLD(me), 0);
    light_barrier(me);
#ifndef MUTANT_COLLECTS_FIRST
    used = (mem[WAITING] == 1);
    used = (used && mem[AGE] != began);
#endif
    if
    :: used ->
      used = false;
      lock(me);
      reclaim(me);
      unlock(me)
    :: else
    fi;
    began = 0;
    list = 0;
    round++
  :: else -> break
  od
}

proctype Writer() {
  byte current = 1;
  byte each;
  byte reader;
  byte age = 1; /* age_, which no other thread writes */
  bool used;
  bool fenced[CPUS];
  do
  :: current < OBJECTS ->
    lock(WRITER);
#ifdef MUTANT_AGES_FIRST
    store(WRITER, AGE, age + 1);
    store(WRITER, LIST, current + 1);
#else
    store(WRITER, LIST, current + 1);
    store(WRITER, AGE, age + 1);
#endif
    d_step {
      retired_at[current] = age;
      garbage++;
      age++;
      current++
    };
    reclaim(WRITER);
    unlock(WRITER)
  :: else -> break
  od
}

/* Runs when nobody else can. */
proctype AtRest() {
  timeout ->
  assert(garbage == 0);
  assert(deleted[UPDATES])
}

init {
  atomic {
    mem[LIST] = 1;
    mem[AGE] = 1;
    run Memory(0);
    run Memory(WRITER);
    run Reader(0);
#if READERS > 1
    run Memory(1);
    run Reader(1);
#endif
    run Writer();
    run AtRest()
  }
}
