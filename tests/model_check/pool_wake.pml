/* How a pool parks and wakes its workers, for Spin: src/engine/{pool,worker,supervisor}.cpp and the
 * Parker of src/base/park.cpp, whose functions the labels and inlines are named after.
 *
 *   spin -a -DCLOSE -DTASKS=1 pool_wake.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan -E
 *
 * What is checked, over all interleavings of two submitters, MAX workers and one record
 * more, and, as the macros say, the supervisor and close():
 *   - no wake-up is lost: when everything has come to rest, each accepted task has run or was
 *     dropped by close(), though every worker may have parked, timed out and left in between;
 *   - whenever the lock is free and a task is queued, a worker runs or is starting;
 *   - at most one parked worker is woken and on its way at a time, and at most one thread is being
 *     born. That is serve()'s guarantee: a sample of the supervisor may wake more, so this is left
 *     out where it takes part;
 *   - close() returns: at rest it has, and no thread is left.
 *
 * A section under the pool's mutex is one atomic step, as it is to everybody who takes the mutex.
 * A wake comes after it even where the code wakes under the lock, which allows more, not less. The
 * word of a Parker is only changed by single read-modify-writes, so their interleavings are all
 * that the memory model allows. The futex wake is a step of its own after the exchange. The policy
 * is any; so is which parked worker is woken. begin_blocking() is left out.
 *
 * MUTANT_...: what each one breaks must be found. SUPERVISOR, CLOSE, FAULT (a thread may be
 * refused), MIN (workers that stay) and MAX, SUBMITTERS, TASKS (of
 * each submitter), SPURIOUS (wakes). */

#ifndef MIN
#define MIN 0
#endif
#ifndef TASKS
#define TASKS 2
#endif
#ifndef SUBMITTERS
#define SUBMITTERS 2
#endif
#ifndef SPURIOUS
#define SPURIOUS 0
#endif
#ifndef MAX
#define MAX 2 /* workers; or 1 */
#endif
#define RECORDS 3 /* one more than MAX is used: one may still be leaving */

/* Whom a Parker belongs to. Workers' are 0 .. RECORDS - 1. */
#define SUPER 3
#define CLOSER 4
#define PARKERS 5
#define NOBODY 255

#define EMPTY 0
#define WOKEN 1
#define PARKED 2
byte state[PARKERS];
bool asleep[PARKERS]; /* in the futex */
byte spurious = SPURIOUS; /* wakes out of nothing that the kernel may still do */

mtype = { absent, starting, running, parked, leaving };
mtype is[RECORDS] = absent;
bool unborn_record[RECORDS];
bool born[RECORDS]; /* the thread exists */
byte queued;
byte workers_;
byte starting_;
byte unborn_;
byte running_;
byte parked_;
byte threads_;
bool closed;
bool waiter; /* the closer's Parker is published */
mtype supervisor_ = absent;
bool supervisor_born;
bool armed;
bool fresh;

/* What is only counted to be asserted. */
byte accepted;
byte ran;
byte dropped;
bool close_returned;

#define active_ (running_ + starting_)

/* Without SUPERVISOR its thread is always refused, as the code allows for. */
#ifdef SUPERVISOR
#define no_supervisor false
#else
#define no_supervisor true
#endif

inline consistent() {
  assert(closed || queued == 0 || active_ > 0);
  assert(closed || queued == 0 || starting_ > 0 || armed || supervisor_ == leaving || no_supervisor);
#ifndef SUPERVISOR
  assert(starting_ - unborn_ <= 1);
#endif
  assert(unborn_ <= 1 || supervisor_ != absent)
}

/* Parker::unblock. */
inline unblock(p) {
  d_step { old = state[p]; state[p] = WOKEN }
#ifdef MUTANT_WAKE_ONLY_PARKED
  d_step { if :: old == EMPTY -> state[p] = EMPTY :: else fi }
#endif
  d_step {
    if
    :: old == PARKED -> asleep[p] = false
    :: else
    fi;
    old = 0
  }
}

/* Clock::park and Parker::block. `limited`: time may reach the limit; then rested is set. */
inline park(p, limited) {
  rested = false;
  if
  :: atomic { state[p] == WOKEN -> state[p] = EMPTY }
  :: atomic { state[p] == EMPTY -> state[p] = PARKED };
    do
    :: true ->
#ifdef MUTANT_NO_RECHECK
      asleep[p] = true;
#else
      /* FUTEX_WAIT looks at the word under the kernel's lock. */
      d_step { if :: state[p] == PARKED -> asleep[p] = true :: else fi }
#endif
      if
      :: !asleep[p]
      :: atomic { limited && asleep[p] -> asleep[p] = false; rested = true }
      :: atomic { spurious > 0 && asleep[p] -> asleep[p] = false; spurious-- }
      fi;
      if
      :: atomic { state[p] == WOKEN -> state[p] = EMPTY }; break
      :: atomic { state[p] == PARKED && rested -> state[p] = EMPTY }; break
      :: state[p] == PARKED && !rested
      fi
    od
  fi
}

inline flush() {
  if
  :: wake != NOBODY -> unblock(wake)
  :: else
  fi;
  if
  :: wake_supervisor -> unblock(SUPER)
  :: else
  fi;
  wake = NOBODY;
  wake_supervisor = false
}

inline wake_waiters() { wake_closer = wake_closer || waiter }

/* PoolState::add_worker: `failed` if nobody serves the queue. */
inline add_worker() {
  if
  :: parked_ > 0 ->
    if
    :: is[0] == parked -> wake = 0
    :: is[1] == parked -> wake = 1
    :: is[2] == parked -> wake = 2
    fi;
    is[wake] = starting;
    parked_--;
    starting_++
  :: else ->
    fresh_record = NOBODY;
    if
    :: workers_ < MAX && is[0] == absent -> fresh_record = 0
    :: workers_ < MAX && is[0] != absent && is[1] == absent -> fresh_record = 1
#if MAX > 1
    :: workers_ < MAX && is[0] != absent && is[1] != absent && is[2] == absent -> fresh_record = 2
#endif
    :: else
#ifdef FAULT
    :: fresh_record = NOBODY
#endif
    fi;
    if
    :: fresh_record == NOBODY -> failed = (active_ == 0)
    :: else ->
      is[fresh_record] = starting;
      unborn_record[fresh_record] = true;
      born[fresh_record] = true;
      starting_++;
      unborn_++;
      workers_++;
      threads_++;
      fresh_record = NOBODY
    fi
  fi
}

/* PoolState::watch. */
inline watch() {
#ifdef SUPERVISOR
  if
  :: armed || closed || supervisor_ == leaving
  :: else ->
    if
    :: supervisor_ == absent ->
      supervisor_ = running;
      supervisor_born = true;
      threads_++
    :: else -> wake_supervisor = true
    fi;
    armed = true;
    fresh = true
  fi
#else
  skip
#endif
}

/* PoolState::serve. */
inline serve() {
  failed = false;
  if
#ifdef MUTANT_TWO_WOKEN
  :: queued == 0 || (unborn_ > 0 && parked_ == 0)
#else
  :: queued == 0 || starting_ > unborn_ || (unborn_ > 0 && parked_ == 0)
#endif
  :: else ->
    if
    :: active_ - unborn_ < MAX -> add_worker()
    :: active_ - unborn_ >= 1 /* the policy wants no more */
    fi;
    if
    :: !failed && starting_ == 0 -> watch()
    :: else
    fi
  fi
}

/* PoolState::uncount. */
inline uncount() {
  if
  :: is[me] == starting -> starting_--
  :: is[me] == running -> running_--
  :: is[me] == parked -> parked_--
  fi;
  is[me] = leaving;
  workers_--;
  wake_waiters()
}

proctype Submitter() {
  byte wake = NOBODY;
  byte fresh_record = NOBODY;
  byte old;
  byte left = TASKS;
  bool wake_supervisor;
  bool failed;
  do
  :: left > 0 ->
submit:
    atomic {
      left--;
      if
      :: closed
      :: else ->
        queued++;
        serve();
        if
        :: failed -> queued--; failed = false
        :: else -> accepted++
        fi;
        consistent()
      fi
    };
    flush()
  :: else -> break
  od
}

proctype Worker(byte me) {
  byte wake = NOBODY;
  byte fresh_record = NOBODY;
  byte old;
  bool wake_supervisor;
  bool wake_closer;
  bool failed;
  bool limited; /* whether keep_alive ends within the run */
  bool rested;
end_absent:
  atomic { born[me] -> born[me] = false };
step:
  atomic {
    if
    :: unborn_record[me] -> unborn_record[me] = false; unborn_--
    :: else
    fi;
    /* take(): who has run gives way when told so and another is active. */
    if
    :: queued > 0 && is[me] != parked ->
      queued--;
      if
      :: is[me] == starting -> is[me] = running; starting_--; running_++
      :: else
      fi;
      serve();
      failed = false;
      rested = false;
      limited = false;
      consistent();
      goto serving
#ifdef SUPERVISOR
    :: is[me] == running && active_ > 1
#endif
    :: !(queued > 0 && is[me] != parked)
    fi;
    if
    :: closed || (is[me] == parked && rested && workers_ > MIN) ->
      uncount();
      rested = false;
      limited = false;
      consistent();
      goto leaving_
    :: else ->
      if
      :: is[me] == parked && rested -> limited = false
      :: is[me] == parked && !rested
      :: else ->
#ifdef MUTANT_PARK_UNSEEN
        goto unseen;
#endif
        uncount();
        is[me] = parked;
        workers_++;
        parked_++;
        if
        :: limited = true
        :: limited = false
        fi
      fi
    fi;
    rested = false;
    consistent()
  };
  goto park_it;
#ifdef MUTANT_PARK_UNSEEN
unseen: /* looks at the queue, and parks under another hold of the lock */
  atomic {
    uncount();
    is[me] = parked;
    workers_++;
    parked_++
  };
#endif
park_it:
  if
  :: wake_closer -> wake_closer = false; unblock(CLOSER)
  :: else
  fi;
  park(me, limited);
  goto step;
serving:
  flush();
  ran++;
  goto step;
leaving_:
  if
  :: wake_closer -> wake_closer = false; unblock(CLOSER)
  :: else
  fi;
retire:
  atomic {
    is[me] = absent;
    threads_--;
    wake_supervisor = (workers_ == 0);
    wake_waiters()
  };
  flush();
  if
  :: wake_closer -> wake_closer = false; unblock(CLOSER)
  :: else
  fi;
  goto end_absent
}

#ifdef SUPERVISOR
proctype Supervisor() {
  byte wake = NOBODY;
  byte fresh_record = NOBODY;
  byte old;
  bool wake_supervisor;
  bool wake_closer;
  bool failed;
  bool limited;
  bool rested;
end_absent:
  atomic { supervisor_born -> supervisor_born = false };
plan:
  atomic {
    if
    :: closed || (workers_ == 0 && queued == 0) ->
      supervisor_ = leaving;
      armed = false;
      goto leaving_
    :: else ->
      if
      :: queued == 0 -> armed = false; limited = false
      :: queued > 0 && fresh -> fresh = false; limited = true
      :: queued > 0 && !fresh -> limited = true; goto judge
      fi
    fi
  };
  goto park_it;
judge:
  atomic {
    if
    :: !closed && active_ < MAX && queued > starting_ -> add_worker()
    :: true
    fi;
    failed = false
  };
  flush();
park_it:
  park(SUPER, limited);
  rested = false;
  goto plan;
leaving_:
  atomic {
    supervisor_ = absent;
    threads_--;
    wake_waiters();
#ifndef MUTANT_LEAVES_UNSERVED
    serve();
#endif
    failed = false;
    consistent()
  };
  flush();
  if
  :: wake_closer -> wake_closer = false; unblock(CLOSER)
  :: else
  fi;
  goto end_absent
}
#endif

#ifdef CLOSE
proctype Closer() {
  byte old;
  byte i;
  bool rested;
  bool parked_then[RECORDS];
close:
  atomic {
    closed = true;
    dropped = queued;
    queued = 0;
    parked_then[0] = (is[0] == parked);
    parked_then[1] = (is[1] == parked);
    parked_then[2] = (is[2] == parked)
  };
#ifndef MUTANT_SILENT_CLOSE
  do
  :: i < RECORDS ->
    if
    :: parked_then[i] -> parked_then[i] = false; unblock(i)
    :: else
    fi;
    i++
  :: else -> break
  od;
#endif
  unblock(SUPER);
await:
  do
  :: atomic {
      waiter = (threads_ > 0);
      if
      :: !waiter -> break
      :: else
      fi
    };
    park(CLOSER, false)
  od;
  close_returned = true
}
#endif

/* Runs when nobody else can. */
proctype AtRest() {
  timeout ->
  assert(queued == 0);
  assert(ran == accepted - dropped);
  assert(closed == close_returned);
  assert(!closed || threads_ == 0)
}

init {
  byte i;
  atomic {
    do
    :: i <= MAX -> run Worker(i); i++
    :: else -> break
    od;
    i = 0;
    do
    :: i < SUBMITTERS -> run Submitter(); i++
    :: else -> break
    od;
#ifdef SUPERVISOR
    run Supervisor();
#endif
#ifdef CLOSE
    run Closer();
#endif
    run AtRest()
  }
}
