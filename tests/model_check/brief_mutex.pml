/* BriefMutex, for Spin: include/wisp/base/mutex.hpp and src/base/mutex.cpp.
 *
 *   spin -a brief_mutex.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan -E
 *   spin -a -DPRIORITY brief_mutex.pml && cc -O2 -DNP -DNOREDUCE -o pan pan.c && ./pan -E -l -f
 *
 * What is checked, over all interleavings of three threads with stores that are late
 * (store_buffer.pml):
 *   - at most one thread is between lock() and unlock(), and sees what the ones before it stored;
 *   - nobody waits for ever: when all has come to rest, each thread has had its turns. Nobody is
 *     woken here; whoever waits looks again.
 * And with PRIORITY, two threads on one core of which the other runs only while the first one
 * sleeps: no fair run goes on for ever without a turn, though each may find the mutex taken. That is
 * what the sleep in wait() is for; a yield lets nobody of lower priority run.
 *
 * With PRIORITY the first one sleeps after each look; more looks before it change nothing.
 * MUTANT_...: what each one breaks must be found. */

#ifdef PRIORITY
#define THREADS 2
#else
#define THREADS 3
#endif
#ifndef TURNS
#define TURNS 2
#endif

#define TAKEN 0
#define DATA 1 /* guarded by it */
#define CPUS THREADS
#define WORDS 2
#define STORES 3
#include "store_buffer.pml"

byte inside; /* threads between lock() and unlock() */
byte turns;  /* in all */

/* lock(): the exchange, and then wait(). It is done once the exchange finds false. */
inline exchange() {
#ifdef MUTANT_LOADS_THEN_STORES
  was_taken = mem[TAKEN];
  store(me, TAKEN, 1)
#else
  fence(me);
  d_step { was_taken = mem[TAKEN]; mem[TAKEN] = 1 }
#endif
}

inline turn() {
  inside++;
  assert(inside == 1);
  seen = mem[DATA];
#ifdef MUTANT_UNLOCKS_RELAXED
  inside--;
  store(me, TAKEN, 0);
  store(me, DATA, seen + 1);
#else
  store(me, DATA, seen + 1);
  inside--;
  store(me, TAKEN, 0);
#endif
  seen = 0
}

#ifndef PRIORITY
proctype Thread(byte me) {
  byte left = TURNS;
  bool was_taken;
  byte seen;
  do
  :: left > 0 ->
lock:
    exchange();
wait:
    do
    :: was_taken -> mem[TAKEN] == 0 -> exchange()
    :: else -> break
    od;
    turn();
    left--
  :: else -> break
  od;
  turns = turns + TURNS
}

/* Runs when nobody else can. */
proctype AtRest() {
  timeout ->
#ifdef MUTANT_LOADS_THEN_STORES
  skip /* two inside are to be seen */
#else
  assert(turns == THREADS * TURNS);
  assert(mem[DATA] == THREADS * TURNS)
#endif
}

init {
  atomic {
    run Memory(0);
    run Memory(1);
    run Memory(2);
    run Thread(0);
    run Thread(1);
    run Thread(2);
    run AtRest()
  }
}
#else

/* The kernel: the first one runs whenever it can, so its sleep ends once the other has had a step. */
bool asleep;
bool stepped;

active proctype First() {
  byte me = 0;
  bool was_taken;
  byte seen;
  do
  :: true ->
lock:
    exchange();
    do
    :: was_taken ->
      if
      :: mem[TAKEN] == 0 -> exchange()
      :: mem[TAKEN] == 1 /* relax() or yield() */
      fi;
#ifndef MUTANT_NEVER_SLEEPS
      if
      :: was_taken ->
        atomic { stepped = false; asleep = true };
        stepped;
        asleep = false
      :: else
      fi
#endif
    :: else -> break
    od;
progress:
    turn();
    /* Does something else. */
    atomic { stepped = false; asleep = true };
    stepped;
    asleep = false
  od
}

active proctype Other() provided (asleep) {
  byte me = 1;
  bool was_taken;
  byte seen;
  do
  :: true ->
lock:
    exchange();
    do
    :: was_taken ->
      if
      :: atomic { mem[TAKEN] == 0 -> stepped = true }; exchange()
      :: atomic { mem[TAKEN] == 1 -> stepped = true }
      fi
    :: else -> break
    od;
progress:
    stepped = true;
    turn();
    stepped = true
  od
}

active proctype Core() {
  byte word;
  byte value;
end_all:
  do
  :: d_step { buffer[0]?word,value -> mem[word] = value; word = 0; value = 0 }
  :: d_step { buffer[1]?word,value -> mem[word] = value; word = 0; value = 0 }
  od
}
#endif
