"""The test suites of other packages, run with this package's decorators in the place of theirs."""
