"""The tier beyond the host, as far as it is Python: options, settings, errors, awaiting.

Nothing of it is imported by ``import warp_cache``; the protocol is the extension module's.
"""
