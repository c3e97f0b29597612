"""The command line: options in, one call, results to standard output, everything else to standard error."""
