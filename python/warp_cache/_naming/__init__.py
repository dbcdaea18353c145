"""Names and hashes that all processes agree on: of shared caches, and of what stands in their keys.

``identity`` says where a function's cache lies and what it is called, ``named`` what a function,
class or module is called as a part of a key, ``canonical`` which of several equal objects stands
for all of them there. Names are hashes that ``description`` makes of what an object consists of,
with ``functions``, ``classes``, ``instances``, ``bytecode`` (what a code object says) and
``places`` (where modules and files are). ``watch`` tells whether an object still is what was
described.

Imported when the first shared cache is made: ``import warp_cache`` does not pay for it.
"""
