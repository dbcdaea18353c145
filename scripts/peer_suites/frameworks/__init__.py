"""What stands in for the caches of frameworks while their own tests run, one plugin of pytest for
each.
"""
