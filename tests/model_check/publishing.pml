/* How publishers and those who close routes see each other, for Spin: src/service/publishing.cpp,
 * route_end.cpp, and drain(), abort() and settle() of invoker.cpp, after which the labels are named.
 *
 *   spin -a -DSTOP publishing.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan -E
 *
 * What is checked, over all interleavings of publishers with one who ends the subscription of route
 * 0, or with STOP one who stops the runtime, with stores that are late (store_buffer.pml):
 *   - once close() has returned, no handler of its route runs or is entered;
 *   - once settle() has returned, none runs or is entered, but for those that it names;
 *   - nobody waits for ever: when all has come to rest, who closes or stops has returned.
 *
 * A publish is PublishHere's: it delivers to what it matched of ROUTES routes in a row, each
 * publisher PUBLISHES times. What is done under a mutex, by read-modify-writes or before the word of
 * the phase is a step and a fence. The index is read in one step: it is readers.pml's matter.
 *
 * IMPATIENT: a wait of stop() may end by its limit. SYMMETRIC: the kernel has no membarrier.
 * MUTANT_...: what each one breaks must be found. */

#ifndef PUBLISHERS
#define PUBLISHERS 2 /* or 1 */
#endif
#ifndef PUBLISHES
#define PUBLISHES 1
#endif
#ifndef ROUTES
#define ROUTES 2
#endif

#define CLOSER PUBLISHERS
#define NONE 0
#define NEVER 255

#define MARK(publisher) (publisher) /* 0, or 1 + the route + ROUTES for each publish before */
#define ROUTE_OF(mark) (((mark) - 1) % ROUTES)
#define CPUS (PUBLISHERS + 1)
#define WORDS PUBLISHERS
#define STORES 3
#include "store_buffer.pml"

/* Written by read-modify-writes or under a mutex. */
byte closings;
bool closed[ROUTES];
bool listed[ROUTES]; /* in the index */
mtype = { open, draining, stopped };
mtype phase = open;
bool waits[ROUTES]; /* the closer's Parker is among the route's waiters */
bool drains;        /* it is the invoker's drainer_ */
bool woken;         /* the closer's Parker */

/* What is only kept to be asserted. */
bool ended[ROUTES];
bool settled;
bool stuck[PUBLISHERS];
bool returned;

/* Who takes a mutex after us, or is woken, sees all stores before. */
inline wake(registered) {
  fence(me);
  atomic {
    if
    :: registered -> woken = true
    :: else
    fi
  }
}

inline handler(route) {
  assert(!ended[route] && (!settled || stuck[me]));
  skip;
  assert(!ended[route] && (!settled || stuck[me]))
}

proctype Publisher(byte me) {
  byte round;
  byte before; /* closings_ */
  byte route;
  byte left; /* 1 + the route, or NONE */
  bool matched[ROUTES];
  bool entered;
  do
  :: round < PUBLISHES ->
emit:
#ifdef MUTANT_OPEN_FIRST
    if
    :: phase != open -> goto emitted
    :: else
    fi;
#endif
#ifdef MUTANT_CLOSINGS_LATE
    d_step { matched[0] = listed[0]; matched[ROUTES - 1] = listed[ROUTES - 1] };
#endif
    before = closings;
#ifdef SYMMETRIC
    before = NEVER;
#endif
#ifndef MUTANT_OPEN_FIRST
    if
    :: phase != open -> goto emitted
    :: else
    fi;
#endif
#ifndef MUTANT_CLOSINGS_LATE
    d_step { matched[0] = listed[0]; matched[ROUTES - 1] = listed[ROUTES - 1] };
#endif
    route = 0;
    do
    :: route < ROUTES && !matched[route] -> route++
    :: route < ROUTES && matched[route] ->
deliver_row:
#ifndef MUTANT_MARKS_LATE
      store(me, MARK(me), 1 + route + ROUTES * round);
#endif
      entered = true;
      if
      :: closings != before ->
enter_late:
        light_barrier(me);
#ifndef MUTANT_LEAVES_SILENTLY
        if
        :: left != NONE && closed[left - 1] -> wake(waits[left - 1])
        :: else
        fi;
#endif
        entered = !closed[route]
      :: else
      fi;
#ifdef MUTANT_MARKS_LATE
      store(me, MARK(me), 1 + route + ROUTES * round);
#endif
      left = 1 + route;
      if
      :: entered -> handler(route)
      :: else
      fi;
      entered = false;
      route++
    :: route == ROUTES -> break
    od;
leave:
    store(me, MARK(me), 0);
    light_barrier(me);
    if
    :: closings != before ->
      if
      :: left != NONE && closed[left - 1] -> wake(waits[left - 1])
      :: else
      fi
    :: else
    fi;
#ifndef MUTANT_DRAINER_SLEEPS
    if
    :: phase != open -> wake(drains)
    :: else
    fi;
#endif
emitted:
    atomic {
      matched[0] = false;
      matched[ROUTES - 1] = false;
      left = NONE;
      route = 0;
      before = 0;
      round++
    }
  :: else -> break
  od
}

/* Publishers::count(route) into `count`, or of all with route == ROUTES. */
inline count_marks(route) {
  count = 0;
  each = 0;
  do
  :: each < PUBLISHERS ->
    d_step {
      if
      :: mem[MARK(each)] != 0 && (route == ROUTES || ROUTE_OF(mem[MARK(each)]) == route) -> count++
      :: else
      fi;
      each++
    }
  :: else -> break
  od;
  each = 0
}

/* Route::cancel. */
inline cancel(route) {
  closed[route] = true;
  closings++;
  fence(CLOSER)
}

#ifndef STOP
proctype Closer() {
  byte each;
  byte count;
  bool fenced[CPUS];
unsubscribe:
  listed[0] = false;
  fence(CLOSER);
  cancel(0);
  heavy_barrier(CLOSER, PUBLISHERS);
  count_marks(0);
  if
  :: count == 0
  :: else ->
    waits[0] = true;
#ifndef MUTANT_PARKS_UNSEEN
    count_marks(0);
#endif
    do
    :: count > 0 -> woken -> woken = false; count_marks(0)
    :: else -> break
    od;
    waits[0] = false
  fi;
  ended[0] = true;
  returned = true
}
#else

/* While (busy() && now < until) park. */
inline wait_until_idle() {
  do
  :: true ->
    count_marks(ROUTES);
    if
    :: count == 0 -> break
    :: else
    fi;
    if
    :: woken -> woken = false
#ifdef IMPATIENT
    :: break
#endif
    fi
  od
}

proctype Closer() {
  byte each;
  byte count;
  byte mark[PUBLISHERS];
  bool fenced[CPUS];
drain:
  drains = true;
  phase = draining;
  heavy_barrier(CLOSER, PUBLISHERS);
  wait_until_idle();
  drains = false;
abort:
  phase = stopped;
  fence(CLOSER);
  cancel(0);
#if ROUTES > 1
  cancel(1);
#endif
#ifndef MUTANT_ABORTS_BARELY
  heavy_barrier(CLOSER, PUBLISHERS);
#endif
settle:
  drains = true;
  do
  :: each < PUBLISHERS -> mark[each] = mem[MARK(each)]; each++
  :: else -> break
  od;
  each = 0;
  wait_until_idle();
  do
  :: each < PUBLISHERS ->
    d_step {
      stuck[each] = (mark[each] != 0 && mem[MARK(each)] == mark[each]);
      mark[each] = 0;
      each++
    }
  :: else -> break
  od;
  each = 0;
  drains = false;
  settled = true;
  returned = true
}
#endif

/* Runs when nobody else can. */
proctype AtRest() {
  timeout ->
  assert(returned)
}

init {
  atomic {
    listed[0] = true;
    listed[ROUTES - 1] = true;
    run Memory(0);
    run Publisher(0);
#if PUBLISHERS > 1
    run Memory(1);
    run Publisher(1);
#endif
    run Closer();
    run AtRest()
  }
}
