"""The sentence below each picture, by the picture's name: what it shows."""

from __future__ import annotations

CAPTIONS = {
    "hits": (
        "A hit's time in nanoseconds by the kind of its arguments, for `functools.lru_cache` "
        "and both decorators."
    ),
    "strategies": "A hit's time in nanoseconds under each eviction strategy of `cache`.",
    "methods": (
        "A hit's time in nanoseconds where the cached function is a method, called through its "
        "instance, or bound once and then called."
    ),
    "keys": (
        "A hit's time in nanoseconds where another function gives the keys, called from Python and "
        "from C, and awaited."
    ),
    "peers": (
        "A hit's time in nanoseconds in other packages' caches, beside `lru_cache` of this one."
    ),
    "async": (
        "The time in nanoseconds to await a hit of a coroutine function, beside awaiting an "
        "empty coroutine function."
    ),
    "ttl": "A hit's time in nanoseconds in caches whose entries expire.",
    "lifetimes": (
        "A hit's time in nanoseconds by the kind of lifetime, and while the value is stale and its "
        "refresh under way."
    ),
    "lifetimes-store": (
        "The time in nanoseconds of a miss that evicts from a million entries, which live as long "
        "as each other, or each as long as chance has it."
    ),
    "invalidation": (
        "The time in nanoseconds of an invalidation and the miss that follows it, here and in "
        "other caches."
    ),
    "invalidation-tags": (
        "The time in nanoseconds to drop ten entries by their tag, from a cache of a thousand and "
        "of a million."
    ),
    "misses": (
        "The time in nanoseconds of a miss that evicts, with the call of the function in it; "
        "the function alone stands beside it."
    ),
    "memory": (
        "The bytes that a cache takes for each entry, without key and value, over the number of"
        " entries."
    ),
    "growth-hit": (
        "A hit's time in nanoseconds over the number of entries, as the cache outgrows the "
        "processor's caches."
    ),
    "growth-miss": "The time in nanoseconds of a miss that evicts, over the number of entries.",
    "latency-hit": (
        "The percentiles of single hits in nanoseconds; the timer's own cost stands beside them."
    ),
    "latency-miss": (
        "The percentiles of single misses that evict in nanoseconds; the timer's own cost "
        "stands beside them."
    ),
    "hit-ratio-zipf": (
        "The part of requests that hit, over the size of the cache, on keys drawn by Zipf's "
        "law; Belady's optimum is the limit."
    ),
    "hit-ratio-loop": (
        "The part of requests that hit, over the size of the cache, on a loop over more keys "
        "than fit."
    ),
    "hit-ratio-scans": (
        "The part of requests that hit, over the size of the cache, on keys drawn by Zipf's law"
        " with scans in between."
    ),
    "hit-ratio-recency": (
        "The part of requests that hit, over the size of the cache, on a set of hot keys that "
        "moves on."
    ),
    "hit-ratio-web07": (
        "The part of requests that hit, over the size of the cache, on the recorded trace web07."
    ),
    "hit-ratio-web12": (
        "The part of requests that hit, over the size of the cache, on the recorded trace web12."
    ),
    "hit-ratio-scarab-recs": (
        "The part of requests that hit, over the size of the cache, on the recorded trace "
        "scarab-recs."
    ),
    "hit-ratio-orm-busy": (
        "The part of requests that hit, over the size of the cache, on the recorded trace orm-busy."
    ),
    "imports": (
        "The milliseconds that an import adds to the start of a process, for this package and "
        "others."
    ),
    "threads-different": (
        "Hits a second of all threads together, over the number of threads, where each thread "
        "asks for its own keys."
    ),
    "threads-hot": (
        "Hits a second of all threads together, over the number of threads, where all ask for "
        "one key."
    ),
    "shared-hits": (
        "A hit's time in nanoseconds in the shared backend and in other caches that processes "
        "share."
    ),
    "shared-servers": (
        "A hit's time in nanoseconds in the shared backend, LMDB and caches behind a socket; "
        "those too slow to draw are named below."
    ),
    "object": (
        "A hit's time in nanoseconds in the cache object and in the mappings of other packages."
    ),
    "processes-0": (
        "Calls a second of all processes together, over their number, where every call hits."
    ),
    "processes-10": (
        "Calls a second of all processes together, over their number, where one call in ten "
        "misses, writes and evicts."
    ),
    "processes-50": (
        "Calls a second of all processes together, over their number, where every second call "
        "misses, writes and evicts."
    ),
    "remote-near": (
        "The time in nanoseconds of a hit that no server is asked for, here and in other near "
        "caches, called and awaited."
    ),
    "remote-far": (
        "The time in nanoseconds of a hit that the server answers, here and of redis-py: called, "
        "awaited alone, and awaited by fifty coroutines at once."
    ),
}
