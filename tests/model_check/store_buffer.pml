/* A memory whose stores are late, included by the models of what does without fences.
 *
 *   #define CPUS 3    stores wait in a buffer of each, in order
 *   #define WORDS 4   of memory, and how many
 *   #define STORES 3  wait at most: a further one waits until there is room
 *
 * Each step reads memory or puts one store into the own buffer; the oldest one in a buffer reaches
 * memory at any later time. So a load may pass any store of its own thread before it, and nothing
 * else is out of order: release and acquire forbid the rest, or are asked to where a model says so.
 * Nobody reads back here what its own buffer holds. A read-modify-write is a fence and a step. */

byte mem[WORDS];
chan buffer[CPUS] = [STORES] of { byte, byte };
hidden byte word_;
hidden byte value_;

inline store(cpu, word, value) { buffer[cpu]!word,value }

/* That of the thread itself, or one that heavy_barrier() makes it run, whatever it is about. */
inline fence(cpu) {
  d_step {
    do
    :: nempty(buffer[cpu]) -> buffer[cpu]?word_,value_; mem[word_] = value_
    :: empty(buffer[cpu]) -> break
    od;
    word_ = 0;
    value_ = 0
  }
}

/* heavy_barrier(): the own fence, then the others' one by one in any order. The caller has
 * `bool fenced[CPUS]`. Without asymmetric barriers, that is SYMMETRIC, the own fence alone. */
inline heavy_barrier(cpu, others) {
  fence(cpu);
#ifndef SYMMETRIC
#ifndef MUTANT_NO_BARRIER
  do
  :: others > 0 && !fenced[0] -> fence(0); fenced[0] = true
  :: others > 1 && !fenced[1] -> fence(1); fenced[1] = true
  :: (others < 1 || fenced[0]) && (others < 2 || fenced[1]) -> break
  od;
  fenced[0] = false;
  fenced[1] = false
#endif
#endif
}

inline light_barrier(cpu) {
#if defined(SYMMETRIC) && !defined(MUTANT_NO_BARRIER)
  fence(cpu)
#else
  skip /* for the compiler alone */
#endif
}

/* Brings what `cpu` has stored to memory. */
proctype Memory(byte cpu) {
  byte word;
  byte value;
end_all:
  do
  :: d_step { buffer[cpu]?word,value -> mem[word] = value; word = 0; value = 0 }
  od
}
